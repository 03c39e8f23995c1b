"""Whether two volumes have the same voxels: voxel sizes are equal, and offsets are whole voxels apart."""

from collections.abc import Sequence

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.places import describe_size
from neuroadda.volumes.geometry.world import PM_PER_NM


def check_grid(volume: Volume, other: Volume, name: str) -> None:
    """Raise UserError unless a volume is on the voxel grid of another, which is called `name`."""
    if volume.voxel_size_nm != other.voxel_size_nm:
        sizes = f"{describe_size(volume.voxel_size_nm)} is not that of {name}, {describe_size(other.voxel_size_nm)}"
        raise UserError(f"voxel size {sizes}", str(volume.path), f"{name} is {other.path}")
    check_shift(volume, other, name)


def check_shift(volume: Volume, other: Volume, name: str) -> None:
    """Raise UserError if a volume lies a fraction of another's voxels beside it; it says both offsets, and which would be right."""
    lengths = zip(volume.offset_nm, other.offset_nm, other.voxel_size_nm, strict=True)
    pm = [tuple(round(length * PM_PER_NM) for length in axis) for axis in lengths]
    if not any((mine - theirs) % size for mine, theirs, size in pm):
        return
    nearest = [(theirs + round((mine - theirs) / size) * size) / PM_PER_NM for mine, theirs, size in pm]
    apart = ", ".join(f"{(mine - theirs) / size:g}" for mine, theirs, size in pm)
    offsets = f"its offset is {_list(volume.offset_nm)} nm, that of {name} {_list(other.offset_nm)} nm (zyx)"
    what = f"it is not on the voxel grid of {name}: its grid is shifted; {offsets}, {apart} voxels apart"
    right = (
        f"if it has the voxels of {name}, {other.path}, its offset is {_list(nearest)} nm: import it with that --offset"
    )
    raise UserError(what, str(volume.path), right)


def _list(lengths: Sequence[float]) -> str:
    return " ".join(f"{length:.12g}" for length in lengths)
