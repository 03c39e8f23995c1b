"""How what a network learns from is changed at random."""

from typing import Annotated, Literal

from pydantic import Field

from neuroadda.config import Config, Zyx, ZyxFloat

Probability = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]


class AugmentConfig(Config):
    """Random changes to what the network sees. Probabilities of 0 turn them off.

    Attributes
    ----------
    transpose
        Which axes may be exchanged: ``"yx"``, or ``"zyx"`` for isotropic volumes; mirroring is always along all of them
        and z.
    elastic
        Probability of an elastic deformation with a rotation in the section.
    elastic_spacing_vx
        Distance of the control points of an elastic deformation.
    elastic_jitter_vx
        Standard deviation of the control points' places.
    elastic_scale
        Smallest and largest scale factor of an elastic deformation, for all axes: leave it at 1 where sections are thick.
    misalign
        Probability, for each section of a sample that is deformed elastically, that it slips; as often, all after it shift.
    max_misalign_vx
        Largest slip or shift.
    contrast
        Intensities (0 to 1) are scaled by a factor between 1 - contrast and 1 + contrast; by section if `sectionwise`.
    brightness
        Intensities are shifted by up to this, up or down; by section if `sectionwise`.
    gamma
        Intensities are raised to a power between 1 / gamma and gamma (as likely below 1 as above); by section if `sectionwise`.
    sectionwise
        Draw contrast, brightness and gamma for each section, not once for a sample.
    missing
        Probability of each section to be black.
    low_contrast
        Probability of each section to be nearly without contrast.
    noise
        Standard deviation of Gaussian noise (raw in 0..1), used for half of the batches.
    """

    transpose: Literal["none", "yx", "zyx"] = "yx"
    elastic: Probability = 0.5
    elastic_spacing_vx: Zyx = (4, 48, 48)
    elastic_jitter_vx: ZyxFloat = (0.0, 2.0, 2.0)
    elastic_scale: tuple[float, float] = (1.0, 1.0)
    misalign: Probability = 0.0
    max_misalign_vx: Annotated[int, Field(ge=0)] = 8
    contrast: NotNegative = 0.15
    brightness: NotNegative = 0.1
    gamma: Annotated[float, Field(ge=1)] = 1.0
    sectionwise: bool = True
    missing: Probability = 0.0
    low_contrast: Probability = 0.0
    noise: NotNegative = 0.02
