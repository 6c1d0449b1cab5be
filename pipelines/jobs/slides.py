"""`beamscope slides`: turn whole-slide images into a dataset of embeddings."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.pipelines.jobs.job import Job, PathFlag, Requests, Steps
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.fit import check_fit_is_said
from beamscope.pipelines.options.model import model_settings_from
from beamscope.pipelines.options.slides import (
    add_slide_arguments,
    find_slide_requests,
    slide_cache_from,
    slide_settings_from,
    with_patch_size,
)
from beamscope.transforms.inference.handler import OwnImages
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.planned import PlannedItem
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.output.plans import PlanFile
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.slides.extra_columns import slide_columns
from beamscope.transforms.slides.fit import Fit
from beamscope.transforms.slides.outcome import TABLE_SCHEMA
from beamscope.transforms.slides.planning.plan import ROW_SCHEMA
from beamscope.transforms.slides.planning.plan_file import glance, request_identity
from beamscope.transforms.slides.planning.planned import planned_slide
from beamscope.transforms.slides.planning.slide_planner import SlidePlanner
from beamscope.transforms.slides.preview.write import Pages
from beamscope.transforms.slides.ptransforms.read_slides import ReadSlideBlocks
from beamscope.transforms.slides.ptransforms.spread_blocks import SpreadBlocks
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.slide_summary import SlideSummary
from beamscope.transforms.storage.files import FileInfo
from beamscope.transforms.storage.many import stat_all

# Some 100 kB to 2 MB each.
_PAGE_SLIDES = 100


class SlideJob(Job):
    """Cut slides into patches, and embed them."""

    name = "slides"
    description = "Embed the patches of whole-slide images."
    essential: ClassVar[Sequence[str]] = (
        "input", "manifest", "mpp", "magnification", "patch_size", "assume_mpp", "tissue",
        "min_tissue", "masks",
    )  # fmt: skip
    examples: ClassVar[Sequence[str]] = (
        "beamscope slides --input '/slides/**/*.svs' --model MODEL --output OUTPUT",
        "beamscope slides --manifest slides.csv --mpp 0.25 --model MODEL \\\n"
        "    --output gs://BUCKET/OUTPUT --dry_run",
    )
    items = "slides"
    unit = "patches"
    request_type = SlideRequest
    table_name = "slides"
    listed = "slides"
    table = TABLE_SCHEMA
    rows = ROW_SCHEMA
    path_flags: ClassVar[dict[str, PathFlag]] = {
        "input": PathFlag("pattern"),
        # Read before the job starts: workers get its content, not the file.
        "manifest": PathFlag("file", by_workers=False),
        "masks": PathFlag("folder"),
    }

    def add_arguments(self, parser: Parser) -> None:
        """Add the flags of slides, resolution, tissue and reading."""
        add_slide_arguments(parser)

    def requests(self, args: argparse.Namespace) -> Requests:
        """Return the requested slides, and the files that were left out."""
        found = find_slide_requests(args)
        return Requests(found.slides, found.left_out, found.notes)

    def named_uris(self, requests: Sequence[SlideRequest]) -> Iterator[tuple[str, str | None]]:
        """Yield the slides and masks that a manifest names."""
        return (("--manifest", uri) for slide in requests for uri in (slide.uri, slide.mask))

    def model_settings(self, args: argparse.Namespace) -> ModelSettings:
        """Return the settings of the model, with the patch size for one that takes any size."""
        return with_patch_size(model_settings_from(args), args)

    def settings(
        self,
        args: argparse.Namespace,
        model: ModelSettings,
        input_px: int,
    ) -> SlideSettings:
        """Return how slides are cut into patches."""
        return slide_settings_from(args, input_px, model)

    def read_once(
        self, args: argparse.Namespace, models: Sequence[tuple[ModelSettings, SlideSettings]]
    ) -> tuple[SlideSettings, Sequence[OwnImages]] | None:
        """Read patches as they are, and fit them for each model; None if more than that differs."""
        patches = dataclasses.replace(models[0][1], fit=None)
        if any(dataclasses.replace(one, fit=None) != patches for _, one in models):
            return None
        for model, one in models:
            check_fit_is_said(args, model, one.fit, patches.patch_px)
        return patches, [OwnImages(fit=one.fit) for _, one in models]

    def example_settings(self) -> list[Any]:
        """Return every dataclass of settings."""
        return [SlideSettings(), SlideSettings(fit=Fit("resize", 224))]

    def steps(self, settings: SlideSettings, args: argparse.Namespace, layout: Layout) -> Steps:  # noqa: ARG002
        """Return how slides are planned, read and summed up."""
        cache = slide_cache_from(args)
        return Steps(
            planner=SlidePlanner(settings, cache),
            read=ReadSlideBlocks(args.read_threads, cache, fit=settings.fit),
            summary=SlideSummary(),
            spread=SpreadBlocks(),
        )

    def glance(self, plan: PlanFile) -> PlanGlance:
        """Return the number of patches in a plan, and whether the slide has failed."""
        return glance(plan)

    def look(self, requests: Sequence[SlideRequest]) -> dict[str, FileInfo | None]:
        """Return the slides and masks as they are now, by uri."""
        named = (uri for slide in requests for uri in (slide.uri, slide.mask))
        return stat_all(uri for uri in named if uri is not None)

    def identities_seen(
        self, requests: Sequence[SlideRequest], seen: Mapping[str, FileInfo | None]
    ) -> list[Any]:
        """Return values that change when a slide or its mask changes."""
        return [request_identity(request, seen) for request in requests]

    def extend_table(
        self,
        settings: SlideSettings,  # noqa: ARG002
        requests: Sequence[SlideRequest],
    ) -> Callable[[pa.Table], pa.Table] | None:
        """Return a function that adds the further columns of manifests, if there are any."""
        return slide_columns(requests)

    def thorough(self, planner: ItemPlanner[Any, Any]) -> ItemPlanner[Any, Any]:
        """Return a planner that counts patches of poor quality."""
        assert isinstance(planner, SlidePlanner)
        return dataclasses.replace(planner, measure=True)

    def planned_input_px(self, args: argparse.Namespace) -> int:
        """Return the size of the patches: how they are fitted to a model changes no plan."""
        return args.patch_size or self.input_px

    def planned(
        self,
        layout: Layout,  # noqa: ARG002
        request: SlideRequest,
        plan: PlanFile,
    ) -> PlannedItem:
        """Return what the plan of a slide says about it."""
        return planned_slide(request, plan)

    def add_plan_arguments(self, parser: Parser) -> None:
        """Add the flags of `beamscope plan slides` alone."""
        group = parser.add_argument_group("to look at")
        group.add_argument(
            "--page_slides",
            type=int,
            default=_PAGE_SLIDES,
            metavar="N",
            help="slides on the page OUTPUT/plan/index.html, where tissue settings can be tried; "
            "0 for no page (default: %(default)s)",
        )
        group.add_argument(
            "--geojson",
            action="store_true",
            help="write tissue and patches to OUTPUT/plan/geojson, for QuPath; corrected there, "
            "they come back by --masks",
        )

    def plan_pages(
        self,
        layout: Layout,
        requests: Sequence[SlideRequest],
        settings: SlideSettings,
        args: argparse.Namespace,
    ) -> Iterator[tuple[str, str]]:
        """Write the page and the annotations; yield where they are."""
        pages = Pages(layout, settings, slide_cache_from(args), os.cpu_count() or 1)
        if args.page_slides > 0:
            path, shown = pages.write_page(requests, args.page_slides)
            more = f", {shown:,} of {len(requests):,} slides" if shown < len(requests) else ""
            yield "page", f"{path}{more}"
        if args.geojson:
            folder, written = pages.write_geojson(requests)
            yield "geojson", f"{written:,} files in {folder}; class Tissue comes back by --masks"

    def kept(self, before: SlideRequest, now: SlideRequest) -> SlideRequest:
        """Keep the resolution that an earlier start assumed for a slide, if none is given now."""
        if now.assume_mpp is None and now.uri == before.uri:
            return dataclasses.replace(now, assume_mpp=before.assume_mpp)
        return now

    def told_at_the_end(
        self,
        layout: Layout,
        table: pa.Table,
        counts: Mapping[str, Any],  # noqa: ARG002
    ) -> Iterator[tuple[str, str]]:
        """Yield the number of patches, and the path of one picture."""
        planned, embedded, failed = (
            pc.sum(table[f"patches_{name}"]).as_py() or 0
            for name in ("planned", "embedded", "failed")
        )
        yield self.unit, f"{planned:,} planned = {embedded:,} embedded + {failed:,} failed"
        shown = table.filter(pc.field("patches_embedded") > 0)["slide_id"]
        if len(shown):
            yield "picture", layout.picture(shown[0].as_py())


JOB = SlideJob()
