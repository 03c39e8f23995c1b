"""Regions of interest as a user gives them: nanometres in, world units of a volume out."""

from funlib.geometry import Coordinate, Roi

from neuroadda.config import Config, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume, describe_roi


class RoiConfig(Config):
    """A box in nm, zyx.

    Attributes
    ----------
    offset_nm
        Its first corner, in the world coordinates of the volume; on the voxel grid.
    shape_nm
        Its lengths, whole voxels.
    """

    offset_nm: ZyxFloat
    shape_nm: ZyxFloat

    def to_roi(self, volume: Volume) -> Roi:
        """Return the box in the volume's world units.

        Raises
        ------
        UserError
            If it is empty, not on the voxel grid or not inside the volume.
        """
        scale = volume.units_per_nm
        begin, shape = (Coordinate(round(c * scale) for c in part) for part in (self.offset_nm, self.shape_nm))
        roi = Roi(begin, shape)
        if any(s <= 0 for s in shape):
            raise UserError(f"the ROI {describe_roi(roi)} is empty", str(volume.path), "give a shape_nm above zero")
        volume.to_slices(roi)
        return roi


def roi_or_all(roi: RoiConfig | None, volume: Volume) -> Roi:
    """Return a ROI in a volume's world units; None is all of it. It raises what `RoiConfig.to_roi` does."""
    return volume.roi if roi is None else roi.to_roi(volume)
