"""Find the card of a model: one that is named, one that comes with beamscope, or one beside it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from beamscope.transforms.inference.cards.card import ModelCard, parse_card
from beamscope.transforms.inference.served_models import local_names, version_of
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

# In a model's directory. The digest of a model leaves them out: they are no part of the program.
CARD_NAMES = ("beamscope.yaml", "model.yaml")
NO_CARD = "none"

_PUBLIC = Path(__file__).with_name("public")


def presets() -> tuple[str, ...]:
    """Return the names of the cards that come with beamscope."""
    return tuple(sorted(path.stem for path in _PUBLIC.glob("*.yaml")))


def preset_card(name: str) -> ModelCard:
    """Return a card that comes with beamscope.

    Raises:
      InputError: ``bad_option`` for an unknown name.
    """
    if name not in presets():
        raise InputError(
            Kind.BAD_OPTION, f"--preset must be one of {', '.join(presets())}, got {name!r}"
        )
    return parse_card((_PUBLIC / f"{name}.yaml").read_bytes(), f"preset {name}")


def card_file(uri: str) -> ModelCard:
    """Read a card at a local path or in a store.

    Raises:
      InputError: ``bad_card``: there is none, or it is invalid.
    """
    with files.refusals(Kind.BAD_CARD, "model card "):
        if not files.exists(uri):
            raise InputError(Kind.BAD_CARD, f"model card {uri}: there is no such file")
        if files.is_local(uri) and Path(uri).is_dir():
            raise InputError(
                Kind.BAD_CARD, f"model card {uri}: is a directory; give the file of the card"
            )
        return parse_card(files.read_bytes(uri), uri)


def card_beside(model: str) -> ModelCard | None:
    """Return the card of a model's directory, or the one beside a model's file; None without one.

    A directory may have ``beamscope.yaml`` or ``model.yaml``; one of versions may have it in that
    of the version that is taken, too. The card of ``MODEL.onnx`` is ``MODEL.yaml``.

    Raises:
      InputError: ``bad_card``: it is invalid, or a directory has two.
    """
    stem, dot, ending = model.rstrip("/").rpartition(".")
    with files.refusals(Kind.BAD_CARD, "model card "):
        if dot and ending.lower() == "onnx":
            found = [f"{stem}.yaml"] if files.exists(f"{stem}.yaml") else []
        else:
            version = _version(model)
            folders = [model] if version is None else [model, files.join(model, version)]
            places = [files.join(folder, name) for folder in folders for name in CARD_NAMES]
            found = [place for place in places if files.exists(place)]
    if len(found) > 1:
        other = found[1].removeprefix(files.join(model, ""))
        raise InputError(
            Kind.BAD_CARD,
            f"model card {found[0]}: {other} is there too: keep one, or choose by "
            "--model_card FILE",
        )
    return card_file(found[0]) if found else None


def _version(model: str) -> str | None:
    """Return the name of the directory of the version that is taken; None where there is none."""
    # What cannot be listed is refused with a better message when the model is looked for.
    with contextlib.suppress(OSError):
        if files.is_local(model):
            names = local_names(Path(files.normalize(model)))
        else:
            folder = files.join(files.normalize(model), "")
            names = [file.path.removeprefix(folder) for file in files.list_files(folder)]
        version = version_of(names)
        return version.taken if version is not None else None
    return None
