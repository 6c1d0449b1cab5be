"""A job whose pictures do what their names say, and a model without TensorFlow.

Child processes find both by entry points: a test puts a folder with `ENTRY_POINTS` on their path.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import apache_beam as beam
import numpy as np

from beamscope.pipelines.jobs.job import Steps
from beamscope.transforms.blocks import ImageBlock
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.inference.backends.base import Backend, LoadedModel
from beamscope.transforms.inference.model_files import model_digest, model_name
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.read_ahead import ReadAheadFn
from tests.pipelines.jobs.folder_job import (
    FolderBlock,
    FolderJob,
    FolderPlan,
    FolderPlanner,
    FolderRequest,
    FolderSettings,
    FolderSummary,
    read_block,
)

ENTRY_POINTS = """
[beamscope.jobs]
hostile = tests.faults.hostile:JOB

[beamscope.backends]
brightness = tests.faults.hostile:BRIGHTNESS
"""
SIZE = 8
PATIENT = "Doe^John"
# Shades of grey that are too much for the model.
RAISES, TOO_FEW, NOT_A_NUMBER = 201, 202, 203


def misbehave(name: str) -> None:
    """Do what a name says."""
    if "abort" in name:
        os.abort()
    if "kill" in name:
        # As the kernel does when memory runs out.
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in name:
        while True:
            time.sleep(0.1)
    if "memory" in name:
        bytearray(1 << 62)
    if "raise" in name:
        raise ValueError(PATIENT)
    if "exit" in name:
        os._exit(17)


class HostilePlanner(FolderPlanner):
    def make(self, layout: Layout, request: FolderRequest) -> FolderPlan:
        misbehave(request.id)
        return super().make(layout, request)

    def failed(self, request: FolderRequest, error: InputError) -> FolderPlan:
        return FolderPlan(request, (), self.settings.block_size)


@dataclasses.dataclass
class ReadHostileBlocks(beam.PTransform):
    settings: FolderSettings
    guard: Guard | None = None

    def expand(self, blocks: beam.PCollection[FolderBlock]) -> beam.PCollection[ImageBlock]:
        return blocks | beam.ParDo(ReadAheadFn(_Read(self.settings.size), lose, self.guard))


@dataclasses.dataclass
class _Read:
    size: int

    def __call__(self, block: FolderBlock) -> ImageBlock:
        with Path(block.folder, "..", "read.log").open("a") as log:
            log.write(f"{block.key}\n")
        for name in block.names:
            time.sleep(float(os.environ.get("HOSTILE_SLOW", "0")))
            misbehave(name)
        return read_block(block, self.size)


def lose(block: FolderBlock, error: InputError) -> ImageBlock:
    problems = tuple(
        Problem(block.key.item_id, f"{block.folder}/{name}", "read", error.kind, error.message)
        for name in block.names
    )
    nothing = read_block(dataclasses.replace(block, names=()), SIZE)
    return dataclasses.replace(nothing, planned=len(block.names), problems=problems)


class HostileJob(FolderJob):
    name = "hostile"

    def steps(self, settings: FolderSettings, args: object, layout: Layout) -> Steps:
        return Steps(HostilePlanner(settings), ReadHostileBlocks(settings), FolderSummary())


JOB = HostileJob()


class Brightness(LoadedModel):
    """The mean colour; a picture of one of the shades below makes it fail."""

    def __init__(self, path: Path, settings: ModelSettings) -> None:
        self.settings = settings
        self.spec = ModelSpec(
            backend="brightness",
            name=model_name(settings.uri),
            digest=model_digest(path),
            called="mean",
            input_name="pixels",
            input_size=SIZE,
            size_source="model",
            input_dtype="uint8",
            input_layout="channels_last",
            input_channels=3,
            input_range="0..255",
            range_source="dtype",
            output_key=None,
            output_shape=(3,),
            output_layout="channels_last",
            pooling="none",
            first_patch=0,
            features=3,
            compile="none",
            precision="float32",
        )

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        return self.answer(pixels)

    def answer(self, pixels: np.ndarray) -> np.ndarray:
        means = pixels.mean(axis=(1, 2), dtype=np.float32)
        if (means == RAISES).all(axis=1).any():
            raise ArithmeticError("these pixels are too much")
        if (means == TOO_FEW).all(axis=1).any():
            return means[:-1]
        means[(means == NOT_A_NUMBER).all(axis=1)] = np.nan
        return means


class BrightnessBackend(Backend[Brightness]):
    name = "brightness"
    summary = "a file that is called a model"
    compilers = ()

    def refusal(self, path: Path) -> str | None:
        return None if path.suffix == ".brightness" else "not a .brightness file"

    def load(self, path: Path, settings: ModelSettings) -> Brightness:
        return Brightness(path, settings)


BRIGHTNESS = BrightnessBackend()
