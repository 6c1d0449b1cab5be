"""`beamscope images`: turn patches that are image files already into a dataset of embeddings."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from beamscope.pipelines.jobs.job import PathFlag
from beamscope.pipelines.jobs.source_job import SourceJob
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.images import add_image_arguments, image_settings_from
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
from beamscope.transforms.sources.sources import Source


class ImageJob(SourceJob):
    """Read images from their archives and folders, and embed them."""

    name = "images"
    description = "Embed patches that are image files already, with their labels."
    essential = ("input", "labels", "labels_key", "label_column", "fit")
    examples = (
        "beamscope images --input NCT-CRC-HE-100K.zip --model MODEL --output OUTPUT",
        "beamscope images --input /patches/ --labels labels.csv --model MODEL --output OUTPUT "
        "--dry_run",
    )
    names = IMAGE_NAMES
    unit = "images"
    listed = "images"
    table = TABLE_SCHEMA
    rows = ROW_SCHEMA
    path_flags: ClassVar[dict[str, PathFlag]] = {
        "input": PathFlag("pattern"),
        "labels": PathFlag("file"),
    }

    def add_arguments(self, parser: Parser) -> None:
        """Add the flags of images, labels, fitting and limits."""
        add_image_arguments(parser)

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
