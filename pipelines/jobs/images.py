"""`beamscope images`: turn patches that are image files already into a dataset of embeddings."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from beamscope.pipelines.jobs.job import Job, PathFlag, Requests, Steps
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.images import add_image_arguments, image_settings_from
from beamscope.pipelines.options.sources import sources_from
from beamscope.transforms.fingerprints import restored
from beamscope.transforms.images.fit import Fit
from beamscope.transforms.images.label_matches import (
    describe_labels,
    explain_no_match,
    label_counts,
    with_label_columns,
)
from beamscope.transforms.images.names import IMAGE_NAMES
from beamscope.transforms.images.settings import (
    ROW_SCHEMA,
    TABLE_SCHEMA,
    ImageSettings,
    PatchReading,
)
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.planned import PlannedItem
from beamscope.transforms.output.plans import PlanFile
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.sources.outcome import PROBLEMS_SCHEMA
from beamscope.transforms.sources.planning.plan_file import glance, source_identity
from beamscope.transforms.sources.planning.planned import planned_source
from beamscope.transforms.sources.planning.source_planner import SourcePlanner
from beamscope.transforms.sources.ptransforms.read_members import ReadImageBlocks
from beamscope.transforms.sources.source_summary import SourceSummary
from beamscope.transforms.sources.sources import Source


class ImageJob(Job):
    """Read images from their archives and folders, and embed them."""

    name = "images"
    description = "Embed patches that are image files already, with their labels."
    essential = ("input", "labels", "labels_key", "label_column", "fit")
    examples = (
        "beamscope images --input NCT-CRC-HE-100K.zip --model MODEL --output OUTPUT",
        "beamscope images --input /patches/ --labels labels.csv --model MODEL --output OUTPUT "
        "--dry_run",
    )
    items = "sources"
    unit = "images"
    request_type = Source
    table_name = "images"
    listed = "images"
    table = TABLE_SCHEMA
    rows = ROW_SCHEMA
    problems = PROBLEMS_SCHEMA
    path_flags: ClassVar[dict[str, PathFlag]] = {
        "input": PathFlag("pattern"),
        "labels": PathFlag("file"),
    }

    def add_arguments(self, parser: Parser) -> None:
        """Add the flags of images, labels, fitting and limits."""
        add_image_arguments(parser)

    def requests(self, args: argparse.Namespace) -> Requests:
        """Return the requested archives, directories and single files."""
        return Requests(sources_from(args.input, IMAGE_NAMES))

    def settings(
        self,
        args: argparse.Namespace,
        model: ModelSettings,
        input_px: int,
    ) -> ImageSettings:
        """Return how files become images."""
        return image_settings_from(args, input_px, model)

    def example_settings(self) -> list[Any]:
        """Return every dataclass of settings."""
        return [ImageSettings(Fit(224))]

    def steps(self, settings: ImageSettings, args: argparse.Namespace, layout: Layout) -> Steps:  # noqa: ARG002
        """Return how sources are planned, read and summed up."""
        return Steps(
            planner=SourcePlanner(settings),
            read=ReadImageBlocks(settings, layout),
            summary=SourceSummary(settings),
        )

    def glance(self, plan: PlanFile) -> PlanGlance:
        """Return the number of images in a plan, and whether the source has failed.

        The number is None for a tar.gz that has not been read.
        """
        return glance(plan)

    def planned(
        self,
        layout: Layout,
        request: Source,
        plan: PlanFile,  # noqa: ARG002
    ) -> PlannedItem:
        """Return what the plan of a source says about it."""
        return planned_source(layout, request)

    def same_item(self, before: Source, now: Source) -> bool:
        """Return whether both have the same uri: an id is only the end of a uri."""
        return before.uri == now.uri

    def identities(self, requests: Sequence[Source]) -> list[Any]:
        """Return values that change when the files of a source change."""
        return [source_identity(source) for source in requests]

    def count_table(self, settings: ImageSettings) -> Callable[[pa.Table], Mapping[str, int]]:
        """Return a function that counts labels."""
        return functools.partial(label_counts, settings=settings)

    def extend_table(
        self,
        settings: ImageSettings,
        requests: Sequence[Source],  # noqa: ARG002
    ) -> Callable[[pa.Table], pa.Table] | None:
        """Return a function that adds the further columns of the labels, if there is a table."""
        if settings.labels is None:
            return None
        return functools.partial(with_label_columns, settings=settings)

    def reading_again(self, options: Mapping[str, Any]) -> PatchReading:
        """Return how images were read, without their labels."""
        return PatchReading(restored(ImageSettings, {**options, "labels": None}))

    def warnings(self, settings: ImageSettings, table: pa.Table) -> Iterator[str]:
        """Yield a sentence if no image is in the table of labels."""
        reason = explain_no_match(table, settings)
        if reason is not None:
            yield reason

    def told_at_the_end(
        self,
        layout: Layout,  # noqa: ARG002
        table: pa.Table,
        counts: Mapping[str, Any],
    ) -> Iterator[tuple[str, str]]:
        """Yield the classes, and how many rows of the table of labels have an image."""
        text = describe_labels(table)
        if counts.get("label_rows_without_image"):
            text += f"; {counts['label_rows_without_image']:,} rows of --labels have no image"
        yield "labels", text


JOB = ImageJob()
