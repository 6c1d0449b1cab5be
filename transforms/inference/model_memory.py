"""How much memory a model takes on each way, so that nothing starts that the machine would kill.

The figures are peaks measured with BiT 50x1 (94 MB of weights) and 152x2 (929 MB), less what the
process held before the step (docs/models.md).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from beamscope.transforms.machine_memory import available_memory
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

Way = Literal["load", "open", "openvino", "freeze", "xla frozen", "xla"]


MORE_MEMORY = (
    "use a machine with more (of a Flex Template's launcher: --launcher-machine-type), or fewer "
    "worker processes"
)


class LackingMemoryError(ValueError):
    """A step would take more memory than is left now."""


@dataclasses.dataclass(frozen=True)
class _Need:
    """Bytes that a step takes: a base, and a multiple of the bytes of the weights."""

    base: float
    times: float


_NEEDS: dict[Way, _Need] = {
    # TensorFlow restores the variables beside what it has read of their files.
    "load": _Need(0.3e9, 2.1),
    # The weights as the processor wants them; those of the file are mapped, and not counted.
    "open": _Need(0.2e9, 1.3),
    # On top of the loaded model, as all that follow: folded weights, which go over one by one.
    "openvino": _Need(0.2e9, 1.4),
    "freeze": _Need(0.5e9, 12.0),
    "xla frozen": _Need(1.0e9, 17.0),
    "xla": _Need(0.5e9, 1.3),
}


def needed(way: Way, weights: int) -> int:
    """Return about how many bytes of memory a way takes for that many bytes of weights."""
    need = _NEEDS[way]
    return int(need.base + need.times * weights)


def shortage(way: Way, weights: int, available: int | None) -> str | None:
    """Return a line that says what is lacking; None where it fits, or nothing is known.

    Args:
      way: what is about to be done.
      weights: bytes of the model's weights.
      available: bytes that the process may still take, see `machine_memory.available_memory`.
    """
    need = needed(way, weights)
    if available is None or need <= available:
        return None
    return f"it needs about {need / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are left"


def lacking(way: Way, weights: int) -> str | None:
    """Return `shortage` on this machine, now."""
    return shortage(way, weights, available_memory())


def refuse_where_lacking(name: str, way: Way, weights: int) -> None:
    """Raise InputError (``bad_model``) where a step without a cheaper one would be killed."""
    line = lacking(way, weights)
    if line is not None:
        raise InputError(
            Kind.BAD_MODEL,
            f"model {name}: {line}: {MORE_MEMORY}",
        )
