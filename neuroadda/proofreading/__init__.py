"""Proofreading: where a segmentation is likely to be wrong, and corrections of it."""
