"""The registry of other commands. A new one is a module with `run` and one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from beamscope.transforms.registry import Registry

Command = Callable[[Sequence[str]], int]

# Import paths, not functions: listing the commands must not import TensorFlow.
COMMANDS: Registry[Command] = Registry("command", "beamscope.commands")
_HERE = "beamscope.pipelines.commands"
COMMANDS.register(
    "plan", f"{_HERE}.plan:run", "plan a job without a model: patches, failures, hours, cost"
)
COMMANDS.register("status", f"{_HERE}.status:run", "show a job's progress")
COMMANDS.register("verify", f"{_HERE}.verify:run", "check all files of an output")
COMMANDS.register("clean", f"{_HERE}.clean:run", "remove what a finished dataset does not need")
COMMANDS.register("problems", f"{_HERE}.problems:run", "show what went wrong in an output")
COMMANDS.register(
    "export", f"{_HERE}.export:run", "write a dataset as HDF5, AnnData, CSV, NumPy or GeoJSON"
)
COMMANDS.register(
    "search", f"{_HERE}.search:run", "find the patches or films that look like one; make a page"
)
COMMANDS.register(
    "slide-vectors", f"{_HERE}.slide_vectors:run", "write one vector for each slide of a dataset"
)
COMMANDS.register(
    "probe", f"{_HERE}.probe:run", "fit small models to embeddings and labels; make the curve"
)
COMMANDS.register("doctor", f"{_HERE}.doctor:run", "check what a job needs on this machine")
COMMANDS.register("report", f"{_HERE}.report:run", "show a finished dataset on one page")
COMMANDS.register(
    "check-model", f"{_HERE}.check_model:run", "load a model, compile it, and show its properties"
)
COMMANDS.register(
    "presets", f"{_HERE}.presets:run", "list the public models whose cards come with beamscope"
)
COMMANDS.register(
    "make-model",
    f"{_HERE}.make_model:run",
    "write a BiT ResNet as a SavedModel",
)
COMMANDS.register("make-slide", f"{_HERE}.make_slide:run", "write a sample slide")
COMMANDS.register(
    "fetch-runners",
    f"{_HERE}.fetch_runners:run",
    "fetch Prism and Flink for the configs that need them",
)
