"""The phantom is the same however it is cut, its neurites are whole, and it looks like EM to numbers too."""

import itertools
from pathlib import Path

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroadda.config import parse_config
from neuroadda.errors import UserError
from neuroadda.kernels.phantom_geometry import axis_of, build_links
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import JITTER, Phantom, PhantomConfig, write_phantom

ARTEFACTS = {"missing_rate": 0.2, "contrast_rate": 0.3, "fold_rate": 0.5, "shift_nm": 20.0}
CONFIG = PhantomConfig(shape_vx=(18, 93, 101), seed=3, **ARTEFACTS)


@pytest.fixture(scope="module")
def whole() -> tuple[np.ndarray, np.ndarray]:
    return Phantom(CONFIG).render((0, 0, 0), CONFIG.shape_vx)


@settings(max_examples=40, deadline=None)
@given(corners=st.tuples(*[st.tuples(st.integers(0, s - 1), st.integers(1, s)) for s in CONFIG.shape_vx]))
def test_any_block_is_that_part_of_the_whole(
    whole: tuple[np.ndarray, ...], corners: tuple[tuple[int, int], ...]
) -> None:
    begin = [b for b, _ in corners]
    shape = [min(n, s - b) for (b, n), s in zip(corners, CONFIG.shape_vx, strict=True)]
    box = tuple(slice(b, b + n) for b, n in zip(begin, shape, strict=True))
    raw, labels = Phantom(CONFIG).render(begin, shape)
    assert raw.tobytes() == whole[0][box].tobytes()
    assert labels.tobytes() == whole[1][box].tobytes()


def test_written_bytes_do_not_depend_on_the_block(tmp_path: Path, whole: tuple[np.ndarray, ...]) -> None:
    written = {}
    for name, block in (("a", (64, 64, 64)), ("b", (5, 40, 23))):
        raw, labels = write_phantom(CONFIG, tmp_path / f"{name}.zarr", block)
        assert (raw.read().tobytes(), labels.read().tobytes()) == (whole[0].tobytes(), whole[1].tobytes())
        assert (raw.voxel_size_nm, raw.dtype, labels.dtype) == ((30, 6, 6), np.uint8, np.uint64)
        written[name] = {
            p.relative_to(tmp_path / f"{name}.zarr"): p.read_bytes()
            for p in tmp_path.glob(f"{name}.zarr/**/*")
            if p.is_file()
        }
    assert written["a"] == written["b"]
    assert raw.fingerprint != labels.fingerprint
    assert parse_config(PhantomConfig, raw.attrs["provenance"]["parameters"], "attrs") == CONFIG


def test_seed_and_parameters_change_it(whole: tuple[np.ndarray, ...]) -> None:
    for change in ({"seed": 4}, {"noise": 3.0}):
        raw, labels = Phantom(CONFIG.model_copy(update=change)).render((0, 0, 0), CONFIG.shape_vx)
        assert not np.array_equal(raw, whole[0])
        assert np.array_equal(labels, whole[1]) == ("seed" not in change)  # noise is not tissue


@pytest.mark.parametrize("gap", [True, False])
@pytest.mark.parametrize(
    ("voxel", "shape"), [((16.0, 16.0, 16.0), (110, 110, 110)), ((30.0, 10.0, 10.0), (60, 180, 180))]
)
def test_neurites_are_whole(voxel: tuple[float, ...], shape: tuple[int, ...], gap: bool) -> None:
    """At least 99 % of ids are one 26-connected component, not counting what the volume's border cuts off."""
    kept = pieces = 0
    for seed in (1, 2, 3):
        config = PhantomConfig(
            shape_vx=shape, voxel_size_nm=voxel, seed=seed, membrane_label0=gap, neurite_length_nm=1200.0
        )
        labels = Phantom(config).render((0, 0, 0), shape)[1]
        components, n = cc3d.connected_components(labels, connectivity=26, return_N=True)
        inside = np.ones(n + 1, bool)
        for axis, end in itertools.product(range(3), (0, -1)):
            inside[np.unique(components.take(end, axis=axis))] = False
        of = np.zeros(n + 1, np.uint64)
        of[components.ravel()] = labels.ravel()
        ids, count = np.unique(of[1:][of[1:] > 0], return_counts=True)
        torn = {i for i, c in zip(ids, count, strict=True) if c > 1 and inside[of == i].any()}
        kept, pieces = kept + len(torn), pieces + len(ids)
        assert len(ids) > 40
        assert inside[1:][of[1:] > 0].any()  # some lie within, so that the claim says something
    assert kept <= 0.01 * pieces


def test_membrane_is_thin_dark_and_between_neurites() -> None:
    config = PhantomConfig(shape_vx=(24, 200, 200), seed=1, missing_rate=0, contrast_rate=0, fold_rate=0)
    raw, labels = Phantom(config).render((0, 0, 0), config.shape_vx)
    dense = Phantom(config.model_copy(update={"membrane_label0": False})).render((0, 0, 0), config.shape_vx)[1]
    inside = labels > 0
    assert 0.05 < 1 - inside.mean() < 0.2
    assert dense.min() > 0
    assert np.array_equal(labels[inside], dense[inside])
    assert raw[~inside].mean() < raw[inside].mean() - 30
    # two neurites never touch where membrane is 0, seen in the plane
    assert not ((labels[:, 1:] != labels[:, :-1]) & inside[:, 1:] & inside[:, :-1]).mean() > 1e-3


def test_artefacts_happen_at_their_rates() -> None:
    base = {"shape_vx": (200, 16, 16), "contrast_rate": 0.0, "fold_rate": 0.0}
    lost = (
        Phantom(PhantomConfig(**base, missing_rate=0.25)).render((0, 0, 0), (200, 16, 16))[0].reshape(200, -1).max(1)
        == 0
    )
    assert 25 < lost.sum() < 75
    assert (
        not (Phantom(PhantomConfig(**base, missing_rate=0.0)).render((0, 0, 0), (200, 16, 16))[0] == 0)
        .all((1, 2))
        .any()
    )
    flat = {"shape_vx": (40, 64, 64), "missing_rate": 0.0}
    calm = Phantom(PhantomConfig(**flat, contrast_rate=0.0, fold_rate=0.0)).render((0, 0, 0), (40, 64, 64))
    for rates in ({"contrast_rate": 1.0, "fold_rate": 0.0}, {"contrast_rate": 0.0, "fold_rate": 1.0}):
        raw, labels = Phantom(PhantomConfig(**flat, **rates)).render((0, 0, 0), (40, 64, 64))
        assert np.array_equal(labels, calm[1])
        assert not np.array_equal(raw, calm[0])


def test_rods_fill_space_without_meeting() -> None:
    for site in itertools.product(range(4), repeat=3):
        axis = axis_of(*site)
        ways = [a for a in range(3) if a != axis and axis_of(*(c + (a == n) for n, c in enumerate(site))) >= 0]
        assert axis < 0 or len(ways) == 1  # the way of a branch is always defined
    assert sum(axis_of(*site) >= 0 for site in itertools.product(range(4), repeat=3)) == 48
    low, high = np.full(3, -6), np.full(3, 6)
    links, ids = build_links(0, low, high - low, low, high, 100.0, JITTER, 0.1, 0.5)
    part, part_ids = build_links(0, np.zeros(3, int), np.full(3, 4), low, high, 100.0, JITTER, 0.1, 0.5)
    assert np.array_equal(part, links[6:10, 6:10, 6:10])
    assert np.array_equal(part_ids, ids[6:10, 6:10, 6:10])
    steps = np.linspace(0, 1, 12)[:, None]
    lines = [(i, r[:3] + steps * (r[3:6] - r[:3])) for i, r in zip(ids[ids > 0], links[ids > 0], strict=True)]
    points, owner = np.concatenate([p for _, p in lines]), np.repeat([i for i, _ in lines], len(steps))
    for i, line in lines[::20]:
        others = points[owner != i]
        assert np.linalg.norm(others[None] - line[:, None], axis=2).min() > 100 * (1 - 2 * JITTER) - 1


def test_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 4 voxels"):
        parse_config(PhantomConfig, {"shape_vx": [9, 9, 9], "neurite_spacing_nm": 100}, "a.toml")
    with pytest.raises(UserError, match="should be positive"):
        parse_config(PhantomConfig, {"shape_vx": [9, 0, 9]}, "a.toml")
    small = PhantomConfig(shape_vx=(3, 9, 9))
    with pytest.raises(UserError, match=r"ends in \.zarr"):
        write_phantom(small, tmp_path / "a")
    write_phantom(small, tmp_path / "a.zarr")
    with pytest.raises(UserError, match="exists already"):
        write_phantom(small, tmp_path / "a.zarr")
    write_phantom(small.model_copy(update={"seed": 1}), tmp_path / "a.zarr", overwrite=True)
    assert Volume.open(tmp_path / "a.zarr/raw").attrs["provenance"]["parameters"]["seed"] == 1
