"""Scales of Neuroglancer's precomputed format: how each lies and is stored.

Coarser voxels lie on the lattice that begins at voxel 0, not at the volume's corner, since the format has whole voxel offsets. So
every scale is in its place, whatever the offset; a coarser voxel at the border stands for the finer ones that exist.
tensorstore is imported where it is used: a forked child must not use it after its parent did.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuroadda.config import Config, Zyx, ZyxFloat
from neuroadda.publishing.whole_voxels import first_voxel
from neuroadda.pyramids.downsampling import choose_factor
from neuroadda.volumes.arrays import Volume

Layer = Literal["raw", "affs", "segmentation"]
SHARD_BITS, BITS_OF_LARGE_VOXELS, LARGE_VOXEL_BYTES = 6, 3, 8


class Scale(Config):
    """One scale; everything zyx.

    Attributes
    ----------
    begin_vx
        The first voxel, in voxels of this scale from the origin.
    channels
        None for one channel that the source has no axis for.
    shard_bits
        Logarithm of how many chunks lie in a file; 0 where each has its own.
    """

    layer: Layer
    data_type: str
    channels: int | None
    begin_vx: Zyx
    shape_vx: Zyx
    voxel_size_nm: ZyxFloat
    chunk_vx: Zyx
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
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """First voxel, and the one after the last."""
        begin = np.array(self.begin_vx)
        return begin, begin + self.shape_vx

    @property
    def block_vx(self) -> Zyx:
        """What is written at once: a whole shard, or two chunks an axis. So no two blocks write to one file."""
        side = [1, 1, 1] if self.shard_bits else [2, 2, 2]
        for bit, (axis, _) in enumerate(_list_bits(self.counts)):
            side[axis] *= 2 if bit < self.shard_bits else 1
        z, y, x = (s * c for s, c in zip(side, self.chunk_vx, strict=True))
        return z, y, x

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

    def open(self, folder: Path) -> Any:
        """Open the array below the folder of the volume, xyzc, to be read or written; its ``info`` need not be there."""
        import tensorstore

        context = tensorstore.Context()
        memory: dict[str, Any] = {"base": {"driver": "memory"}, "exact": "info"}
        layers = {"driver": "kvstack", "layers": [{"base": {"driver": "file", "path": f"{folder}/"}}, memory]}
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


def plan_scales(
    layer: Layer, volume: Volume, like: Volume, chunk_vx: Zyx, fit_vx: int, shard_above: int
) -> list[Scale]:
    """Return the scales of a volume over the extent of another, which has the same voxels; from fine to coarse.

    Raises
    ------
    UserError
        If the offset is not a whole number of voxels.
    """
    begin, shape, size = first_voxel(like), np.array(like.shape_vx), np.array(like.voxel_size_nm)
    data_type = "uint64" if layer == "segmentation" else str(volume.dtype)
    scales = []
    while True:
        voxel_bytes = np.dtype(data_type).itemsize * (volume.channels or 1)
        scale = Scale(
            layer=layer,
            data_type=data_type,
            channels=volume.channels,
            begin_vx=_to_zyx(begin),
            shape_vx=_to_zyx(shape),
            voxel_size_nm=(float(size[0]), float(size[1]), float(size[2])),
            chunk_vx=chunk_vx,
            shard_bits=0,
        )
        if np.prod(scale.counts) > shard_above:
            bits = SHARD_BITS if voxel_bytes <= LARGE_VOXEL_BYTES else BITS_OF_LARGE_VOXELS
            scale = scale.model_copy(update={"shard_bits": min(bits, len(list(_list_bits(scale.counts))) - 1)})
        scales.append(scale)
        if shape.max() <= fit_vx:
            return scales
        factor = np.array(choose_factor(shape.tolist(), size.tolist()))
        end = -(-(begin + shape) // factor)
        begin, size = begin // factor, size * factor
        shape = end - begin


def describe_scales(scales: Sequence[Scale]) -> dict[str, Any]:
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


def _to_zyx(values: np.ndarray) -> Zyx:
    z, y, x = values.tolist()
    return z, y, x
