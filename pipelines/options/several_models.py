"""``--model A --model B``: several models, and the name of each one's column of embeddings."""

from __future__ import annotations

import argparse
import collections
import re
from collections.abc import Callable, Sequence

from beamscope.transforms.output.schema import EMBEDDING
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_NAME = re.compile(r"[A-Za-z0-9_]+")
_NAMED = re.compile(rf"({_NAME.pattern})=(.+)", re.DOTALL)
# A folder of TensorFlow Serving: the name is that of the folder above it.
_VERSION = re.compile(r"\d+")
_ENDINGS = (".onnx",)


class ModelUri(str):
    """Path or URI of a model, as ``--model`` names it.

    Attributes:
      name: the name that the user has given it; empty for none.
    """

    __slots__ = ("name",)
    name: str

    def __new__(cls, uri: str, name: str = "") -> ModelUri:
        """Return a uri with a name."""
        made = super().__new__(cls, uri)
        made.name = name
        return made

    def __reduce__(self) -> tuple[type[ModelUri], tuple[str, str]]:
        """Return what a copy is made of."""
        return ModelUri, (str(self), self.name)


def named_model(convert: Callable[[str], str]) -> Callable[[str], ModelUri]:
    """Return an argparse type for ``MODEL`` or ``NAME=MODEL``. ``./a=b`` is a path.

    Args:
      convert: the type of a path or URI of a model.
    """

    def named(text: str) -> ModelUri:
        match = _NAMED.fullmatch(text)
        return ModelUri(convert(match[2] if match else text), match[1] if match else "")

    return named


def column_names(models: Sequence[ModelUri]) -> list[str]:
    """Return the name of each model's column: ``embedding`` for one, else ``embedding_NAME``.

    NAME is what the user says, or is made from the last part of the path: each run of characters
    other than letters, digits and ``_`` becomes one ``_``. The part above it counts where the last
    one is a number, as of a version; the ending ``.onnx`` does not count.

    Raises:
      InputError: ``bad_option``: a name cannot be made, or is that of two models.
    """
    if len(models) == 1:
        return [EMBEDDING]
    names = [model.name or _made_from(model) for model in models]
    for model, name in zip(models, names, strict=True):
        if not _NAME.fullmatch(name):
            raise InputError(
                Kind.BAD_OPTION,
                f"--model {model}: makes no name of a column; name it: --model NAME={model}",
            )
    # Some readers of tables do not tell A from a.
    counts = collections.Counter(name.lower() for name in names)
    for name in names:
        if counts[name.lower()] > 1:
            same = [
                str(model)
                for model, other in zip(models, names, strict=True)
                if other.lower() == name.lower()
            ]
            raise InputError(
                Kind.BAD_OPTION,
                f"--model: {' and '.join(same)} would both have the column {EMBEDDING}_{name}; "
                "name them: --model NAME=MODEL",
            )
    return [f"{EMBEDDING}_{name}" for name in names]


def arguments_of_each(args: argparse.Namespace) -> list[argparse.Namespace]:
    """Return the parsed flags once for each model, as if it were alone.

    Raises:
      InputError: ``bad_option``: ``--model_sha256`` is not given for each model.
    """
    models, digests = args.model, args.model_sha256 or [None] * len(args.model)
    if len(digests) != len(models):
        raise InputError(
            Kind.BAD_OPTION,
            f"--model_sha256 must be given once for each --model, in their order, got "
            f"{len(digests)} for {len(models)}",
        )
    return [
        argparse.Namespace(**{**vars(args), "model": model, "model_sha256": digest})
        for model, digest in zip(models, digests, strict=True)
    ]


def _made_from(uri: str) -> str:
    parts = [part for part in re.split(r"[/\\]", uri.rstrip("/\\")) if part]
    last = parts.pop() if parts else ""
    if _VERSION.fullmatch(last) and parts:
        last = parts.pop()
    for ending in _ENDINGS:
        last = last.removesuffix(ending)
    return re.sub(r"[^A-Za-z0-9_]+", "_", last).strip("_")
