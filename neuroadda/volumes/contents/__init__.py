"""What the values of raw and labels are, and whether they can be what they are taken for."""
