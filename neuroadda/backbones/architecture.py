"""The kinds of networks that a card may describe: the U-Net, and somebody else's that the card names."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from neuroadda.backbones.foreign import ForeignNetwork
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.faults import TAG


def _find_kind(value: Any) -> str:
    foreign = "implementation" in value if isinstance(value, dict) else isinstance(value, ForeignNetwork)
    return f"{TAG}{(ForeignNetwork if foreign else UNetConfig).__name__}"


Architecture = Annotated[
    Annotated[UNetConfig, Tag(f"{TAG}UNetConfig")] | Annotated[ForeignNetwork, Tag(f"{TAG}ForeignNetwork")],
    Discriminator(_find_kind),
]
"""Which it is, its keys tell: cards of U-Nets are older than the other kind."""
