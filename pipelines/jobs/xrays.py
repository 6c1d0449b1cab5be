"""`beamscope xrays`: chest X-ray archives to a dataset of embeddings."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from beamscope.pipelines.jobs.job import Job, PathFlag, Requests, Steps
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.xrays import (
    add_xray_arguments,
    xray_settings_from,
    xray_sources_from,
)
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.plans import read_plan_header
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.film_summary import FilmSummary
from beamscope.transforms.xrays.outcome import (
    PROBLEMS_SCHEMA,
    TABLE_SCHEMA,
    catalog_counts,
    explain_no_match,
)
from beamscope.transforms.xrays.planning.film_planner import FilmPlanner
from beamscope.transforms.xrays.planning.plan_file import source_identity
from beamscope.transforms.xrays.ptransforms.read_films import ReadFilmBlocks
from beamscope.transforms.xrays.reading.film_block import FILM_SCHEMA, FilmSettings
from beamscope.transforms.xrays.settings import XraySettings
from beamscope.transforms.xrays.sources import Source


class XrayJob(Job):
    """Take films out of their archives, and embed them."""

    name = "xrays"
    description = "Embed chest radiographs straight out of the archives that collections come in."
    items = "sources"
    unit = "films"
    request_type = Source
    table_name = "images"
    table = TABLE_SCHEMA
    rows = FILM_SCHEMA
    problems = PROBLEMS_SCHEMA
    path_flags: ClassVar[dict[str, PathFlag]] = {
        "input": PathFlag("pattern"),
        "catalog_file": PathFlag("file"),
    }

    def add_arguments(self, parser: Parser) -> None:
        """Add the flags of films, decoding, preprocessing, catalogues and limits."""
        add_xray_arguments(parser)

    def requests(self, args: argparse.Namespace) -> Requests:
        """Return the archives, directories and loose films asked for."""
        return Requests(xray_sources_from(args))

    def settings(
        self, args: argparse.Namespace, model: ModelSettings, input_px: int
    ) -> XraySettings:
        """Return how films become images."""
        return xray_settings_from(args, model, input_px)

    def example_settings(self) -> list[Any]:
        """Return every dataclass of settings."""
        return [XraySettings(FilmSettings(Preprocess(224)))]

    def steps(self, settings: XraySettings, args: argparse.Namespace, layout: Layout) -> Steps:  # noqa: ARG002
        """Return how sources are planned, read and summed up."""
        return Steps(
            planner=FilmPlanner(settings),
            read=ReadFilmBlocks(settings, layout),
            summary=FilmSummary(settings),
        )

    def glance(self, plan_path: str) -> PlanGlance:
        """Return how many films a plan has, and whether the source has failed.

        Of a tar.gz that has not been read, the number is not known.
        """
        header = read_plan_header(plan_path)
        if not header["known"]:
            return PlanGlance(None)
        rows = sum(header["block_sizes"])
        return PlanGlance(rows, failed=bool(header["archive_problems"]) and not rows)

    def same_item(self, before: Source, now: Source) -> bool:
        """Return whether it is the same place: ids are only the ends of places."""
        return before.uri == now.uri

    def identities(self, requests: Sequence[Source]) -> list[Any]:
        """Return what tells that a source still holds the same files."""
        return [source_identity(source) for source in requests]

    def count_table(self, settings: XraySettings) -> Callable[[pa.Table], Mapping[str, int]] | None:
        """Return the count of films and rows of the catalogue that met, where there is one."""
        if settings.catalog is None:
            return None
        return functools.partial(catalog_counts, settings=settings)

    def faults(self, settings: XraySettings, table: pa.Table) -> Iterator[str]:
        """Yield that the catalogue is of other films, where not one film is in it."""
        reason = explain_no_match(table, settings)
        if reason is not None:
            yield reason

    def told_at_the_end(self, layout: Layout, table: pa.Table) -> Iterator[tuple[str, str]]:
        """Yield how the films met the catalogue, where there is one."""
        del table
        counts = (read_description(layout.root) or {"counts": {}})["counts"]
        if "in_catalog" in counts:
            yield (
                "catalogue",
                f"{counts['in_catalog']:,} films are in it, {counts['not_in_catalog']:,} are not; "
                f"{counts['catalog_rows_without_film']:,} of its rows have no film",
            )


JOB = XrayJob()
