"""Problems: values that travel with the data and end as rows of a table."""

from __future__ import annotations

import dataclasses

from beamscope.transforms.problem_kinds import Kind


@dataclasses.dataclass(frozen=True)
class Problem:
    """A slide, patch, archive or film that could not be embedded.

    Attributes:
      item_id: id of the slide or film.
      uri: the file that it comes from.
      stage: the step where it occurred: ``plan``, ``read`` or ``embed``.
      kind: a short stable word to group by: the value of a `Kind`, such as ``missing_mpp``.
      message: one line for the user, with the wrong value.
      x_level0: left edge of the patch in level-0 pixels; None if it concerns the whole item.
      y_level0: top edge of the patch in level-0 pixels; None if it concerns the whole item.
      member: name of the film in its archive; None for the whole archive, and for slides.
    """

    item_id: str
    uri: str
    stage: str
    kind: str
    message: str
    x_level0: int | None = None
    y_level0: int | None = None
    member: str | None = None


class InputError(Exception):
    """A flag or a file of the user that cannot be used. This is expected, and reported.

    Code that reads the user's data raises it, and the transform on top turns it into a `Problem`.
    Any other exception there is a defect of beamscope: a `Problem` of kind ``defect``.
    """

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def __reduce__(self) -> tuple[type[InputError], tuple[Kind, str]]:
        # Exceptions pickle only their args, so `kind` would be lost between processes.
        return type(self), (self.kind, self.message)


class JobStoppedError(Exception):
    """The job cannot go on, for a reason that one line tells; what is done stays."""


class StorageError(OSError):
    """A disk or a store that fails, whichever file it is: no item is to blame, so the job stops."""


class UnwritableError(StorageError):
    """A file cannot be written: the disk is full, read-only, or refuses the file's name."""


class UnavailableError(StorageError, ConnectionError):
    """A store does not answer, or answers that it cannot now, after it was asked for minutes."""


class ExpiredError(StorageError):
    """The credentials for a store have run out, or were never right."""


def as_stopped(error: StorageError) -> JobStoppedError:
    """Return what ends a job whose disk or store fails, in one line."""
    doing = "cannot write: " if isinstance(error, UnwritableError) else ""
    return JobStoppedError(
        f"{doing}{one_line(error)}; what is done is kept, and the same command goes on from there"
    )


class RepairNeededError(JobStoppedError):
    """Files of the output are not what was written; another pass makes them again."""


class LostWorkerError(Exception):
    """A worker process has died, which the job's runner does not survive; what is done stays."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return the message of an exception on one line of at most `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
