"""The settings of a slide job that change its rows."""

from __future__ import annotations

import dataclasses

from beamscope.transforms.fingerprints import in_embedding, in_permission, in_plan
from beamscope.transforms.slides.fit import Fit
from beamscope.transforms.slides.readers.registry import READERS as _READERS
from beamscope.transforms.slides.tissue.detection import MIN_HOLE_UM2, MIN_OBJECT_UM2
from beamscope.transforms.slides.tissue.quality import Reason

TISSUE_MODES = ("otsu", "none", "mask")
# auto: the first reader of the registry that serves a slide. No reader is imported for its name.
READERS = ("auto", *_READERS.names())
# area: by area averaging, whichever reader; decoder: by the JPEG decoder where it can, faster.
DOWNSCALES = ("area", "decoder")


@dataclasses.dataclass(frozen=True)
class SlideSettings:
    """How slides are cut into patches.

    Attributes:
      mpp: resolution of the patches, µm/px.
      patch_px: side of a patch.
      stride_px: from patch to patch, in pixels of the patch.
      tissue: how tissue is found, one of `TISSUE_MODES`.
      otsu_without_mask: where tissue is a mask, find that of slides without a mask by Otsu.
      min_tissue: fraction of a patch that must be tissue, 0 to 1.
      tissue_threshold: 0 to 1 of the largest saturation (brightness on dark slides), above which
        there is tissue; None for Otsu's.
      min_object_um2: a smaller object is no tissue, µm².
      min_hole_um2: a smaller hole is tissue, µm².
      drop: reasons of poor quality (`quality.REASONS`) for which patches are left out, each with
        its threshold.
      mask_classes: names of the QuPath classes of a mask that are tissue, sorted; empty for all but
        ``Ignore*``.
      allow_implausible_mpp: take implausible resolutions as they are.
      allow_upsampling: enlarge slides that are coarser than `mpp`.
      block_size: patches in a block.
      reader: the name of the reader, one of `READERS`.
      downscale: how the pixels that are read become a smaller patch, one of `DOWNSCALES`.
      fit: how a patch becomes the model's input; None where it has that size already.
    """

    mpp: float = in_plan(default=0.5)
    patch_px: int = in_plan(default=224)
    stride_px: int = in_plan(default=224)
    tissue: str = in_plan(default="otsu")
    min_tissue: float = in_plan(default=0.25)
    tissue_threshold: float | None = in_plan(default=None)
    min_object_um2: float = in_plan(default=MIN_OBJECT_UM2)
    min_hole_um2: float = in_plan(default=MIN_HOLE_UM2)
    drop: tuple[tuple[Reason, float], ...] = in_plan(default=())
    mask_classes: tuple[str, ...] = in_plan(default=())
    otsu_without_mask: bool = in_permission(default=False)
    allow_implausible_mpp: bool = in_permission(default=False)
    allow_upsampling: bool = in_permission(default=False)
    block_size: int = in_plan(default=256)
    reader: str = in_plan(default="auto")
    downscale: str = in_plan(default="area")
    fit: Fit | None = in_embedding(default=None)
