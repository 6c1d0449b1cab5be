"""What a process that makes an entry may come to, in the place of `first_start._make`.

`killed`, `refuses` and `raises` stand in the place of `load_apart._load` too.

No TensorFlow is imported, and the spec is not that of the model.
"""

from __future__ import annotations

import os
import signal

import numpy as np

from beamscope.transforms.apart import Apart
from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.first_start import Outcome
from beamscope.transforms.inference.kept_models import Kept, Place
from beamscope.transforms.inference.model_settings import ModelSpec
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

SPEC = ModelSpec(
    backend="saved_model", name="m", digest="0", called="object", input_name="images",
    input_size=16, size_source="model", input_dtype="float32", input_layout="channels_last",
    input_channels=3, input_range="0..1", range_source="assumed", output_key=None,
    output_shape=(5,), output_layout="channels_last", pooling="none", first_patch=0, features=5,
)  # fmt: skip


def killed(*given: object) -> None:
    """As where memory runs out while the model is loaded."""
    del given
    os.kill(os.getpid(), signal.SIGKILL)


def killed_while_it_compiles(apart: Apart, found: FoundModel, place: Place) -> None:
    del found
    apart.tell(SPEC)
    (place.cache.partial(place.key) / "model.bin").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)


def refuses(*given: object) -> None:
    del given
    raise InputError(Kind.BAD_MODEL, "model m: it is none")


def raises(*given: object) -> None:
    del given
    raise ImportError("no module named that")


def keeps_nothing(apart: Apart, found: FoundModel, place: Place) -> Outcome:
    """As where the disk is full."""
    del found, place
    apart.tell(SPEC)
    return Outcome()


def keeps_what_does_not_serve(apart: Apart, found: FoundModel, place: Place) -> Outcome:
    del found
    apart.tell(SPEC)
    (place.cache.partial(place.key) / "model.xml").write_text("no graph")
    Kept(SPEC, "", np.zeros((3, 5), np.float32)).write(place)
    return Outcome(kept=True)
