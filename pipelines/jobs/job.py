"""What a job is: everything that tells one embedding job from another, in one class.

The command line, `beamscope status`, the Flex Template, Dataflow's checks and the summary ask a job
for what they need; none of them knows which jobs there are.
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
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.planner import ItemPlanner, ItemSummary
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.output.schema import PROBLEMS_SCHEMA


@dataclasses.dataclass(frozen=True)
class PathFlag:
    """A flag that names files.

    Attributes:
      kind: what it names: one ``file``, a ``folder``, or a ``pattern``, of which there may be many.
      by_workers: whether workers read it, so that it has to be where they can.
    """

    kind: Literal["file", "folder", "pattern"]
    by_workers: bool = True


@dataclasses.dataclass(frozen=True)
class Requests:
    """What a command line asks for.

    Attributes:
      items: dataclasses, in an order that does not depend on the flags'.
      left_out: how many files were found and not taken, by what they are.
      notes: what else a person is to be told before the job starts, a sentence each.
    """

    items: Sequence[Any]
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Steps:
    """The parts of a job that are its own; everything else is the same for all jobs.

    Attributes:
      planner: plans the items that were asked for, into blocks.
      read: ``PCollection`` of the planner's blocks to ``PCollection[ImageBlock]``.
      summary: sums items up.
      spread: ``PCollection`` of blocks to the same, free to go to any worker.
    """

    planner: ItemPlanner[Any, Any]
    read: beam.PTransform
    summary: ItemSummary
    spread: beam.PTransform = dataclasses.field(default_factory=beam.Reshuffle)


class Job(abc.ABC):
    """An embedding job. It is stateless; `beamscope.pipelines.jobs.registry` lists them.

    Attributes:
      name: of the command, such as ``slides``.
      description: one sentence for ``--help``.
      items: what is planned, in the plural, such as ``slides`` or ``sources``.
      unit: what is embedded, in the plural: ``patches`` or ``films``.
      request_type: the dataclass of what is asked for; it has an ``id``.
      table_name: of the table of what was asked for: ``slides`` or ``images``.
      table: its schema; its last column is ``shard``.
      rows: the columns of the embeddings, but for the embedding.
      problems: schema of the table of problems.
      plan_version: counted up when the same settings begin to give another plan, or other pixels.
      path_flags: the job's own flags that name files.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    items: ClassVar[str]
    unit: ClassVar[str]
    request_type: ClassVar[type]
    table_name: ClassVar[str]
    table: ClassVar[pa.Schema]
    rows: ClassVar[pa.Schema]
    problems: ClassVar[pa.Schema] = PROBLEMS_SCHEMA
    plan_version: ClassVar[int] = 1
    path_flags: ClassVar[Mapping[str, PathFlag]] = {}

    @abc.abstractmethod
    def add_arguments(self, parser: Parser) -> None:
        """Add the job's own flags."""

    @abc.abstractmethod
    def requests(self, args: argparse.Namespace) -> Requests:
        """Return what is asked for.

        Raises:
          InputError: nothing matches, or a list of inputs cannot be used.
        """

    @abc.abstractmethod
    def settings(self, args: argparse.Namespace, model: ModelSettings, input_px: int) -> Any:
        """Return how items become images: a dataclass whose fields declare their fingerprint.

        Args:
          args: the parsed flags.
          model: as the flags say.
          input_px: side of the images that the model takes.

        Raises:
          InputError: a flag's value makes no sense.
        """

    @abc.abstractmethod
    def example_settings(self) -> Sequence[Any]:
        """Return settings that reach every dataclass of settings there is, for a test to walk."""

    @abc.abstractmethod
    def steps(self, settings: Any, args: argparse.Namespace, layout: Layout) -> Steps:
        """Return the job's own parts of the pipeline."""

    @abc.abstractmethod
    def glance(self, plan_path: str) -> PlanGlance:
        """Return what the header of a plan tells of its item."""

    @abc.abstractmethod
    def identities(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Return for each request JSON values that change when its files do."""

    def same_item(self, before: Any, now: Any) -> bool:
        """Return whether two requests of one id are of the same item, maybe moved or changed."""
        del before, now
        return True

    def named_uris(self, requests: Sequence[Any]) -> Iterable[tuple[str, str | None]]:
        """Yield (flag, uri) of the files that requests name and no flag does."""
        del requests
        return ()

    def model_settings(self, args: argparse.Namespace) -> ModelSettings:
        """Return the model as the flags say.

        Raises:
          InputError: a value makes no sense.
        """
        return model_settings_from(args)

    def count_table(self, settings: Any) -> Callable[[pa.Table], Mapping[str, int]] | None:
        """Return what else is counted in the finished table; None where nothing is."""
        del settings
        return None

    def faults(self, settings: Any, table: pa.Table) -> Iterable[str]:
        """Return why a finished dataset is no plain success, a sentence each.

        Args:
          settings: of the job.
          table: of what was asked for.
        """
        del settings, table
        return ()

    def told_at_the_end(self, layout: Layout, table: pa.Table) -> Iterable[tuple[str, str]]:
        """Return the job's own lines of the summary, (label, text) each."""
        del layout, table
        return ()
