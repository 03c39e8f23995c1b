"""What can be imported: each module reads one format as a `Source`; `open_source` finds the format of a location.

To add a format, write a module with a `FORMAT` (its name, how a location of it is recognised, what opens it as a `Source`), and add
one line to `FORMATS` below. `neuroadda import` and labels that come back then read it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.places import Answers
from neuroadda.volumes.readers import hdf5, images, npy, precomputed, tiff, webknossos, zarr, zarr_url
from neuroadda.volumes.readers.source import Box, Gaps, Source, Wanted
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.urls import LAYERS, Url

FORMATS = (
    webknossos.FORMAT,
    zarr.FORMAT,
    hdf5.FORMAT,
    npy.FORMAT,
    tiff.FORMAT,
    precomputed.FORMAT,
    zarr_url.FORMAT,
    images.FORMAT,  # any other folder
)

__all__ = ["FORMATS", "Box", "Source", "open_source", "to_source_location"]


@contextmanager
def open_source(
    location: Location | str,
    dataset: str | None = None,
    *,
    prefer_labels: bool = False,
    voxel_size_nm: ZyxFloat | None = None,
    size_name: str = "the voxel size given",
    offset_nm: ZyxFloat | None = None,
    answers: Answers = Answers(),
    gaps: Gaps | None = None,
    order: str | None = None,
) -> Iterator[Source]:
    """Open whatever lies at a location.

    Parameters
    ----------
    location
        A file, a folder or a URL, also as Neuroglancer writes it (``precomputed://https://...``). Credentials in it are used and
        never shown.
    dataset
        Which, where there are several: a name in a file, a path below a folder or URL, or a WEBKNOSSOS volume layer.
    prefer_labels
        Without a `dataset`, take the labels of a CREMI file rather than its raw.
    voxel_size_nm
        zyx; of a precomputed volume take the scale of this voxel size, by default the finest.
    size_name
        What `voxel_size_nm` is, for error messages.
    offset_nm
        zyx; of the data set's first voxel, from which WEBKNOSSOS counts.
    answers
        What the user says of its place: it wins, and what it answers is not asked.
    gaps
        What becomes of section files that are missing in a numbered series: "blank" puts in sections of 0, "step" such for every
        step of the numbers, "close" moves up what follows; by default such a series is refused.
    order
        In which order section files are whose names do not tell it: "numbers", "letters", or a text file that lists their names.

    Raises
    ------
    UserError
        If it is missing, unknown, broken, not three-dimensional, or has no such dataset.
    """
    location = to_source_location(location)
    wanted = Wanted(dataset, prefer_labels, voxel_size_nm, size_name, offset_nm, answers, gaps, order)
    found = next((format for format in FORMATS if format.recognises(location, wanted)), None)
    if found is None:
        raise _unknown(location, wanted)
    if dataset is not None and not found.has_datasets:
        raise UserError(f"it holds no datasets to choose {dataset!r} from", str(location), "leave --dataset out")
    if answers.axes is not None and not found.has_lists:
        raise UserError(
            f"{found.name} gives no lists of lengths, whose order --axes says", str(location), "leave --axes out"
        )
    for option, given in (("--gaps", gaps), ("--order", order)):
        if given is not None and not found.has_files:
            what = f"{found.name} is no folder of section files, of which {option} says"
            raise UserError(what, str(location), f"leave {option} out")
    with found.open(location, wanted) as source:
        _check(source)
        yield source


def to_source_location(location: Location | str) -> Location:
    """Return a path, or a URL, which may hold credentials; what Neuroglancer adds to an address is taken off.

    Raises
    ------
    UserError
        If it is a malformed URL.
    """
    if not isinstance(location, str) or "://" not in location:
        return to_location(location)
    for scheme in LAYERS:
        location = location.removeprefix(scheme)
    location = location.partition("|")[0]
    return (
        to_location(location)
        if location.startswith("file://") or "://" not in location
        else Url.with_credentials(location)
    )


def _unknown(location: Location, wanted: Wanted) -> UserError:
    if isinstance(location, Url):
        where = str(location if wanted.dataset is None else location / wanted.dataset)
        what = "segmentation" if wanted.labels else "volume"
        right = "give the URL of the folder that holds info, or .zarray (zarr format 2)"
        return UserError(f"there is no {what} here", where, right)
    if not location.exists():
        return UserError("there is no such file or folder", str(location))
    return UserError("the format is not known", str(location), f"known: {', '.join(format.name for format in FORMATS)}")


def _check(source: Source) -> None:
    where = str(source)
    if len(source.shape) != 3:
        raise UserError(f"it has shape {source.shape}", where, "three axes (z, y, x) are expected")
    if 0 in source.shape:
        raise UserError(f"it is empty: shape {source.shape}", where)
    if source.dtype.kind not in "buif":
        raise UserError(f"its data type is {source.dtype}", where, "numbers are expected")
