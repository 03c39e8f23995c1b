"""What results were made of, and whether it was edited since."""
