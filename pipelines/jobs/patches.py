"""`beamscope patches`: write the patches of slides as encoded images, without a model."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.pipelines.jobs.job import Steps
from beamscope.pipelines.jobs.slides import SlideJob
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.patches import (
    ESSENTIAL,
    add_patch_arguments,
    encoding_from,
    sample_from,
    too_few,
)
from beamscope.pipelines.options.slides import (
    add_slide_arguments,
    slide_cache_from,
    slide_settings_from,
)
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.patches.encoding import Encoding, image_schema
from beamscope.transforms.patches.ptransforms.draw_sample import DrawSample
from beamscope.transforms.patches.ptransforms.encode_blocks import EncodeBlocks
from beamscope.transforms.patches.sampling import Sample
from beamscope.transforms.slides.planning.plan import ROW_SCHEMA
from beamscope.transforms.slides.planning.sampled_planner import NOT_SAMPLED, SampledSlidePlanner
from beamscope.transforms.slides.planning.slide_planner import SlidePlanner
from beamscope.transforms.slides.planning.total_planner import TotalSlidePlanner
from beamscope.transforms.slides.ptransforms.read_slides import ReadSlideBlocks
from beamscope.transforms.slides.ptransforms.spread_blocks import SpreadBlocks
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.slide_summary import SlideSummary

PATCH_PX = 224


@dataclasses.dataclass(frozen=True)
class PatchSettings:
    """How slides become encoded patches.

    Attributes:
      slides: how slides are cut into patches.
      sample: which patches are taken.
      encoding: how they are encoded.
    """

    slides: SlideSettings = dataclasses.field(default_factory=SlideSettings)
    sample: Sample = dataclasses.field(default_factory=Sample)
    encoding: Encoding = dataclasses.field(default_factory=Encoding)


class PatchJob(SlideJob):
    """Cut slides into patches, and write them as images."""

    name = "patches"
    description = "Write the patches of whole-slide images as JPEG or PNG, without a model."
    essential: ClassVar[Sequence[str]] = (*SlideJob.essential, *ESSENTIAL)
    examples: ClassVar[Sequence[str]] = (
        "beamscope patches --input '/slides/**/*.svs' --sample 1000 --output OUTPUT \\\n"
        "    --format webdataset",
        "beamscope patches --input '/slides/**/*.svs' --sample_total 100000 --output OUTPUT",
        "beamscope patches --input slide.svs --patch_size 256 --encoding png --output OUTPUT",
    )
    rows = image_schema(ROW_SCHEMA)
    embeds = False

    def add_arguments(self, parser: Parser) -> None:
        """Add the flags of slides, resolution, tissue and reading, samples and encoding."""
        add_slide_arguments(parser, patch_size=PATCH_PX)
        add_patch_arguments(parser, "patches", "slide")

    def settings_without_model(self, args: argparse.Namespace) -> PatchSettings:
        """Return how slides are cut into patches, and how these are encoded."""
        slides = slide_settings_from(args, args.patch_size)
        return PatchSettings(slides, sample_from(args), encoding_from(args))

    def example_settings(self) -> list[Any]:
        """Return every dataclass of settings."""
        return [PatchSettings()]

    def steps(self, settings: Any, args: argparse.Namespace, layout: Layout) -> Steps:
        """Return how slides are planned, read, encoded and summed up."""
        cache = slide_cache_from(args)
        planner: SlidePlanner = SampledSlidePlanner(settings.slides, cache, sample=settings.sample)
        prepare = None
        if settings.sample.total is not None:
            planner = TotalSlidePlanner(settings.slides, cache, sample=settings.sample)
            prepare = DrawSample(planner, layout)
        return Steps(
            planner=planner,
            prepare=prepare,
            read=ReadSlideBlocks(args.read_threads, cache, encoding=settings.encoding),
            summary=SlideSummary(),
            spread=SpreadBlocks(),
            encode=EncodeBlocks(settings.encoding),
        )

    def warnings(self, settings: Any, table: pa.Table) -> Iterator[str]:
        """Yield a sentence if there are fewer patches than the sample was to have."""
        yield from super().warnings(settings.slides, table)
        planned = pc.sum(table["patches_planned"]).as_py() or 0
        yield from too_few(settings.sample, planned, self.unit)

    def told_at_the_end(
        self, layout: Layout, table: pa.Table, counts: Mapping[str, Any]
    ) -> Iterator[tuple[str, str]]:
        """Yield the number of patches, those that the sample leaves out, and a picture."""
        planned, written, failed = (
            pc.sum(table[f"patches_{name}"]).as_py() or 0
            for name in ("planned", "embedded", "failed")
        )
        left = counts.get(f"patches_{NOT_SAMPLED}", 0)
        yield (
            self.unit,
            f"{planned:,} planned = {written:,} written + {failed:,} failed"
            + (f"; the sample leaves out {left:,}" if left else ""),
        )
        yield from list(super().told_at_the_end(layout, table, counts))[1:]


JOB = PatchJob()
