"""Fingerprints: digests of the settings that change a plan or an embedding.

Every field of a settings dataclass declares which fingerprint it enters: `in_plan`, `in_embedding`
or `in_none`; or that it lets in more items, `in_permission`. Two runs with equal plan fingerprints
share their plans. Two runs with equal embedding fingerprints share their embeddings. The
embedding's fingerprint includes the plan's digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

Scope = Literal["plan", "embedding", "permission", "none"]

_Settings = TypeVar("_Settings")

_SCOPE = "fingerprint"
_NAME = "fingerprint_name"
_UNLESS_DEFAULT = "fingerprint_unless_default"


def in_plan(*, name: str | None = None, **more: Any) -> Any:
    """Return a dataclass field that changes what is planned or what the model sees.

    Args:
      name: name under which the setting is recorded; None for the field's own name.
      more: arguments of `dataclasses.field`, such as ``default``.
    """
    return _field("plan", name, more)


def in_embedding(*, name: str | None = None, unless_default: bool = False, **more: Any) -> Any:
    """Return a dataclass field that changes the numbers of an embedding.

    Args:
      name: as for `in_plan`.
      unless_default: leave the field out of the fingerprint while it has its default. So a setting
        that comes later changes no fingerprint of an output that does not use it.
      more: as for `in_plan`; with `unless_default`, ``default`` is among them.
    """
    return _field("embedding", name, more, unless_default=unless_default)


def in_permission(**more: Any) -> Any:
    """Return a field that is False or True; True lets in items that are refused otherwise.

    It changes nothing for items that are not refused. So it may be turned on for an output that
    holds embeddings already, but not off again: that would drop items.
    """
    return _field("permission", None, more)


def in_none(**more: Any) -> Any:
    """Return a dataclass field that changes no result, such as a number of threads."""
    return _field("none", None, more)


def _field(
    scope: Scope, name: str | None, more: dict[str, Any], *, unless_default: bool = False
) -> Any:
    metadata = {_SCOPE: scope, _NAME: name, _UNLESS_DEFAULT: unless_default}
    return dataclasses.field(metadata=metadata, **more)


@dataclasses.dataclass(frozen=True)
class DeclaredField:
    """A field of a settings dataclass, or of one nested in it.

    Attributes:
      path: dotted path of the field, such as ``films.decode.window``.
      name: name under which the field is recorded.
      scope: the fingerprint that the field enters; None if it declares none.
      value: value of the field.
      left_out: the fingerprint leaves it out, because it has its default.
    """

    path: str
    name: str
    scope: Scope | None
    value: Any
    left_out: bool = False


def declared_fields(settings: Any, prefix: str = "") -> Iterator[DeclaredField]:
    """Walk the fields of a settings dataclass and of the dataclasses nested in it.

    A nested dataclass with a method ``fingerprint_value`` counts as one field with that value.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        path = f"{prefix}{field.name}"
        nested = dataclasses.is_dataclass(value) and not isinstance(value, type)
        if nested and not hasattr(value, "fingerprint_value"):
            yield from declared_fields(value, f"{path}.")
            continue
        name = field.metadata.get(_NAME) or field.name
        left_out = bool(field.metadata.get(_UNLESS_DEFAULT)) and value == field.default
        yield DeclaredField(path, name, field.metadata.get(_SCOPE), value, left_out)


def settings_of(scope: Scope, *settings: Any) -> dict[str, Any]:
    """Return the settings of one fingerprint as flat names and JSON values.

    Raises:
      ValueError: a field does not declare its fingerprint, or two fields have the same name.
    """
    found: dict[str, Any] = {}
    for field in (field for one in settings for field in declared_fields(one)):
        if field.scope is None:
            raise ValueError(f"{field.path}: declare which fingerprint it enters")
        if field.scope != scope or field.left_out:
            continue
        if field.name in found:
            raise ValueError(f"{field.path}: another setting already has the name {field.name!r}")
        found[field.name] = _json_value(field.value)
    return found


def _json_value(value: Any) -> Any:
    if hasattr(value, "fingerprint_value"):
        return value.fingerprint_value()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    return value


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Settings that change a result, and their digest.

    Attributes:
      settings: flat names and JSON values, such as ``{"mpp": 0.5, "tissue": "otsu"}``.
    """

    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Return the first 16 hex digits of the SHA-256 of the settings as canonical JSON."""
        return hashlib.sha256(_canonical(dict(self.settings)).encode()).hexdigest()[:16]

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return one text for each setting that differs: ``mpp was 0.5 and is now 0.25``."""
        return [
            f"{name} was {other.get(name)!r} and is now {self.settings.get(name)!r}"
            for name in sorted(self.settings.keys() | other.keys())
            # Compare as JSON, like the digest: 1 and 1.0 differ, a list and a tuple do not.
            if _canonical(self.settings.get(name)) != _canonical(other.get(name))
        ]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def restored(kind: type[_Settings], options: Mapping[str, Any]) -> _Settings:
    """Return settings from the flat names and JSON values that `settings_of` recorded.

    A field that no option names keeps its default.

    Args:
      kind: the settings dataclass; it may nest others.
      options: recorded settings, among any others.

    Raises:
      KeyError: a field without a default is not named.
    """
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        hint = hints[field.name]
        name = field.metadata.get(_NAME) or field.name
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            values[field.name] = restored(hint, options)
        elif name in options:
            values[field.name] = _as_hinted(options[name], hint)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise KeyError(name)
    return kind(**values)


def _as_hinted(value: Any, hint: Any) -> Any:
    """Return a JSON list as the tuple or set that it was."""
    origin = typing.get_origin(hint)
    if isinstance(value, list) and origin in (tuple, frozenset):
        return origin(value)
    return value
