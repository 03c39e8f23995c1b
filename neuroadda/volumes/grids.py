"""Whether two volumes have the same voxels: voxel sizes are equal, and offsets are whole voxels apart."""

from collections.abc import Sequence

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import PM_PER_NM, Volume
from neuroadda.volumes.places import describe_size


def check_grid(volume: Volume, other: Volume, name: str) -> None:
    """Raise UserError unless a volume is on the voxel grid of another, which is called `name`."""
    if volume.voxel_size_nm != other.voxel_size_nm:
        what = f"voxel size {describe_size(volume.voxel_size_nm)} is not that of {name}, {describe_size(other.voxel_size_nm)}"
        raise UserError(what, str(volume.path), f"{name} is {other.path}")
    check_shift(volume.offset_nm, other.offset_nm, other.voxel_size_nm, str(volume.path), name)


def check_shift(offset_nm: ZyxFloat, other_nm: ZyxFloat, size_nm: ZyxFloat, where: str, name: str) -> None:
    """Raise UserError if offsets are a fraction of a voxel apart; it says both, and the offset that would be right."""
    lengths = zip(offset_nm, other_nm, size_nm, strict=True)
    pm = [tuple(round(length * PM_PER_NM) for length in axis) for axis in lengths]
    if not any((o - b) % s for o, b, s in pm):
        return
    nearest = [(b + round((o - b) / s) * s) / PM_PER_NM for o, b, s in pm]
    apart = ", ".join(f"{(o - b) / s:g}" for o, b, s in pm)
    what = f"its offset is {_list(offset_nm)} nm, that of {name} {_list(other_nm)} nm (zyx): {apart} voxels apart"
    right = f"whole voxels apart are expected; if it has the voxels of {name}, its offset is {_list(nearest)} nm: "
    raise UserError(f"it is not on the voxel grid of {name}: {what}", where, f"{right}import it with that --offset")


def _list(lengths: Sequence[float]) -> str:
    return " ".join(f"{length:.12g}" for length in lengths)
