"""Networks with a card.

- `network`, `module`: what a network must offer, without and with torch. `unet_config`, `unet`: the U-Net.
- `foreign`, `foreign_module`, `probing`: a network of somebody else. `architecture`: which of both a card describes.
- `card`, `checkpoint`, `normalisation`: a backbone on disk.
- `devices`, `fast_path`, `inference`, `sections`, `memory`, `speedup`, `private_torch`: where and how a network computes.
"""
