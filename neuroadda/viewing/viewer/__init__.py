"""`neuroadda view`: what Neuroglancer shows of a place, and the server that it reads from."""
