"""The stages of a pipeline that was submitted, as Beam's own fuser makes them."""

from __future__ import annotations

import copy
import dataclasses

from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import translations

ACCELERATOR = "beam:resources:accelerator:v1"


@dataclasses.dataclass(frozen=True)
class FusedStage:
    """Steps that pass elements on in memory.

    Attributes:
      steps: full names.
      accelerator: the resource hint of all of them; empty for none.
    """

    steps: frozenset[str]
    accelerator: str

    def has(self, step: str) -> bool:
        """Whether a step is in it, by the end of its name or of one of its parents'."""
        return any(f"/{step}/" in f"/{name}/" for name in self.steps)


def fused_stages(pipeline: beam_runner_api_pb2.Pipeline) -> list[FusedStage]:
    """Fuse as runners do: what lies between is shuffled or kept in files."""
    pipeline = copy.deepcopy(pipeline)
    context, stages = translations.create_and_optimize_stages(
        pipeline,
        phases=[
            translations.annotate_downstream_side_inputs,
            translations.fix_side_input_pcoll_coders,
            translations.expand_gbk,
            translations.sink_flattens,
            translations.greedily_fuse,
        ],
        known_runner_urns=frozenset(
            [
                common_urns.primitives.FLATTEN.urn,
                common_urns.primitives.GROUP_BY_KEY.urn,
                common_urns.primitives.IMPULSE.urn,
            ]
        ),
    )
    environments = context.components.environments
    return [
        FusedStage(
            frozenset(transform.unique_name for transform in stage.transforms),
            _hint(environments[stage.environment]) if stage.environment else "",
        )
        for stage in stages
    ]


def _hint(environment: beam_runner_api_pb2.Environment) -> str:
    return bytes(environment.resource_hints.get(ACCELERATOR, b"")).decode()
