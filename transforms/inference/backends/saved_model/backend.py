"""The backend of TensorFlow 2 SavedModels; TensorFlow is imported when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beamscope.transforms.inference.backends.base import Backend
from beamscope.transforms.inference.backends.saved_model.compilers import Graph, OpenVino, Xla
from beamscope.transforms.inference.model_files import model_name
from beamscope.transforms.inference.model_memory import refuse_where_lacking
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.stand_ins import stand_in
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

if TYPE_CHECKING:
    from beamscope.transforms.inference.backends.saved_model.loading import SavedModel

_GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")


class SavedModelBackend(Backend["SavedModel"]):
    """Open the directory of a TensorFlow 2 SavedModel."""

    name = "saved_model"
    summary = "a TensorFlow 2 SavedModel"
    library = "tensorflow"
    # On processors OpenVINO is the fastest; XLA serves everywhere; `graph` is only asked for.
    compilers = (OpenVino(), Xla(), Graph())

    def refusal(self, path: Path) -> str | None:
        """Return why a path is not the directory of a SavedModel; None where it is."""
        if not path.is_dir():
            return "a file, not the directory of a SavedModel"
        if not any((path / name).is_file() for name in _GRAPH_FILES):
            return "the directory holds no saved_model.pb"
        return None

    def start(self) -> None:
        """Import TensorFlow, and set up its GPUs."""
        from beamscope.transforms.inference.backends.saved_model import devices

        devices.grow_gpu_memory()
        devices.forbid_tensor_float()

    def gpus(self) -> list[str]:
        """Return the names of the GPUs that TensorFlow sees."""
        from beamscope.transforms.inference.backends.saved_model import devices

        return devices.gpus()

    def require_gpu(self) -> None:
        """Raise InputError (``no_gpu``) unless TensorFlow sees a GPU."""
        from beamscope.transforms.inference.backends.saved_model import devices

        devices.require_gpu()

    def load(self, path: Path, settings: ModelSettings) -> SavedModel:
        """Load a SavedModel where there is memory for it, see `loading.load`."""
        from beamscope.transforms.inference.backends.saved_model.loading import load

        variables = list(path.glob("variables/*"))
        for file in (*(path / name for name in _GRAPH_FILES), *variables):
            other = stand_in(file) if file.is_file() else None
            if other is not None:
                raise InputError(
                    Kind.BAD_MODEL,
                    f"model {model_name(settings.uri)}: {file.relative_to(path)} {other}",
                )
        weights = sum(file.stat().st_size for file in variables)
        refuse_where_lacking(model_name(settings.uri), "load", weights)
        return load(path, settings)


SAVED_MODEL = SavedModelBackend()
