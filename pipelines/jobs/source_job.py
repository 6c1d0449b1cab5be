"""What jobs of images in archives and folders have in common."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from beamscope.pipelines.jobs.job import Job, Requests, Steps
from beamscope.pipelines.options.sources import sources_from
from beamscope.pipelines.terminal.say import note
from beamscope.transforms.inference.handler import OwnImages
from beamscope.transforms.inference.model_files import model_name
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.planned import PlannedItem
from beamscope.transforms.output.plans import PlanFile
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import list_members
from beamscope.transforms.sources.image_reading import SourceSettings
from beamscope.transforms.sources.names import ImageNames
from beamscope.transforms.sources.outcome import PROBLEMS_SCHEMA
from beamscope.transforms.sources.planning.plan_file import (
    glance,
    listing_digest,
    source_identity,
)
from beamscope.transforms.sources.planning.planned import planned_source
from beamscope.transforms.sources.planning.source_planner import SourcePlanner
from beamscope.transforms.sources.ptransforms.read_members import ReadImageBlocks
from beamscope.transforms.sources.source_summary import SourceSummary
from beamscope.transforms.sources.sources import Source, is_remote
from beamscope.transforms.storage.files import FileInfo
from beamscope.transforms.storage.many import stat_all


class SourceJob(Job):
    """A job whose items are sources of images. Its settings are `SourceSettings`.

    Attributes:
      names: the names that are those of images.
    """

    names: ClassVar[ImageNames]
    items = "sources"
    request_type = Source
    table_name = "images"
    problems = PROBLEMS_SCHEMA

    def requests(self, args: argparse.Namespace) -> Requests:
        """Return the requested archives, directories and single files."""
        return Requests(sources_from(args.input, self.names))

    def steps(self, settings: Any, args: argparse.Namespace, layout: Layout) -> Steps:  # noqa: ARG002
        """Return how sources are planned, read and summed up."""
        return Steps(
            planner=SourcePlanner(settings),
            read=ReadImageBlocks(settings, layout),
            summary=SourceSummary(settings),
        )

    def read_once(
        self,
        args: argparse.Namespace,  # noqa: ARG002
        models: Sequence[tuple[ModelSettings, SourceSettings]],
    ) -> tuple[SourceSettings, Sequence[OwnImages]]:
        """Decode each image once, and prepare it in the way of each model, as for it alone."""
        # Two models that see images in one way share them.
        ways = list(dict.fromkeys(images.ways[0] for _, images in models))
        for model, images in models:
            note(f"{self.unit} are {images.ways[0]} for the model {model_name(model.uri)}")
        owns = [OwnImages(view=ways.index(images.ways[0])) for _, images in models]
        return models[0][1].with_ways(ways), owns

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

    def count_images(self, requests: Sequence[Source], most: int) -> int | None:
        """Return how many images there are, from names and the directories of zip files.

        None for what is in a store or in a tar, and for more than a few sources.
        """
        if len(requests) > most or any(
            is_remote(source.uri) or source.kind in ("tar", "tgz") for source in requests
        ):
            return None
        count = 0
        for source in requests:
            count += len(list_members(source, Limits(), self.names).members)
            if count > most:
                return None
        return count

    def look(self, requests: Sequence[Source]) -> dict[str, FileInfo | None]:
        """Return the sources as they are now, by uri; see `source_identity`."""
        archives = stat_all(source.uri for source in requests if source.is_archive)
        others = (source for source in requests if not source.is_archive)
        return archives | {
            source.uri: FileInfo(source.uri, 0, listing_digest(source)) for source in others
        }

    def identities_seen(
        self, requests: Sequence[Source], seen: Mapping[str, FileInfo | None]
    ) -> list[Any]:
        """Return values that change when the files of a source change."""
        return [source_identity(source, seen) for source in requests]
