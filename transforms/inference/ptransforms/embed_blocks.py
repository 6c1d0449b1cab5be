"""PTransform: embed blocks of images with Beam's RunInference."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference

from beamscope.transforms.block_coders import register_block_coders
from beamscope.transforms.blocks import EmbeddingBlock, ImageBlock
from beamscope.transforms.inference.handler import ModelBackendHandler

register_block_coders()


@dataclasses.dataclass
class EmbedBlocks(beam.PTransform):
    """Embed blocks: ``PCollection[ImageBlock]`` to ``PCollection[EmbeddingBlock]``.

    Attributes:
      handler: the handler of the model, such as a `ModelBackendHandler`.
    """

    handler: ModelHandler

    def expand(self, blocks: beam.PCollection[ImageBlock]) -> beam.PCollection[EmbeddingBlock]:
        """Run the model on each block as it comes. There are no dead letters."""
        handler, given = self.handler, blocks
        if isinstance(handler, ModelBackendHandler):
            handler = dataclasses.replace(handler, in_lists=True)
            given = blocks | "InLists" >> beam.Map(_in_list)
        return given | "RunInference" >> RunInference(handler).with_output_types(EmbeddingBlock)


def _in_list(block: ImageBlock) -> list[ImageBlock]:
    return [block]
