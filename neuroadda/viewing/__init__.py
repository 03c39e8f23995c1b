"""Pictures for people: figures, the report page, neuroglancer states."""
