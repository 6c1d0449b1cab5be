"""The naming convention of the REMEDIS models, which gives the size and range of their input.

`{cxr,path}-{50x1,52x2,152x2}-remedis-{m,s}`: the modality it was trained on, the BiT ResNet (layers
x width), and the BiT checkpoint where the training began (m: ImageNet-21k, s: ILSVRC-2012).
Source: Azizi et al., "Robust and data-efficient generalization of self-supervised machine learning
for diagnostic imaging", Nature Biomedical Engineering 2023, and the README of its model release.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

Modality = Literal["cxr", "path"]

_NAME = re.compile(
    r"(?P<modality>cxr|path)-(?P<architecture>50x1|52x2|152x2)-remedis-(?P<start>[ms])"
    r"(?:[-_.]?v?\d+(?:\.\d+)*)?",
    re.IGNORECASE,
)
# A version directory of TensorFlow Serving, such as `…/path-50x1-remedis-m/1`.
_VERSION = re.compile(r"v?\d+(?:\.\d+)*", re.IGNORECASE)
_INPUT_SIZE: dict[Modality, int] = {"path": 224, "cxr": 448}


@dataclasses.dataclass(frozen=True)
class RemedisModel:
    """The properties that the name of a REMEDIS model gives.

    Attributes:
      modality: ``path`` for pathology patches, ``cxr`` for chest X-rays.
      architecture: the BiT ResNet, ``50x1`` or ``152x2``.
      start: ``m`` or ``s``, the BiT checkpoint where its training began.
      input_size: height and width of its images in pixels, 224 or 448.
      input_range: range of its float RGB input, always ``0..1``.
    """

    modality: Modality
    architecture: Literal["50x1", "152x2"]
    start: Literal["m", "s"]
    input_size: int
    input_range: Literal["0..1"] = "0..1"


def parse_remedis_name(uri: str) -> RemedisModel | None:
    """Parse the name of a model's directory; return None if it does not follow the convention.

    Letter case, a trailing slash and a version (`path-50x1-remedis-m_1`, `cxr-152x2-remedis-s/2`)
    make no difference. `52x2` means 152x2: some names of the convention have this misprint, and
    there is no network 52x2.

    Args:
      uri: path or URI of the SavedModel's directory.
    """
    parts = [part for part in re.split(r"[/\\]+", uri) if part]
    if len(parts) > 1 and _VERSION.fullmatch(parts[-1]):
        parts.pop()
    match = _NAME.fullmatch(parts[-1]) if parts else None
    if match is None:
        return None
    modality: Modality = "cxr" if match["modality"].lower() == "cxr" else "path"
    return RemedisModel(
        modality=modality,
        architecture="50x1" if match["architecture"].lower() == "50x1" else "152x2",
        start="m" if match["start"].lower() == "m" else "s",
        input_size=_INPUT_SIZE[modality],
    )
