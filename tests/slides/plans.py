"""Plans of slides that are no files."""

import cv2
import numpy as np

from beamscope.transforms.slides.picture import Picture
from beamscope.transforms.slides.planning.plan import ReadyPlan, SlideFacts
from beamscope.transforms.slides.planning.resolution import SlideMpp
from beamscope.transforms.slides.readers.geometry import ReadPlan


def opened(slide_id: str = "s") -> dict[str, object]:
    """What an empty plan and a ready one have in common."""
    return {
        "slide_id": slide_id,
        "uri": f"{slide_id}.svs",
        "facts": SlideFacts("aperio", 100, 100),
        "mpp": SlideMpp(0.25, 0.25, "slide"),
        "read": ReadPlan(0, 1.0, 20, 10, 0.5, 0.25),
        "reader": "native",
    }


def ready(patches: int, slide_id: str = "s", **changes) -> ReadyPlan:
    """Patches of 20 level-0 pixels in a row, two in a block."""
    return ReadyPlan(
        **(opened(slide_id) | changes),
        x_level0=np.arange(patches, dtype=np.int32) * 20,
        y_level0=np.zeros(patches, np.int32),
        tissue=np.ones(patches, np.float32),
        block_size=2,
        picture=grey_picture(),
    )


def grey_picture() -> Picture:
    """A picture of 100 x 100 level-0 pixels."""
    done, jpeg = cv2.imencode(".jpg", np.full((40, 40, 3), 240, np.uint8))
    assert done
    return Picture(jpeg.tobytes(), 0, 0, 2.5)
