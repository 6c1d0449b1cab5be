"""Whether a model is compiled for the images of a job, where their number is known beforehand.

To compile a large SavedModel takes longer than its plain call takes for some ten images. What is
compiled is kept and opened by every later start, so that it is the plain call's turn only where a
job is small, and nothing is kept.
"""

from __future__ import annotations

from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.kept_models import kept_spec, place_of
from beamscope.transforms.inference.model_files import model_bytes

# With BiT 50x1 the plain call is sooner for some 60 images of 224 px, and 15 of 448 px
# (docs/models.md).
FEW_IMAGES = 16
# What takes less than this is not worth a second kind of call.
_WORTH_SAVING_SECONDS = 4.0


def seconds_saved(found: FoundModel, images: int) -> float | None:
    """Return about how long compiling would take, where the plain call is sooner for a job.

    In float32 both give the same embeddings, up to some 0.00002 of the largest value.

    Args:
      found: the model, and how it is to be called.
      images: how many are to be embedded.

    Returns:
      seconds; None where the model is to be compiled, was compiled before, or is not compiled.
    """
    settings = found.settings
    if images > FEW_IMAGES or settings.compile != "auto" or settings.computed_in != "float32":
        return None
    place = place_of(found)
    if place is None or not place.compiler.seconds_per_byte:
        return None
    # The sum of the files is at once there, the digest in the key is read once a process.
    seconds = model_bytes(str(found.path)) * place.compiler.seconds_per_byte
    if seconds < _WORTH_SAVING_SECONDS or kept_spec(place) is not None:
        return None
    return seconds
