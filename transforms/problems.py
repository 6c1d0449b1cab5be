"""What went wrong, as a value that travels with the data and ends as a row of a table."""

from __future__ import annotations

import dataclasses

from beamscope.transforms.problem_kinds import Kind


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that could not be done: a slide, a patch of it, an archive or a film.

    Attributes:
      item_id: the slide or film concerned.
      uri: the file that it comes from.
      stage: the step that met it: ``plan``, ``read`` or ``embed``.
      kind: a short stable word to group by: the value of a `Kind`, such as ``missing_mpp``.
      message: one line for a person, with the value that was wrong.
      x_level0: left edge of the patch in level-0 pixels; None when all of the item is concerned.
      y_level0: top edge of the patch in level-0 pixels; likewise.
      member: of an archive, the film concerned; None when all of the archive is, and for slides.
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
    """A file, or part of one, that cannot be used as it is: expected, tolerated, reported.

    Code that reads the user's data raises it; the transform on top turns it into a `Problem`.
    Anything else that is raised there is a defect of ours, and stops the job.
    """

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def __reduce__(self) -> tuple[type[InputError], tuple[Kind, str]]:
        # Exceptions pickle by their args alone, which would lose `kind` between processes.
        return type(self), (self.kind, self.message)


def one_line(error: BaseException, limit: int = 300) -> str:
    """The message of an exception on one line of at most `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
