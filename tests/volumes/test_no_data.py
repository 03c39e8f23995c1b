"""Where a volume has no data: the rule against a plain one, and that it does not depend on the box that is looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.volumes import no_data
from neuroadda.volumes.no_data import find_constant


def find_plainly(sections, sides, borders):
    """Try every rectangle."""
    found = np.zeros(sections.shape, bool)
    for section, target in zip(sections, found, strict=True):
        for axis in (0, 1):
            pad = [(0, 0), (0, 0)]
            pad[axis] = tuple((sides[axis] - 1) * ends for ends in borders[axis])
            wider, steps = np.pad(section, pad, mode="edge"), list(sides)
            covered = mark(wider, steps, None)
            while max(steps) > no_data.SMALLEST_VX:
                steps = [s if s <= no_data.SMALLEST_VX else max(no_data.SMALLEST_VX, s // 2) for s in steps]
                covered |= mark(wider, steps, covered)
            target |= covered[tuple(slice(p[0], p[0] + n) for p, n in zip(pad, section.shape, strict=True))]
    return found


def mark(section, sides, near):
    covered = np.zeros(section.shape, bool)
    for y in range(section.shape[0] - sides[0] + 1):
        for x in range(section.shape[1] - sides[1] + 1):
            part = slice(y, y + sides[0]), slice(x, x + sides[1])
            if section[part].min() == section[part].max() and (near is None or near[part].any()):
                covered[part] = True
    return covered


@given(
    shape=st.tuples(st.just(2), st.integers(1, 20), st.integers(1, 20)),
    sides=st.tuples(st.integers(2, 8), st.integers(2, 8)),
    borders=st.tuples(*[st.tuples(st.booleans(), st.booleans())] * 2),
    share=st.sampled_from([0.02, 0.1, 0.3]),
    seed=st.integers(0, 1000),
)
def test_it_finds_what_trying_every_rectangle_finds(shape, sides, borders, share, seed):
    sections = (np.random.default_rng(seed).random(shape) < share).astype(np.uint8) * 255
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(no_data, "SMALLEST_VX", 2)
        assert (find_constant(sections, sides, borders) == find_plainly(sections, sides, borders)).all()
