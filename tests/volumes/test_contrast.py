"""Raw is what a viewer shows, labels are what is stored, and what was done about it is said and kept."""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.scaling import ValueRange
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.readers.tiff import open_tiff

NM = (50, 4, 4)
SHAPE = (5, 20, 24)
SEEN = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
INVERTED = "it is stored inverted (MinIsWhite); "
GREY_RAMP = np.stack([np.arange(256)[::-1] * 257] * 3).astype(np.uint16)  # index 0 is white
COLOURS = np.random.default_rng(1).integers(0, 2**16, (3, 256), dtype=np.uint16)


def bring(source: Path, **options: object) -> Volume:
    return import_volume(source, source.parent / "own.zarr/a", voxel_size_nm=NM, overwrite=True, **options)


def notes_of(volume: Volume) -> list[str]:
    return volume.attrs["provenance"].get("notes", [])


def write_folder(folder: Path, stored: np.ndarray, **options: object) -> Path:
    folder.mkdir()
    for z, page in enumerate(stored):
        tifffile.imwrite(folder / f"{z}.tif", page, metadata=None, **options)
    return folder


def write_png(path: Path, stored: np.ndarray, bits: int, palette: np.ndarray | None = None) -> None:
    """Write grey values, or indices of a palette, of any bits; Pillow writes 8."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b""
    for row in stored:
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + bytes(int(text[n : n + 8], 2) for n in range(0, len(text), 8))
    header = struct.pack(">IIBBBBB", stored.shape[1], stored.shape[0], bits, 0 if palette is None else 3, 0, 0, 0)
    colours = b"" if palette is None else chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    body = chunk(b"IDAT", zlib.compress(rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colours + body + chunk(b"IEND", b""))


@pytest.mark.parametrize("how", ["pages", "zlib", "folder", "tiles"])
def test_min_is_white(tmp_path: Path, how: str) -> None:
    options = {"photometric": "miniswhite"}
    if how == "folder":
        source = write_folder(tmp_path / "s", 255 - SEEN, **options)
    else:
        source = tmp_path / "a.tif"
        more = {"zlib": {"compression": "zlib"}, "tiles": {"tile": (16, 16)}}.get(how, {})
        tifffile.imwrite(source, 255 - SEEN, metadata=None, **options, **more)
    raw = bring(source)
    assert np.array_equal(raw.read(), SEEN)
    assert notes_of(raw) == [f"{INVERTED}raw is inverted, as viewers show it"]
    stored = bring(source, contrast="as-stored")
    assert np.array_equal(stored.read(), 255 - SEEN)
    assert notes_of(stored) == [f"{INVERTED}the values are kept as stored"]
    assert stored.fingerprint != raw.fingerprint
    labels = bring(source, kind="labels")
    assert np.array_equal(labels.read(), 255 - SEEN)
    assert notes_of(labels)[0] == f"{INVERTED}the values are kept as stored"  # noise, as it is told next, is no labels


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_min_is_white_of_16_bits(tmp_path: Path, dtype: type) -> None:
    seen = np.random.default_rng(0).integers(1000, 9000, SHAPE).astype(dtype)
    tifffile.imwrite(tmp_path / "seen.tif", seen, photometric="minisblack")
    tifffile.imwrite(tmp_path / "a.tif", ~seen, photometric="miniswhite")
    right = bring(tmp_path / "seen.tif").read()
    assert np.abs(bring(tmp_path / "a.tif").read().astype(int) - right).max() <= 1


def test_a_folder_of_which_some_are_inverted(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "s", SEEN, photometric="minisblack")
    for z in (1, 3):
        tifffile.imwrite(source / f"{z}.tif", 255 - SEEN[z], photometric="miniswhite", metadata=None)
    volume = bring(source)
    assert np.array_equal(volume.read(), SEEN)
    assert notes_of(volume) == ["2 of 5 images are stored inverted (MinIsWhite); raw is inverted, as viewers show it"]
    (source / "2.tif").unlink()
    assert not bring(source, gaps="blank").read()[2].any()  # no look makes a blank section white


def test_black_and_white(tmp_path: Path) -> None:
    seen = SEEN > 128
    for photometric, stored in (("minisblack", seen), ("miniswhite", ~seen)):
        source = write_folder(tmp_path / photometric, stored, photometric=photometric)
        raw = bring(source)
        assert np.array_equal(raw.read(), seen * 255)
        assert "its values have 1 bit; raw is 0 and 255" in notes_of(raw)
        assert np.array_equal(bring(source, kind="labels").read(), stored)


@pytest.mark.parametrize("how", ["stack", "folder", "png"])
def test_palettes(tmp_path: Path, how: str) -> None:
    def write(name: str, table: np.ndarray) -> Path:
        options = {"photometric": "palette", "colormap": table}
        if how == "folder":
            return write_folder(tmp_path / name, SEEN, **options)
        if how == "stack":
            tifffile.imwrite(tmp_path / f"{name}.tif", SEEN, **options)
            return tmp_path / f"{name}.tif"
        (tmp_path / name).mkdir()
        for z, page in enumerate(SEEN):
            write_png(tmp_path / name / f"{z}.png", page, 8, table.T >> 8)
        return tmp_path / name

    grey, colour = write("grey", GREY_RAMP), write("colour", COLOURS)
    raw = bring(grey)
    assert np.array_equal(raw.read(), 255 - SEEN)
    assert notes_of(raw) == [
        "it is stored as indices of a palette of greys; raw is made of those greys, as viewers show it"
    ]
    with pytest.raises(UserError, match=r"a palette of colours; convert it to grey, or give --contrast as-stored"):
        bring(colour)
    assert np.array_equal(bring(colour, contrast="as-stored").read(), SEEN)
    for source in (grey, colour):
        assert np.array_equal(bring(source, kind="labels").read(), SEEN)


@pytest.mark.parametrize("bits", [2, 4])
def test_pngs_of_few_bits(tmp_path: Path, bits: int) -> None:
    stored = SEEN >> (8 - bits)
    for name, palette in (("grey", None), ("colour", COLOURS.T[: 2**bits] >> 8)):
        (tmp_path / name).mkdir()
        for z, page in enumerate(stored):
            write_png(tmp_path / name / f"{z}.png", page, bits, palette)
        assert np.array_equal(bring(tmp_path / name, kind="labels").read(), stored)  # not scaled, as Pillow does
    raw = bring(tmp_path / "grey")
    assert np.array_equal(raw.read(), stored * (255 // (2**bits - 1)))
    assert notes_of(raw) == [f"it is stored in {bits} bits; raw is scaled to 8 bits, as viewers show it"]


def test_pngs_of_16_bits(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 2**16, SHAPE, dtype=np.uint16)
    (tmp_path / "s").mkdir()
    for z, page in enumerate(ids):
        Image.fromarray(page).save(tmp_path / f"s/{z}.png")
    assert np.array_equal(bring(tmp_path / "s", kind="labels").read(), ids)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_colour_and_transparency_are_refused(tmp_path: Path, mode: str, suffix: str) -> None:
    (tmp_path / "s").mkdir()
    Image.fromarray(SEEN[0]).convert(mode).save(tmp_path / f"s/0.{suffix}")
    with pytest.raises(UserError, match="transparency" if mode == "LA" else "in colour"):
        bring(tmp_path / "s")


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("how", ["imagej", "ome", "composite", "planes"])
def test_channels_are_no_sections(tmp_path: Path, n: int, how: str) -> None:
    source = tmp_path / ("a.ome.tif" if how == "ome" else "a.tif")
    options: dict[str, object] = {"metadata": {"axes": "CYX"}}
    if how in ("imagej", "composite"):
        options["imagej"] = True
        options["metadata"] = {"axes": "CYX", "mode": how if how == "composite" else "grayscale"}
    if how == "planes":
        options = {"photometric": "rgb", "planarconfig": "separate"} if n > 2 else {**options, "ome": True}
    tifffile.imwrite(source, np.concatenate([SEEN, SEEN])[:n], **options)
    with pytest.raises(UserError, match=r"channels of one section|in colour"):
        bring(source)


def test_sections_that_the_file_calls_otherwise(tmp_path: Path) -> None:
    for axes, called in (("TYX", "time points (TYX)"), ("CYX", "channels (CYX)")):
        tifffile.imwrite(tmp_path / "a.tif", SEEN, imagej=True, metadata={"axes": axes})
        volume = bring(tmp_path / "a.tif")
        assert np.array_equal(volume.read(), SEEN)
        assert notes_of(volume) == [f"its 5 images are {called} by its metadata; they are taken as sections"]


def test_pages_of_one_more_axis_are_sections(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "s", SEEN[:, None])
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in SEEN:
            file.write(page[None], metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "b.ome.tif", SEEN[None, :], metadata={"axes": "CZYX"})
    for one in (source, tmp_path / "a.tif", tmp_path / "b.ome.tif"):
        assert np.array_equal(bring(one).read(), SEEN)


def test_a_sliver_of_16_bits_is_scaled_and_said(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(30_000, 30_500, SHAPE, dtype=np.uint16)
    np.save(tmp_path / "a.npy", raw)
    volume = bring(tmp_path / "a.npy")
    (note,) = notes_of(volume)
    scale = volume.attrs["provenance"]["scale"]
    assert 30_000 <= scale["low"] < 30_005 < 30_495 < scale["high"] < 30_500
    assert note.startswith(f"uint16 is scaled to uint8: {scale['low']:g} becomes 0, {scale['high']:g} becomes 255")
    assert "(0.76% of the type's range)" in note
    assert np.ptp(volume.read()) == 255


@pytest.mark.parametrize(("dtype", "padding"), [(np.uint16, 0), (np.int16, -32768), (np.uint16, 65535)])
def test_padding_does_not_cost_the_contrast(tmp_path: Path, dtype: type, padding: int) -> None:
    raw = np.random.default_rng(0).integers(28_000, 30_000, SHAPE).astype(dtype)
    raw[:, :5] = padding
    np.save(tmp_path / "a.npy", raw)
    volume = bring(tmp_path / "a.npy")
    assert np.ptp(volume.read()[:, 5:]) == 255
    assert volume.attrs["provenance"]["scale"]["padding"] == [padding]
    assert f"{padding}, taken for padding, is left out" in notes_of(volume)[0]
    other = raw.copy()
    other[:, :5] = 29_000
    np.save(tmp_path / "a.npy", other)
    assert "padding" not in bring(tmp_path / "a.npy").attrs["provenance"]["scale"]


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        ([9], "raw", "every voxel is 9"),
        ([0, 255], "raw", "its only values are 0 and 255: it looks like a mask, not like raw"),
        ([100, 110, 120], "raw", "its grey values lie between 100 and 120: there is little contrast"),
        ([0, 255], "labels", "its only labels are 0 and 255: it looks like a mask, not like neurons"),
        ([0, 1], "labels", "its only labels are 0 and 1: it looks like a mask, not like neurons"),
        ([5], "labels", "every voxel is 5"),
        ([0, 7, 9], "labels", None),
        ([0, 100, 200], "raw", None),
    ],
)
def test_doubtful_values_are_told(tmp_path: Path, values: list[int], kind: str, told: str | None) -> None:
    voxels = np.resize(np.array(values, np.uint8), SHAPE)
    np.save(tmp_path / "a.npy", voxels)
    volume = bring(tmp_path / "a.npy", kind=kind, chunk_vx=(2, 8, 8))
    assert np.array_equal(volume.read(), voxels)
    assert [note for note in notes_of(volume) if told is None or note.startswith(told)] == notes_of(volume)
    assert len(notes_of(volume)) == (told is not None)


def test_values_of_several_boxes_are_taken_together() -> None:
    found = ValueRange()
    for box in ([0, 0], [7, 7], [0, 7]):
        found.add(np.array(box, np.uint64))
    assert found.few == {0, 7}
    found.add(np.array([0, 3, 7], np.uint64))
    assert (found.few, found.lowest, found.highest) == (None, 0, 7)


def test_a_compression_that_needs_a_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(SEEN[0]).save(tmp_path / "a.tif", compression="tiff_lzw")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    if "imagecodecs" in str(tifffile.tifffile.imagecodecs.__name__.partition(".")[0]):
        pytest.skip("tifffile has found imagecodecs already")
    with pytest.raises(UserError, match=r"LZW needs the package imagecodecs.*pip install neuroadda\[tiff\]"):
        open_tiff(tmp_path / "a.tif")


def test_lzw_with_imagecodecs(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    Image.fromarray(SEEN[0]).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.array_equal(bring(tmp_path / "a.tif").read()[0], SEEN[0])


def test_the_command_has_the_options(tmp_path: Path, command) -> None:
    source = write_folder(tmp_path / "s", 255 - SEEN, photometric="miniswhite")
    (source / "3.tif").unlink()
    given = ("import", source, tmp_path / "own.zarr/a", "--voxel-size", "50", "4", "4")
    code, _, errors = command(*given)
    assert (code, "3 is missing" in errors, "--gaps" in errors) == (2, True, True)
    code, _, errors = command(*given, "--gaps", "close", "--contrast", "as-stored")
    assert code == 0
    assert "MinIsWhite); the values are kept as stored" in errors
    assert np.array_equal(Volume.open(tmp_path / "own.zarr/a").read(), 255 - SEEN[[0, 1, 2, 4]])
    for option in ("--gaps", "--contrast"):
        assert command(*given, option, "maybe")[0] == 2


def test_pages_of_different_palettes_are_refused(tmp_path: Path) -> None:
    table = np.tile((np.arange(256) * 257).astype(np.uint16), (3, 1))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for inverted in (False, True):
            colours = table[:, ::-1] if inverted else table
            file.write(SEEN[0], photometric="palette", colormap=colours, metadata=None, contiguous=False)
    with pytest.raises(UserError, match="its pages have different palettes"):
        bring(tmp_path / "a.tif")


def test_an_inverting_table_of_imagej_is_applied(tmp_path: Path) -> None:
    table = np.tile(np.arange(255, -1, -1).astype(np.uint8), (3, 1))
    about = {"axes": "ZYX", "unit": "nm", "spacing": 50, "LUTs": [table]}
    tifffile.imwrite(tmp_path / "a.tif", 255 - SEEN, imagej=True, metadata=about)
    np.testing.assert_array_equal(bring(tmp_path / "a.tif").data[:], SEEN)


@pytest.mark.parametrize("how", ["plain", "bigtiff", "shaped", "ome", "palette"])
def test_pages_of_different_photometric_interpretation_are_named(tmp_path: Path, how: str) -> None:
    source = tmp_path / ("a.ome.tif" if how == "ome" else "a.tif")
    if how in ("shaped", "ome"):  # tifffile takes the first page's for all
        tifffile.imwrite(source, SEEN, metadata={"axes": "ZYX"}, compression="zlib")
        with tifffile.TiffFile(source, mode="r+") as file:
            for n in (1, 3):
                file.pages[n].aspage().tags["PhotometricInterpretation"].overwrite(0)
    else:
        other = {"photometric": "palette", "colormap": COLOURS} if how == "palette" else {"photometric": "miniswhite"}
        with tifffile.TiffWriter(source, bigtiff=how == "bigtiff") as file:
            for n, page in enumerate(SEEN):
                options = other if n in (1, 3) else {"photometric": "minisblack"}
                file.write(page, metadata=None, contiguous=False, **options)
    with pytest.raises(UserError) as caught:
        bring(source)
    other_name = "palette (3)" if how == "palette" else "MinIsWhite (0)"
    assert f"pages 0, 2, 4 are MinIsBlack (1), pages 1, 3 are {other_name}" in str(caught.value)


def write_turned(source: Path, orientations: list[int], folder: bool) -> Path:
    tags = [[(274, "H", 1, orientation, True)] for orientation in orientations]
    if folder:
        source.mkdir()
        for n, (page, tag) in enumerate(zip(SEEN, tags, strict=True)):
            tifffile.imwrite(source / f"{n}.tif", page, metadata=None, extratags=tag)
        return source
    with tifffile.TiffWriter(source) as file:
        for page, tag in zip(SEEN, tags, strict=True):
            file.write(page, metadata=None, contiguous=False, extratags=tag)
    return source


@pytest.mark.parametrize("folder", [True, False])
def test_orientation_is_told_and_must_be_one(tmp_path: Path, folder: bool) -> None:
    for orientation in (3, 6):
        source = write_turned(tmp_path / f"{orientation}.tif", [orientation] * len(SEEN), folder)
        volume = bring(source)
        assert np.array_equal(volume.read(), SEEN)
        assert f"(orientation {orientation}); rows and columns are taken as stored" in notes_of(volume)[0]
    with pytest.raises(UserError, match="orientation"):
        bring(write_turned(tmp_path / "mixed.tif", [1, 1, 6, 1, 1], folder))
    assert notes_of(bring(write_turned(tmp_path / "usual.tif", [1] * len(SEEN), folder))) == []


@pytest.mark.parametrize("stated", [3, 7])
def test_as_many_images_as_the_metadata_say(tmp_path: Path, stated: int) -> None:
    about = f"ImageJ=1.53\nimages={stated}\nslices={stated}\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for n, page in enumerate(SEEN):
            text = about if n == 0 else None
            file.write(page, metadata=None, contiguous=False, description=text, compression="zlib")
    with pytest.raises(UserError, match=f"5 pages, but by its metadata {stated} images"):
        bring(tmp_path / "a.tif")
