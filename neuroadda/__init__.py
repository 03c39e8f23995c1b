"""neuroadda: from raw electron microscopy to neurons, with as few human labels as possible."""

__version__ = "0.1.0"
