"""Coarser levels of a volume (`downsampling`, `pyramid`) and the metadata of OME-NGFF (`ngff`)."""
