"""`beamscope films`: write chest X-rays as encoded images, prepared for a model."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from beamscope.pipelines.jobs.job import Requests, Steps
from beamscope.pipelines.jobs.xrays import XrayJob
from beamscope.pipelines.options.command_line import Parser, check_range
from beamscope.pipelines.options.patches import (
    ESSENTIAL,
    add_patch_arguments,
    encoding_from,
    sample_from,
    too_few,
)
from beamscope.pipelines.options.xrays import add_xray_arguments, xray_settings_from
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.patches.encoding import Encoding, image_schema
from beamscope.transforms.patches.ptransforms.draw_sample import DrawSample
from beamscope.transforms.patches.ptransforms.encode_blocks import EncodeBlocks
from beamscope.transforms.patches.sampling import Sample
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.planning.sampled_planner import SampledSourcePlanner
from beamscope.transforms.sources.planning.source_planner import SourcePlanner
from beamscope.transforms.sources.planning.total_planner import TotalSourcePlanner
from beamscope.transforms.sources.source_summary import SourceSummary
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.ptransforms.read_films import ReadFilmBlocks
from beamscope.transforms.xrays.reading.film_block import FILM_SCHEMA, FilmSettings
from beamscope.transforms.xrays.settings import XraySettings

FILM_PX = 224
_LARGEST_FILM_PX = 16_384


@dataclasses.dataclass(frozen=True)
class FilmImageSettings:
    """How films become encoded images.

    Attributes:
      films: how films are read and prepared.
      sample: which films are taken.
      encoding: how they are encoded.
    """

    films: XraySettings
    sample: Sample = dataclasses.field(default_factory=Sample)
    encoding: Encoding = dataclasses.field(default_factory=Encoding)


class FilmJob(XrayJob):
    """Read films from their archives, and write them as images."""

    name = "films"
    description = "Write chest X-rays as JPEG or PNG, prepared for a model, from their archives."
    essential: ClassVar[Sequence[str]] = (*XrayJob.essential, "size", *ESSENTIAL)
    examples: ClassVar[Sequence[str]] = (
        "beamscope films --input CheXpert-v1.0-small.zip --size 448 --preprocess remedis \\\n"
        "    --sample 10000 --format webdataset --output OUTPUT",
        "beamscope films --input /films/ --size 224 --output OUTPUT --dry_run",
    )
    rows = image_schema(FILM_SCHEMA)
    embeds = False

    def add_arguments(self, parser: Parser) -> None:
        """Add the flags of films, samples and encoding."""
        add_xray_arguments(parser)
        add_patch_arguments(parser, "films", "source")
        parser.add_argument(
            "--size",
            type=int,
            default=FILM_PX,
            metavar="PX",
            help="side of the images in pixels (default: %(default)s)",
        )

    def requests(self, args: argparse.Namespace) -> Requests:
        """Return the requested sources.

        Raises:
          InputError: a sample of an archive that has no listing.
        """
        found = super().requests(args)
        flags = {"--sample": args.sample, "--sample_total": args.sample_total}
        given = [f"{flag} {size}" for flag, size in flags.items() if size is not None]
        for source in found.items:
            if given and source.kind == "tgz":
                raise InputError(
                    Kind.BAD_OPTION,
                    f"{given[0]}: {source.uri} has no listing to sample from, since it "
                    "is compressed as a whole; unpack it, or make a .tar or .zip of it",
                )
        return found

    def settings_without_model(self, args: argparse.Namespace) -> FilmImageSettings:
        """Return how films are read, and how they are encoded."""
        check_range("--size", args.size, 1, _LARGEST_FILM_PX)
        films = xray_settings_from(args, ModelSettings(uri=""), args.size)
        return FilmImageSettings(films, sample_from(args), encoding_from(args))

    def example_settings(self) -> list[Any]:
        """Return every dataclass of settings."""
        return [FilmImageSettings(XraySettings(FilmSettings(Preprocess(FILM_PX))))]

    def steps(self, settings: Any, args: argparse.Namespace, layout: Layout) -> Steps:  # noqa: ARG002
        """Return how sources are planned, read, encoded and summed up."""
        planner: SourcePlanner = SampledSourcePlanner(settings.films, sample=settings.sample)
        prepare = None
        if settings.sample.total is not None:
            planner = TotalSourcePlanner(settings.films, sample=settings.sample)
            prepare = DrawSample(planner, layout)
        return Steps(
            planner=planner,
            prepare=prepare,
            read=ReadFilmBlocks(settings.films, layout),
            summary=SourceSummary(settings.films),
            encode=EncodeBlocks(settings.encoding),
        )

    def count_table(self, settings: Any) -> Any:
        """Return a function that counts matches of films and catalogue, if there is a catalogue."""
        return super().count_table(settings.films)

    def extend_table(self, settings: Any, requests: Any) -> Any:
        """Return a function that adds the further columns of the catalogue, if there is one."""
        return super().extend_table(settings.films, requests)

    def warnings(self, settings: Any, table: Any) -> Iterator[str]:
        """Yield a sentence if no film is in the catalogue, or there are too few for the sample."""
        yield from super().warnings(settings.films, table)
        yield from too_few(settings.sample, table.num_rows, self.unit)


JOB = FilmJob()
