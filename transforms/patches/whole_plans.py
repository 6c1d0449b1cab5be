"""Plans of whole items, from which a sample in total is taken: what to do where one is damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.patches.total import SampleEnd, read_end
from beamscope.transforms.problems import RepairNeededError
from beamscope.transforms.storage import files


@contextlib.contextmanager
def made_again() -> Iterator[None]:
    """Delete a file that the body finds damaged, and ask for another pass, which makes it again.

    Raises:
      RepairNeededError: the body has met a damaged file, or one that is gone.
    """
    try:
        yield
    except DamagedError as error:
        files.delete([error.path])
        raise RepairNeededError(f"damaged: {error}") from error
    except FileNotFoundError as error:
        raise RepairNeededError(f"a file of the output is gone: {error}") from error


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
