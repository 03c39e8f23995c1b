"""Where a volume has data, and where it has tissue."""
