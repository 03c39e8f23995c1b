"""Where arrays and files lie, and how they are read and written whole."""
