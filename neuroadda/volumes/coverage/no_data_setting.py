"""The setting `no_data`: which mask it stands for in a run, found there or to be found."""

from pathlib import Path
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from neuroadda.config import Config, PathText
from neuroadda.errors import SettingError, UserError, warn
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.masks import Mask, open_mask
from neuroadda.volumes.coverage.no_data_mask import FACTS, find_no_data_mask, write_no_data_mask
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.storage.locations import remove
from neuroadda.volumes.storage.nodes import is_array

OUTDATED = "outdated"
AUTO, NONE = "auto", "none"
RIGHT = "write auto, none, or the path of a mask on the voxels of all of raw, such as `neuroadda mask RAW` writes"
PLACE = Path("no_data.zarr") / "mask"  # in a run's folder


class WithNoData(Config):
    """A config with the setting `no_data`. Its default is left out where the config is dumped: what is made of it is older.

    Attributes
    ----------
    no_data
        Where raw has no data: "auto" for constant areas, "none", or the path of a mask, 0 where there is no data.
    """

    no_data: PathText = AUTO

    @model_serializer(mode="wrap")
    def _leave_default_out(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = dump(self)
        if self.no_data == AUTO:
            data.pop("no_data", None)  # where it is not excluded anyway
        return data


def resolve_no_data(setting: str, raw: Volume, folder: Path, content: str, *, renew: bool = False) -> str:
    """Return where the mask is that a setting stands for, or "none" where there is nothing without data.

    Parameters
    ----------
    setting
        "auto": found now, unless the folder has it; "none"; or the path of a mask, which is returned.
    folder
        Of the run.
    content
        What determines raw's content.
    renew
        Find it again where `outdate_no_data` has noted that raw was edited since.

    Raises
    ------
    UserError
        If nothing of raw has data.
    """
    if setting != AUTO:
        return setting
    if renew and is_array(folder / PLACE) and Volume.open(folder / PLACE).attrs.get(OUTDATED):
        remove(folder / PLACE)
    return _name_mask(write_no_data_mask(raw, folder / PLACE, content), raw)


def recall_no_data(setting: str, raw: Volume, folder: Path, content: str) -> str:
    """Return what `resolve_no_data` does, but look for nothing: "auto" stays where the folder does not have the mask yet."""
    known = find_no_data_mask(raw, folder / PLACE, content) if setting == AUTO else None
    return setting if known is None else _name_mask(known, raw)


def outdate_no_data(setting: str, folder: Path) -> None:
    """Note in a run's own mask, and warn, that raw was edited since; the run goes on with it, for its blocks follow from it."""
    place = folder / PLACE
    if setting not in (NONE, str(place)) or not is_array(place):
        return
    Volume.open(place, "r+").data.attrs[OUTDATED] = True
    what = "where raw has no data was found before raw changed, and this run goes on with that"
    warn(f"{what}; `neuroadda segment --overwrite` looks again and does all of it again", str(place))


def open_no_data(setting: str, raw: Volume) -> Mask | None:
    """Open the mask that a resolved setting names; None for "none", and for "auto", of which nothing is known.

    Raises
    ------
    SettingError
        If it is another word, or no mask of all of raw is there.
    """
    if setting in (AUTO, NONE):
        return None
    try:
        return open_mask(setting, raw, raw.roi)
    except UserError as error:
        what = error.what if error.where == setting else f"{error.where}: {error.what}"
        what = f"{setting!r} is neither {AUTO!r}, {NONE!r} nor a mask of all of raw: {what}"
        raise SettingError(what, "no_data", RIGHT) from error


def identify_mask(known: Inputs | None, name: str, mask: Mask) -> str:
    """Return what determines the content of a mask that is an input; one that a run has found may be edited, too."""
    return mask.fingerprint if known is None else known.identify(name, mask.volume)


def _name_mask(mask: Volume, raw: Volume) -> str:
    gaps = mask.attrs[FACTS]["cells"]
    if gaps == mask.data.size:
        what = "nothing in it is tissue: all its voxels lie in constant areas or repeated sections"
        raise UserError(what, str(raw.path), f'give another volume, or set no_data to "{NONE}" to use it all the same')
    return str(mask.path) if gaps else NONE
