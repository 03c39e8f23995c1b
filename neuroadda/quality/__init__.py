"""What a segmentation looks like without any truth: sizes, orphans, branches, ends, and what changed since the last run."""
