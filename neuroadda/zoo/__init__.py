"""Zoos of pretrained backbones: find (`finding`), fetch, verify and add entries; `data` holds those of the package."""
