"""Whether the place that an output of a task says was edited since the task wrote it."""

from neuroadda.errors import UserError
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.nodes import is_array, open_array, read_attributes

PLACE = "place"  # attribute: voxel size, offset and units as they were written


def keep_place(output: Location) -> None:
    """Have an array keep the place that it says now."""
    attrs = open_array(output, "r+").attrs
    attrs[PLACE] = {key: attrs[key] for key in ("voxel_size", "offset", "units") if key in attrs}


def describe_move(output: Location) -> str | None:
    """Return how the attributes of an array say another place than was written; None if they do not, and where none was kept."""
    if not is_array(output):
        return None
    attrs = read_attributes(output)
    changes = ((key, wrote, attrs.get(key)) for key, wrote in attrs.get(PLACE, {}).items())
    return (
        " and ".join(f"its {key} was {wrote}, and is {now} (zyx)" for key, wrote, now in changes if now != wrote)
        or None
    )


def check_not_moved(array: Location) -> None:
    """Raise UserError if the place that an array says was edited since a task wrote it."""
    if moved := describe_move(array):
        raise UserError(f"its attributes were edited: {moved}", str(array), "write them back, or make it again")
