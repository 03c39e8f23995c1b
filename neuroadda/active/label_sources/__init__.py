"""Where labels come back from: each module opens one kind of source as `LabelArray`s."""
