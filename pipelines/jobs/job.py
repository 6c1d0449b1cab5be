"""The interface of an embedding job: everything in which one job differs from another.

The command line, `beamscope status`, the Flex Template, Dataflow's checks and the summary use this
interface only. None of them names a job.
"""

from __future__ import annotations

import abc
import argparse
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import apache_beam as beam
import pyarrow as pa

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.model import model_settings_from
from beamscope.transforms.inference.handler import OwnImages
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.planned import PlannedItem
from beamscope.transforms.output.planner import ItemPlanner, ItemSummary
from beamscope.transforms.output.plans import PlanFile
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.output.schema import PROBLEMS_SCHEMA
from beamscope.transforms.sources.image_reading import ImageReading
from beamscope.transforms.storage.files import FileInfo


@dataclasses.dataclass(frozen=True)
class PathFlag:
    """A flag that names files.

    Attributes:
      kind: ``file`` for one file, ``folder`` for one folder, ``pattern`` for one or more patterns.
      by_workers: whether workers read the files, so that workers must be able to reach them.
    """

    kind: Literal["file", "folder", "pattern"]
    by_workers: bool = True


@dataclasses.dataclass(frozen=True)
class Requests:
    """The items that a command line requests.

    Attributes:
      items: dataclasses, in an order that does not depend on the order of the flags.
      left_out: number of files that were found and not taken, by kind of file.
      notes: sentences to print before the job starts.
    """

    items: Sequence[Any]
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Steps:
    """The steps of the pipeline that differ between jobs.

    Attributes:
      planner: divides the requested items into blocks.
      read: transform from a ``PCollection`` of the planner's blocks to ``PCollection[ImageBlock]``.
        If it has an attribute ``guard``, it is given the job's guard; `ReadAheadFn` takes it.
      encode: transform from ``PCollection[ImageBlock]`` to ``PCollection[EmbeddingBlock]`` of a job
        that runs no model; None for one that does.
      summary: sums up each finished item.
      prepare: transform from the ``PCollection`` of requests to the same, for what has to be known
        of all items before the planner divides one; it has an attribute ``guard``. The planner then
        reads no file of the user. None where items are planned one by one.
      spread: transform that distributes a ``PCollection`` of blocks over all workers. If it has an
        attribute ``accelerator``, it is given the resource hint of the steps that embed.
    """

    planner: ItemPlanner[Any, Any]
    read: beam.PTransform
    summary: ItemSummary
    spread: beam.PTransform = dataclasses.field(default_factory=beam.Reshuffle)
    encode: beam.PTransform | None = None
    prepare: beam.PTransform | None = None


class Job(abc.ABC):
    """An embedding job. It is stateless; `beamscope.pipelines.jobs.registry` lists them.

    Attributes:
      name: name of the command, such as ``slides``.
      description: one sentence for ``--help``.
      essential: names of the job's own flags that everyone needs: ``--help`` shows these.
      examples: command lines for ``--help``.
      items: plural noun for the planned items, such as ``slides`` or ``sources``.
      unit: plural noun for the embedded images: ``patches`` or ``films``.
      request_type: dataclass of one requested item; it has an ``id``.
      table_name: name of the table of requested items: ``slides`` or ``images``.
      listed: plural noun for a row of that table, such as ``slides`` or ``films``.
      table: schema of that table; its last column is ``shard``.
      rows: schema of the rows of the embeddings, without the embedding itself.
      problems: schema of the table of problems.
      plan_version: a number that increases when the same settings give another plan or other
        pixels than before.
      input_px: side of a model's input that `beamscope plan` takes if no model says it.
      path_flags: the job's own flags that name files.
      embeds: whether the job runs a model. One that does not writes rows of encoded images.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    essential: ClassVar[Sequence[str]]
    examples: ClassVar[Sequence[str]] = ()
    items: ClassVar[str]
    unit: ClassVar[str]
    request_type: ClassVar[type]
    table_name: ClassVar[str]
    listed: ClassVar[str]
    table: ClassVar[pa.Schema]
    rows: ClassVar[pa.Schema]
    problems: ClassVar[pa.Schema] = PROBLEMS_SCHEMA
    plan_version: ClassVar[int] = 1
    input_px: ClassVar[int] = 224
    path_flags: ClassVar[Mapping[str, PathFlag]] = {}
    embeds: ClassVar[bool] = True

    @abc.abstractmethod
    def add_arguments(self, parser: Parser) -> None:
        """Add the job's own flags."""

    @abc.abstractmethod
    def requests(self, args: argparse.Namespace) -> Requests:
        """Return the requested items.

        Raises:
          InputError: nothing matches, or a list of inputs cannot be used.
        """

    @abc.abstractmethod
    def settings(self, args: argparse.Namespace, model: ModelSettings, input_px: int) -> Any:
        """Return how items become images: a dataclass whose fields declare their fingerprint.

        Args:
          args: the parsed flags.
          model: settings of the model, from the flags.
          input_px: side of the model's input images in pixels.

        Raises:
          InputError: a flag has an invalid value.
        """

    def read_once(
        self, args: argparse.Namespace, models: Sequence[tuple[ModelSettings, Any]]
    ) -> tuple[Any, Sequence[OwnImages]] | None:
        """Return how images are read once for several models that are to see them differently.

        Args:
          args: the parsed flags.
          models: of each model the settings, and how items become images for it alone.

        Returns:
          how items become images, and how each model finds its own in a block of them; None where
          one reading cannot serve them, as by default.

        Raises:
          InputError: nothing says how images are to be fitted to a model.
        """
        del args, models
        return None

    @abc.abstractmethod
    def example_settings(self) -> Sequence[Any]:
        """Return settings that contain every settings dataclass of the job, for a test to walk."""

    @abc.abstractmethod
    def steps(self, settings: Any, args: argparse.Namespace, layout: Layout) -> Steps:
        """Return the job's own steps of the pipeline."""

    @abc.abstractmethod
    def glance(self, plan: PlanFile) -> PlanGlance:
        """Return the item's properties that the header of its plan holds."""

    def identities(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Return JSON values for each request; they change when its files change."""
        return self.identities_seen(requests, self.look(requests))

    def count_images(self, requests: Sequence[Any], most: int) -> int | None:
        """Return how many images the items have, where that is known at once.

        Args:
          requests: the items.
          most: more than this need not be counted.

        Returns:
          their number; None where only planning tells it, as by default, or they are more.
        """
        del requests, most
        return None

    def look(self, requests: Sequence[Any]) -> Mapping[str, FileInfo | None]:
        """Return the files of many requests as they are now, by uri; those not there are not known.

        What is known is not asked for again, request by request.
        """
        del requests
        return {}

    @abc.abstractmethod
    def identities_seen(
        self, requests: Sequence[Any], seen: Mapping[str, FileInfo | None]
    ) -> Sequence[Any]:
        """Return `identities` of requests whose files have been looked at by `look`."""

    def same_item(self, before: Any, now: Any) -> bool:
        """Return whether two requests with one id name the same item, even if it has changed."""
        del before, now
        return True

    def named_uris(self, requests: Sequence[Any]) -> Iterable[tuple[str, str | None]]:
        """Yield (flag, uri) for the files that only the requests name, not the flags."""
        del requests
        return ()

    def model_settings(self, args: argparse.Namespace) -> ModelSettings:
        """Return the settings of the model, from the flags.

        Raises:
          InputError: a flag has an invalid value.
        """
        return model_settings_from(args)

    def settings_without_model(self, args: argparse.Namespace) -> Any:
        """Return how items become images, for a job that runs no model.

        Raises:
          InputError: a flag has an invalid value.
        """
        raise NotImplementedError

    def count_table(self, settings: Any) -> Callable[[pa.Table], Mapping[str, int]] | None:
        """Return a function that adds counts of the finished table; None if there are none."""
        del settings
        return None

    def extend_table(
        self, settings: Any, requests: Sequence[Any]
    ) -> Callable[[pa.Table], pa.Table] | None:
        """Return a function that adds the user's own columns to the table; None if there are none.

        Args:
          settings: the job's settings.
          requests: every item of the dataset.
        """
        del settings, requests
        return None

    def thorough(self, planner: ItemPlanner[Any, Any]) -> ItemPlanner[Any, Any]:
        """Return the planner as `beamscope plan` uses it, which may count more than a job needs."""
        return planner

    def planned_input_px(self, args: argparse.Namespace) -> int:
        """Return the side of the model's input to plan for if nothing says it."""
        del args
        return self.input_px

    def planned(self, layout: Layout, request: Any, plan: PlanFile) -> PlannedItem:
        """Return what the plan of an item says about it, for `beamscope plan`.

        Args:
          layout: paths of the output.
          request: the item.
          plan: its plan: the path, or the header where that is known.
        """
        del layout
        glance = self.glance(plan)
        return PlannedItem(request.id, "", rows=glance.rows, failed=glance.failed)

    def add_plan_arguments(self, parser: Parser) -> None:
        """Add the flags that only `beamscope plan` has for this job."""
        del parser

    def plan_pages(
        self, layout: Layout, requests: Sequence[Any], settings: Any, args: argparse.Namespace
    ) -> Iterable[tuple[str, str]]:
        """Write what a person can look at beside a plan; yield (label, text) for the terminal."""
        del layout, requests, settings, args
        return ()

    def kept(self, before: Any, now: Any) -> Any:
        """Return a request for an item that the output holds already.

        Args:
          before: the request of the earlier start.
          now: the request of this start, of the same id.
        """
        del before
        return now

    def reading_again(self, options: Mapping[str, Any]) -> ImageReading | None:
        """Return how images were read, from the options of ``dataset.json``, for a report.

        None, as by default, where the images of a report are made in another way.
        """
        del options
        return None

    def warnings(self, settings: Any, table: pa.Table) -> Iterable[str]:
        """Return one sentence for each thing that the user has surely not meant.

        Args:
          settings: the job's settings.
          table: the table of requested items.
        """
        del settings, table
        return ()

    def told_at_the_end(
        self, layout: Layout, table: pa.Table, counts: Mapping[str, Any]
    ) -> Iterable[tuple[str, str]]:
        """Return the job's own lines of the summary as (label, text).

        Args:
          layout: paths of the dataset.
          table: the table of requested items.
          counts: the counts of ``dataset.json``.
        """
        del layout, table, counts
        return ()
