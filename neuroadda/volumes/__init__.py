"""Arrays in world units.

- `arrays`, `axes`, `nodes`, `stored`, `locations`, `urls`, `placing`, `regions`: an array, its axes and units, where it is stored.
- `readers/`: every format that can be imported; one file each. `importing`, `exporting`: into our arrays, and out of them.
- `masks`, `resampling`, `info`, `neuroglancer`, `phantom`.
"""
