import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import maximum_filter

from neuroadda.segmentation.seeds import find_maxima

shapes = st.one_of(st.tuples(*[st.integers(1, 12)] * 2), st.tuples(*[st.integers(1, 6)] * 3))
maps = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.integers(0, 4).map(np.float32)))


@given(values=maps, reach=st.integers(0, 4))
def test_maxima_are_those_of_a_maximum_filter(values, reach):
    sides = tuple(max(0, reach - axis) for axis in range(values.ndim))
    filtered = maximum_filter(values, size=[2 * side + 1 for side in sides])
    assert (find_maxima(values, sides) == (filtered == values)).all()
