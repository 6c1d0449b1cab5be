"""Compiled models of earlier starts: found by what decides about them, opened without TensorFlow.

With the compiled files lie the spec of the model and what its plain call answered to trial images,
so that a later process can compare without the plain call.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.backends.base import KeptCompiler, compiled_by
from beamscope.transforms.inference.compiled_cache import CompiledCache, usable_cache
from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.model_files import model_digest, model_name
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.inference.remedis import parse_remedis_name
from beamscope.transforms.inference.trial_images import structured_images

# Of the entries; another number leaves older ones to the bound.
_FORMAT = 2
_ANSWERS = "answers.npy"
# What says where a model lies, or only how many images it gets at a time.
_WITHOUT_MEANING = ("uri", "model_sha256", "batch_size", "card_resize")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a compiled model is kept, or is to be.

    Attributes:
      cache: that keeps it.
      key: of its entry.
      compiler: that makes and opens it.
    """

    cache: CompiledCache
    key: str
    compiler: KeptCompiler[Any]

    @property
    def folder(self) -> Path:
        """Of the entry, where there is one."""
        return self.cache.directory / self.key


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """What lies with the files of a compiled model.

    Attributes:
      spec: how the model is called.
      detail: the compiler's own note.
      answers: of the plain call to the first trial images, float32 ``[n, D]``.
    """

    spec: ModelSpec
    detail: str
    answers: npt.NDArray[np.float32]

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The trial images, uint8 ``[n, size, size, 3]``."""
        return structured_images(len(self.answers), self.spec.input_size)

    def write(self, place: Place) -> bool:
        """Keep it, with what the compiler wrote into the place's partial folder."""
        np.save(place.cache.partial_folder(place.key) / _ANSWERS, self.answers)
        header = {
            "format": _FORMAT,
            "spec": self.spec.to_json(),
            "detail": self.detail,
            "pixels": google_crc32c.value(self.pixels.tobytes()),
        }
        return place.cache.keep(place.key, header)


@dataclasses.dataclass(frozen=True)
class Failed:
    """A model that the compiler of its place does not serve, so that it is not tried again.

    Attributes:
      spec: how the model is called.
      failure: one line on what is wrong with what was compiled; None if it was only not kept.
    """

    spec: ModelSpec
    failure: str | None

    def write(self, place: Place) -> bool:
        """Keep it in the place of files."""
        place.cache.partial(place.key)
        header = {"format": _FORMAT, "spec": self.spec.to_json(), "failure": self.failure}
        return place.cache.keep(place.key, header)


def read_entry(place: Place) -> Kept | Failed | None:
    """Return what an entry is; None where it is of another making."""
    header = place.cache.header(place.key) or {}
    spec = _spec(header)
    if spec is None:
        return None
    if "failure" in header:
        return Failed(spec, header["failure"])
    kept = Kept(spec, header["detail"], np.load(place.folder / _ANSWERS, allow_pickle=False))
    # NumPy may draw other numbers one day.
    same = header["pixels"] == google_crc32c.value(kept.pixels.tobytes())
    return kept if same else None


def place_of(found: FoundModel) -> Place | None:
    """Return where a model's compiled form is kept; None where none is or can be.

    Only a compiler is asked that is sure to be the first one tried, which is not known where there
    may be a GPU before the library of models is imported.
    """
    compiler = _compiler(found)
    cache = usable_cache() if compiler is not None else None
    if compiler is None or cache is None:
        return None
    settings = found.settings
    digest = (settings.model_sha256 or model_digest(found.path)).lower()
    decisive = {
        "format": _FORMAT,
        "backend": found.backend.name,
        "digest": digest,
        **decides_call(settings),
        "way": compiler.name,
        "precision": settings.computed_in,
        "versions": {name: _version(name) for name in ("beamscope", *compiler.packages)},
        "processor": _processor(),
    }
    text = json.dumps(decisive, sort_keys=True, default=str)
    return Place(cache, hashlib.sha256(text.encode()).hexdigest()[:32], compiler)


def kept_spec(place: Place) -> ModelSpec | None:
    """Return how a model is called, where it was compiled here before; else None."""
    header = place.cache.header(place.key) or {}
    return None if "failure" in header else _spec(header)


def _compiler(found: FoundModel) -> KeptCompiler[Any] | None:
    backend, settings = found.backend, found.settings
    chosen = compiled_by(backend, settings)
    if chosen == "none" or not backend.compilers:
        return None
    by_name = {compiler.name: compiler for compiler in backend.compilers}
    compiler = backend.compilers[0] if chosen == "auto" else by_name[chosen]
    if not isinstance(compiler, KeptCompiler) or compiler.missing(settings.computed_in) is not None:
        return None
    return compiler if chosen != "auto" or compiler.is_certain() else None


def decides_call(settings: ModelSettings) -> dict[str, Any]:
    """Return what decides how a model is called, besides its content and its backend."""
    values = dataclasses.asdict(settings)
    return {
        "name": model_name(settings.uri),
        "remedis": str(parse_remedis_name(settings.uri)),
        "settings": {name: value for name, value in values.items() if name not in _WITHOUT_MEANING},
    }


def _spec(header: dict[str, Any]) -> ModelSpec | None:
    if header.get("format") != _FORMAT:
        return None
    values: dict[str, Any] = {name: _tupled(value) for name, value in header["spec"].items()}
    return ModelSpec(**values)


def _tupled(value: Any) -> Any:
    """Return a value of JSON, which has no tuples, as a spec has it; no spec has lists."""
    return tuple(_tupled(each) for each in value) if isinstance(value, list) else value


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


@functools.cache
def _processor() -> str:
    """Return the kind of this machine's processor, with a digest of what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    names = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    known = sorted({line for line in lines if line.partition("\t")[0].strip() in names})
    digest = hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]
    return f"{platform.machine()} {digest}"
