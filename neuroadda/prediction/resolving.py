"""What is left open of a prediction is decided, for one network or for those of an ensemble."""

from collections.abc import Sequence

from neuroadda.backbones.network import Network
from neuroadda.config import Zyx
from neuroadda.errors import SettingError
from neuroadda.prediction.predict import Predict


def resolve_each(
    predict: Predict, networks: Sequence[Network], block_vx: Zyx, workers: int = 1, *, elsewhere: bool = False
) -> tuple[Predict, tuple[Zyx, ...]]:
    """Return the parameters with everything decided but the tile, and the tile of each network.

    Networks run one after another, so that each may take all of `memory_gb`. Where they would take different precisions, all take
    float32.

    Raises
    ------
    UserError
        As `Predict.resolve`, or if `tiles_vx` is not of as many networks.
    """
    given = predict.tiles_vx or (predict.tile_vx,) * len(networks)
    if len(given) != len(networks):
        what = f"{len(given)} tiles are given for {len(networks)} backbones"
        raise SettingError(what, "predict.tiles_vx", "give a tile for each backbone, or leave it out")
    each = [
        predict.model_copy(update={"tile_vx": tile_vx, "tiles_vx": ()}).resolve(
            network, block_vx, workers, elsewhere=elsewhere
        )
        for network, tile_vx in zip(networks, given, strict=True)
    ]
    if len({one.precision for one in each}) > 1:
        exact = predict.model_copy(update={"precision": "float32"})
        return resolve_each(exact, networks, block_vx, workers, elsewhere=elsewhere)
    tiles = tuple(one.tile_vx for one in each if one.tile_vx is not None)
    return each[0].model_copy(update={"tile_vx": None}), tiles


def resolve_members(
    predict: Predict, networks: Sequence[Network], block_vx: Zyx, workers: int = 1, *, elsewhere: bool = False
) -> Predict:
    """Return the parameters of a prediction with everything decided; see `resolve_each`."""
    decided, tiles = resolve_each(predict, networks, block_vx, workers, elsewhere=elsewhere)
    of_tile = {"tile_vx": tiles[0]} if len(tiles) == 1 else {"tiles_vx": tiles}
    return decided.model_copy(update=of_tile)
