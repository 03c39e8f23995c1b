"""Scales of Neuroglancer's precomputed format: how each is stored.

tensorstore is imported where it is used: a forked child must not use it after its parent did.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import Zyx
from neuroadda.publishing.kvstores import to_kvstore
from neuroadda.publishing.scale_stage import WriteScale
from neuroadda.publishing.scales import Layer, Scale, plan_extents
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location

SHARD_BITS, BITS_OF_LARGE_VOXELS, LARGE_VOXEL_BYTES = 6, 3, 8


class PrecomputedScale(Scale):
    """One scale; everything zyx.

    Attributes
    ----------
    shard_bits
        Logarithm of how many chunks lie in a file; 0 where each has its own.
    """

    shard_bits: int

    @property
    def key(self) -> str:
        """Name of the folder: the voxel size, xyz."""
        return "_".join(f"{length:g}" for length in self.voxel_size_nm[::-1])

    @property
    def counts(self) -> Zyx:
        """Chunks along each axis."""
        z, y, x = (-(-s // c) for s, c in zip(self.shape_vx, self.chunk_vx, strict=True))
        return z, y, x

    @property
    def block_vx(self) -> Zyx:
        """What is written at once: a whole shard, or two chunks an axis. So no two blocks write to one file."""
        side = [1, 1, 1] if self.shard_bits else [2, 2, 2]
        for bit, (axis, _) in enumerate(_list_bits(self.counts)):
            side[axis] *= 2 if bit < self.shard_bits else 1
        z, y, x = (s * c for s, c in zip(side, self.chunk_vx, strict=True))
        return z, y, x

    @property
    def grid(self) -> BlockGrid:
        """Blocks of `block_vx`."""
        return BlockGrid.make(Roi(self.begin_vx, self.shape_vx), Coordinate(1, 1, 1), self.block_vx)

    def list_files(self, begin_vx: Sequence[int], shape_vx: Sequence[int]) -> list[str]:
        """Return the names of the files that hold a block."""
        low = np.array(begin_vx) - self.begin_vx
        first, last = low // self.chunk_vx, -(-(low + shape_vx) // self.chunk_vx)
        if self.shard_bits:
            bits = list(_list_bits(self.counts))
            code = sum(int(first[axis] >> level & 1) << place for place, (axis, level) in enumerate(bits))
            digits = -(-(len(bits) - self.shard_bits) // 4)
            return [f"{code >> self.shard_bits:0{digits}x}.shard"]
        return [self._name_chunk(place) for place in product(*map(range, first, last))]

    def open(self, folder: Location) -> Any:
        """Open the array below the folder of the volume, xyzc, to be read or written; its ``info`` need not be there."""
        import tensorstore

        context = tensorstore.Context()
        memory: dict[str, Any] = {"base": {"driver": "memory"}, "exact": "info"}
        layers = {"driver": "kvstack", "layers": [{"base": to_kvstore(folder)}, memory]}
        return self._open(layers, context, store_data_equal_to_fill_value=True)

    def add_to(self, memory: dict[str, Any], context: Any) -> None:
        """Add the scale to the ``info`` in a key-value store of tensorstore."""
        self._open(memory, context)

    def _open(self, kvstore: dict[str, Any], context: Any, **options: Any) -> Any:
        import tensorstore

        labels = self.layer == "segmentation"
        scale: dict[str, Any] = {
            "key": self.key,
            "size": self.shape_vx[::-1],
            "resolution": self.voxel_size_nm[::-1],
            "voxel_offset": self.begin_vx[::-1],
            "chunk_size": self.chunk_vx[::-1],
            "encoding": "compressed_segmentation" if labels else "raw",
        }
        if labels:
            scale["compressed_segmentation_block_size"] = [8, 8, 8]
        if self.shard_bits:
            scale["sharding"] = {
                "@type": "neuroglancer_uint64_sharded_v1",
                "preshift_bits": self.shard_bits,
                "minishard_bits": 0,
                "shard_bits": len(list(_list_bits(self.counts))) - self.shard_bits,
                "hash": "identity",
                "minishard_index_encoding": "gzip",
                "data_encoding": "gzip",
            }
        kind = "segmentation" if labels else "image"
        all_scales = {"type": kind, "data_type": self.data_type, "num_channels": self.channels or 1}
        spec = {"driver": "neuroglancer_precomputed", "kvstore": kvstore, **options}
        spec |= {"multiscale_metadata": all_scales, "scale_metadata": scale}
        return tensorstore.open(spec, context=context, open=True, create=True).result()

    def _name_chunk(self, place: Sequence[int]) -> str:
        begin, end = self.box
        low = begin + np.array(place) * self.chunk_vx
        high = np.minimum(low + self.chunk_vx, end)
        return "_".join(f"{a}-{b}" for a, b in zip(low[::-1], high[::-1], strict=True))


class WritePrecomputed(WriteScale):
    """The stage that writes one scale."""

    kind: ClassVar[str] = "precomputed"

    scale: PrecomputedScale
    finer: PrecomputedScale | None


def plan_scales(
    layer: Layer, volume: Volume, like: Volume, chunk_vx: Zyx, fit_vx: int, shard_above: int
) -> list[PrecomputedScale]:
    """Return the scales of a volume over the extent of another, which has the same voxels; from fine to coarse.

    Raises
    ------
    UserError
        If the offset is not a whole number of voxels.
    """
    data_type = "uint64" if layer == "segmentation" else str(volume.dtype)
    return [
        _shard(PrecomputedScale(**dict(extent), shard_bits=0), shard_above)
        for extent in plan_extents(layer, data_type, volume, like, chunk_vx, fit_vx)
    ]


def _shard(scale: PrecomputedScale, above: int) -> PrecomputedScale:
    """Return the scale with many chunks in a file, where it has more than so many."""
    if np.prod(scale.counts) <= above:
        return scale
    voxel_bytes = np.dtype(scale.data_type).itemsize * (scale.channels or 1)
    bits = SHARD_BITS if voxel_bytes <= LARGE_VOXEL_BYTES else BITS_OF_LARGE_VOXELS
    return scale.model_copy(update={"shard_bits": min(bits, len(list(_list_bits(scale.counts))) - 1)})


def describe_scales(scales: Sequence[PrecomputedScale]) -> dict[str, Any]:
    """Return the ``info`` of a volume, as tensorstore writes it."""
    import tensorstore

    context, memory = tensorstore.Context(), {"driver": "memory"}
    for scale in scales:
        scale.add_to(memory, context)
    store = tensorstore.KvStore.open(memory, context=context).result()
    described: dict[str, Any] = json.loads(store.read("info").result().value)
    return described


def _list_bits(counts: Zyx) -> Iterator[tuple[int, int]]:
    """Yield (axis, bit of the chunk's place) for each bit of a chunk's number, the lowest first: the compressed Morton code."""
    for level in range(max(counts).bit_length()):
        yield from ((axis, level) for axis in (2, 1, 0) if 1 << level < counts[axis])
