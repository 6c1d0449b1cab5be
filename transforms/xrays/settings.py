"""The settings of an X-ray job that change a number or a row."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from beamscope.transforms.fingerprints import in_plan
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.catalogs.catalog import Catalog
from beamscope.transforms.xrays.catalogs.layouts import CatalogKind, NamedColumns
from beamscope.transforms.xrays.catalogs.load import shared_catalog
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.reading.film_block import FilmReading, FilmSettings


@dataclasses.dataclass(frozen=True)
class CatalogFile:
    """A catalogue, by reference: each process loads it once.

    Attributes:
      kind: whose layout it has.
      uri: of the file.
      key_column: the column that names the film, for ``csv``.
      named: other columns that the user names, for ``csv``.
    """

    kind: CatalogKind
    uri: str
    key_column: str = ""
    named: NamedColumns = dataclasses.field(default_factory=NamedColumns)

    def fingerprint_value(self) -> list[Any]:
        """Return the parts of a catalogue that change a row: layout, key, content, columns.

        Raises:
          InputError: ``unreadable_catalog``.
        """
        with files.refusals(Kind.UNREADABLE_CATALOG, "--catalog_file "):
            content = files.read_bytes(self.uri)
        value: list[Any] = [
            self.kind,
            self.key_column,
            hashlib.sha256(content).hexdigest()[:16],
        ]
        if self.named.given:
            value.append({**dataclasses.asdict(self.named), "labels": list(self.named.labels)})
        return value

    def load(self) -> Catalog:
        """Load the catalogue; the threads of a process share one."""
        return shared_catalog(self.kind, self.uri, self.key_column, self.named)


@dataclasses.dataclass(frozen=True)
class XraySettings:
    """How films become images.

    Attributes:
      films: how each is decoded and preprocessed, and which views are kept.
      catalog: what is known of them besides; None without one.
      block_size: films in a block.
    """

    films: FilmSettings
    catalog: CatalogFile | None = in_plan(default=None)
    block_size: int = in_plan(default=256)

    @property
    def ways(self) -> tuple[Preprocess, ...]:
        """Return what each model is given of a film."""
        return self.films.ways

    def with_ways(self, ways: Sequence[Preprocess]) -> XraySettings:
        """Return the settings for models that are given films in these ways."""
        films = dataclasses.replace(
            self.films, preprocess=ways[0], other_preprocesses=tuple(ways[1:])
        )
        return dataclasses.replace(self, films=films)

    def reading(self) -> FilmReading:
        """Return how films are read, with their catalogue."""
        return FilmReading(self.films, self.load_catalog())

    def load_catalog(self) -> Catalog | None:
        """Load the catalogue; None without one."""
        return self.catalog.load() if self.catalog is not None else None
