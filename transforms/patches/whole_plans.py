"""Where a sample in total ends, which the plans of whole items tell."""

from __future__ import annotations

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.patches.total import SampleEnd, read_end


def sample_end(layout: Layout) -> SampleEnd:
    """Return where the sample of an output ends.

    Raises:
      DamagedError: its file is not what was written.
      FileNotFoundError: it is not known yet.
    """
    end = read_end(layout.sample)
    if end is None:
        raise FileNotFoundError(layout.sample)
    return end
