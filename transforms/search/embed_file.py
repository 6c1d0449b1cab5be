"""Embed an image file by the model of a dataset, to search for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.images.decode import decode_image
from beamscope.transforms.images.fit import Fit
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess

# What a dataset records of its model's call, and a user could have chosen.
_CHOSEN = (
    "output_key", "input_size", "input_dtype", "input_range", "input_mean", "input_std",
    "channel_order", "input_layout", "output_layout", "pooling",
)  # fmt: skip


def prepared(dataset: Dataset, data: bytes, column: str | None = None) -> npt.NDArray[np.uint8]:
    """Return a file as the dataset's model takes it: uint8 RGB ``[size, size, 3]``.

    A film is prepared as the films of the dataset were. Another image is fitted as the images of
    the dataset, or scaled as its patches; by ``resize`` where those were cropped or not fitted.

    Args:
      dataset: of the embeddings to compare with.
      data: the file.
      column: the column of embeddings; None for the only one.

    Raises:
      InputError: the image cannot be used.
    """
    # Of several models, those that were given images in other ways differ in some.
    options = dataset.options(column)
    size = int(options["input_size"])
    if dataset.description["job"] == "xrays":
        film = decode_film(data, DecodeSettings(options["window"]))
        prepare = Preprocess(size, options["preprocess"], options["equalize"])
        return prepare.apply(film.pixels, from_dicom=film.origin == "dicom")
    fit = options.get("fit")
    if dataset.description["job"] == "slides" and fit == "crop":
        fit = None
    return Fit(size, fit or "resize").apply(decode_image(data, Limits()).pixels)


def embed_file(
    dataset: Dataset, data: bytes, model: str, column: str | None = None
) -> npt.NDArray[np.float32]:
    """Return the embedding of an image file, ``[features]``.

    Args:
      dataset: of the embeddings to compare with.
      data: the file.
      model: the model that has made them.
      column: the column of embeddings; None for the only one.

    Raises:
      InputError: ``bad_model``, also for another model; or the image cannot be used.
    """
    pixels = prepared(dataset, data, column)
    recorded = dict(dataset.model(column))
    # To compile a model takes longer than one call.
    settings = ModelSettings(uri=model, compile="none")
    digest = recorded.get("digest")
    known = {name: _value(recorded[name]) for name in _CHOSEN if recorded.get(name) is not None}
    loaded = open_model(dataclasses.replace(settings, **known, **_signature(recorded)))
    if loaded.spec.digest != digest:
        raise InputError(
            Kind.BAD_MODEL,
            f"--model {model}: is another model than that of the dataset, "
            f"{recorded.get('name')} with the digest {digest}; embeddings of two models cannot be "
            "compared",
        )
    embedding: npt.NDArray[np.float32] = Embedder(loaded).embed(pixels[None])[0]
    return embedding


def _value(recorded: Any) -> Any:
    return tuple(recorded) if isinstance(recorded, list) else recorded


def _signature(recorded: dict[str, Any]) -> dict[str, Any]:
    called = str(recorded.get("called") or "")
    prefix = "signature "
    return {"signature": called.removeprefix(prefix)} if called.startswith(prefix) else {}
