"""A third job, as another package would write it: it embeds the PNG files of folders.

This file holds the whole job. A folder is an item, and a few pictures are a block.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from beamscope.pipelines.jobs.job import Job, PathFlag, Requests, Steps
from beamscope.pipelines.options.command_line import Parser
from beamscope.transforms.blocks import BlockKey, ImageBlock, PartRef
from beamscope.transforms.fingerprints import in_plan
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.parts import parts_in_order, read_part_problems
from beamscope.transforms.output.planner import ItemPlanner, ItemSummary
from beamscope.transforms.output.plans import (
    PlanFile,
    content_digest,
    read_plan_file,
    read_plan_header,
    write_plan_file,
)
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.storage import files

ROWS = pa.schema([pa.field("folder", pa.string()), pa.field("name", pa.string())])
TABLE = pa.schema(
    [
        pa.field("folder", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("pictures", pa.int64(), nullable=False),
        pa.field("shard", pa.int32()),
    ]
)


@dataclasses.dataclass(frozen=True)
class FolderSettings:
    size: int = in_plan(default=64)
    block_size: int = in_plan(default=2)


@dataclasses.dataclass(frozen=True)
class FolderRequest:
    path: str

    @property
    def id(self) -> str:
        return Path(self.path).name


@dataclasses.dataclass(frozen=True)
class FolderPlan:
    request: FolderRequest
    names: tuple[str, ...]
    block_size: int

    def blocks(self) -> Iterator[FolderBlock]:
        for index, start in enumerate(range(0, len(self.names), self.block_size)):
            key = BlockKey(self.request.id, index)
            names = self.names[start : start + self.block_size]
            yield FolderBlock(key, self.request.path, names)


@dataclasses.dataclass(frozen=True)
class FolderBlock:
    key: BlockKey
    folder: str
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FolderPlanner(ItemPlanner[FolderRequest, FolderPlan]):
    settings: FolderSettings

    items = "folders"

    def find(self, layout: Layout, request: FolderRequest) -> FolderPlan | None:
        path = layout.plan(request.id)
        if not files.exists(path):
            return None
        _, table = read_plan_file(path)
        return FolderPlan(request, tuple(table["name"].to_pylist()), self.settings.block_size)

    def make(self, layout: Layout, request: FolderRequest) -> FolderPlan:
        names = sorted(path.name for path in Path(request.path).glob("*.png"))
        return FolderPlan(request, tuple(names), self.settings.block_size)

    def write(self, layout: Layout, request: FolderRequest, plan: FolderPlan) -> None:
        write_plan_file(layout.plan(request.id), *encoded(plan))

    def digest(self, request: FolderRequest, plan: FolderPlan) -> str:
        return content_digest(*encoded(plan))

    def block_rows(self, block: FolderBlock) -> int:
        return len(block.names)

    def block_sizes(self, plan: FolderPlan) -> Sequence[int]:
        return [len(block.names) for block in plan.blocks()]

    def blocks(self, plan: FolderPlan, done: frozenset[int]) -> Iterator[FolderBlock]:
        return (block for block in plan.blocks() if block.key.index not in done)


def encoded(plan: FolderPlan) -> tuple[dict[str, Any], pa.Table]:
    return {"pictures": len(plan.names)}, pa.table({"name": pa.array(plan.names, pa.string())})


@dataclasses.dataclass
class ReadFolderBlocks(beam.PTransform):
    settings: FolderSettings

    def expand(self, blocks: beam.PCollection[FolderBlock]) -> beam.PCollection[ImageBlock]:
        read = functools.partial(read_block, size=self.settings.size)
        return blocks | beam.Map(read).with_output_types(ImageBlock)


def read_block(block: FolderBlock, size: int) -> ImageBlock:
    pixels, rows, problems = [], [], []
    for name in block.names:
        path = Path(block.folder, name)
        try:
            with Image.open(path) as image:
                pixels.append(np.asarray(image.convert("RGB").resize((size, size))))
            rows.append({"folder": block.key.item_id, "name": name})
        except UnidentifiedImageError as error:
            problems.append(
                Problem(block.key.item_id, str(path), "read", Kind.CORRUPT_IMAGE, str(error))
            )
    return ImageBlock(
        block.key,
        np.array(pixels, np.uint8).reshape(-1, size, size, 3),
        pa.RecordBatch.from_pylist(rows, ROWS),
        len(block.names),
        tuple(problems),
        uri=block.folder,
    )


@dataclasses.dataclass(frozen=True)
class FolderSummary(ItemSummary):
    def pieces(self, layout: Layout, item_id: str, parts: Sequence[PartRef]) -> Iterator[Any]:
        planned = read_plan_header(layout.plan(item_id))["pictures"]
        sizes = [part.planned for part in sorted(parts)]
        assert sum(sizes) == planned
        yield item_id, tuple(parts_in_order(item_id, parts, sizes))

    def outcome(self, layout: Layout, piece: Any) -> ItemOutcome:
        item_id, parts = piece
        embedded = sum(part.embedded for part in parts)
        row = {"folder": item_id, "status": "done" if embedded else "failed", "pictures": embedded}
        problems = [problem for part in parts for problem in read_part_problems(part.path)]
        table = pa.RecordBatch.from_pylist([row], TABLE.remove(TABLE.get_field_index("shard")))
        paths = tuple(part.path for part in parts if part.embedded)
        return ItemOutcome(item_id, table, tuple(problems), paths, embedded)


class FolderJob(Job):
    name = "folders"
    description = "Embed the PNG files of folders."
    items = "folders"
    unit = "pictures"
    essential = ()
    listed = "folders"
    table_name = "folders"
    request_type = FolderRequest
    table = TABLE
    rows = ROWS
    path_flags: ClassVar[dict[str, PathFlag]] = {"input": PathFlag("folder")}

    def add_arguments(self, parser: Parser) -> None:
        parser.add_argument("--input", nargs="+", required=True, help="folders of PNG files")
        parser.add_argument("--block_size", type=int, default=2, help="pictures in a block")

    def requests(self, args: argparse.Namespace) -> Requests:
        for path in args.input:
            if not Path(path).is_dir():
                raise InputError(Kind.NO_MATCH, f"--input {path}: is no folder")
        return Requests([FolderRequest(path) for path in sorted(args.input)])

    def settings(
        self, args: argparse.Namespace, model: ModelSettings, input_px: int
    ) -> FolderSettings:
        return FolderSettings(input_px, args.block_size)

    def example_settings(self) -> list[Any]:
        return [FolderSettings()]

    def steps(self, settings: FolderSettings, args: argparse.Namespace, layout: Layout) -> Steps:
        return Steps(FolderPlanner(settings), ReadFolderBlocks(settings), FolderSummary())

    def glance(self, plan: PlanFile) -> PlanGlance:
        return PlanGlance(read_plan_header(plan)["pictures"])

    def identities_seen(
        self, requests: Sequence[FolderRequest], seen: Mapping[str, Any]
    ) -> list[Any]:
        del seen
        return [sorted(path.name for path in Path(r.path).iterdir()) for r in requests]

    def told_at_the_end(
        self, layout: Layout, table: pa.Table, counts: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        return [("pictures", str(sum(table["pictures"].to_pylist())))]


JOB = FolderJob()
