"""`beamscope xrays`: turn chest X-ray archives into a dataset of embeddings."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from beamscope.pipelines.jobs.job import PathFlag
from beamscope.pipelines.jobs.source_job import SourceJob
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.xrays import (
    add_xray_arguments,
    xray_settings_from,
)
from beamscope.transforms.fingerprints import restored
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.xrays.catalog_matches import (
    catalog_counts,
    explain_no_match,
    with_catalog_columns,
)
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.names import FILM_NAMES
from beamscope.transforms.xrays.reading.film_block import (
    FILM_SCHEMA,
    TABLE_SCHEMA,
    FilmReading,
    FilmSettings,
)
from beamscope.transforms.xrays.settings import XraySettings


class XrayJob(SourceJob):
    """Read films from their archives, and embed them."""

    name = "xrays"
    description = "Embed chest X-rays directly from the archives of public collections."
    essential: ClassVar[Sequence[str]] = (
        "input", "views", "catalog", "catalog_file", "catalog_key", "preprocess", "equalize",
    )  # fmt: skip
    examples: ClassVar[Sequence[str]] = (
        "beamscope xrays --input CheXpert-v1.0-small.zip --model MODEL --output OUTPUT \\\n"
        "    --catalog chexpert --catalog_file train.csv --views PA,AP",
        "beamscope xrays --input /films/ --model MODEL --output OUTPUT --dry_run",
    )
    names = FILM_NAMES
    unit = "films"
    listed = "films"
    table = TABLE_SCHEMA
    rows = FILM_SCHEMA
    input_px = 448
    path_flags: ClassVar[dict[str, PathFlag]] = {
        "input": PathFlag("pattern"),
        "catalog_file": PathFlag("file"),
    }

    def add_arguments(self, parser: Parser) -> None:
        """Add the flags of films, decoding, preprocessing, catalogues and limits."""
        add_xray_arguments(parser)

    def settings(
        self, args: argparse.Namespace, model: ModelSettings, input_px: int
    ) -> XraySettings:
        """Return how films become images."""
        return xray_settings_from(args, model, input_px)

    def example_settings(self) -> list[Any]:
        """Return every dataclass of settings."""
        return [XraySettings(FilmSettings(Preprocess(224)))]

    def count_table(self, settings: XraySettings) -> Callable[[pa.Table], Mapping[str, int]] | None:
        """Return a function that counts matches of films and catalogue, if there is a catalogue."""
        if settings.catalog is None:
            return None
        return functools.partial(catalog_counts, settings=settings)

    def extend_table(
        self,
        settings: XraySettings,
        requests: Sequence[Source],  # noqa: ARG002
    ) -> Callable[[pa.Table], pa.Table] | None:
        """Return a function that adds the further columns of the catalogue, if there is one."""
        if settings.catalog is None:
            return None
        return functools.partial(with_catalog_columns, settings=settings)

    def reading_again(self, options: Mapping[str, Any]) -> FilmReading:
        """Return how films were read; every view is wanted, as the catalogue has chosen."""
        return FilmReading(restored(FilmSettings, {**options, "views": []}))

    def warnings(self, settings: XraySettings, table: pa.Table) -> Iterator[str]:
        """Yield a sentence if no film is in the catalogue."""
        reason = explain_no_match(table, settings)
        if reason is not None:
            yield reason

    def told_at_the_end(
        self,
        layout: Layout,  # noqa: ARG002
        table: pa.Table,  # noqa: ARG002
        counts: Mapping[str, Any],
    ) -> Iterator[tuple[str, str]]:
        """Yield how many films are in the catalogue, if there is one."""
        if "in_catalog" in counts:
            yield (
                "catalogue",
                f"{counts['in_catalog']:,} films are in it, {counts['not_in_catalog']:,} are not; "
                f"{counts['catalog_rows_without_film']:,} rows have no film",
            )


JOB = XrayJob()
