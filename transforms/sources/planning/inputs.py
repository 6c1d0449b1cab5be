"""Refuse an input of which nothing can be read, before anything runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.sources.names import ImageNames
from beamscope.transforms.sources.sources import (
    archive_kind,
    is_directory,
    is_remote,
    list_directory,
)

_SENTENCES = {
    "archive": "of kinds of archives or compressed files that are not read (.zip, .tar, .tar.gz "
    "and .tgz are; no {0} may be compressed): unpack them",
    "not_an_image": "no {0} by its name",
    "clutter": "in trash, thumbnail or checkpoint folders",
}


def check_has_images(named: str, uris: Iterable[str], names: ImageNames) -> None:
    """Raise where none of the files and directories that a pattern matches can hold an image.

    Of a local directory it looks only as far as the first image.

    Args:
      named: the pattern, as the user gave it, for the message.
      uris: files and directories; a remote directory ends with a slash.
      names: the names of images.

    Raises:
      InputError: ``no_image``, the message says what is there instead; ``unreadable_file`` where
        there may be images in a folder that may not be opened.
    """
    found: Counter[str] = Counter()
    closed: list[OSError] = []
    for name in _names(uris, closed):
        role = names.role_of(name)
        if role == "image" or (archive_kind(name) and role != "clutter"):
            return
        found[role] += 1
    total = sum(found.values())
    what = "; ".join(
        f"{count} {_SENTENCES[role].format(names.noun)}" for role, count in found.most_common()
    )
    files = "1 file" if total == 1 else f"{total:,} files"
    if closed:
        raise InputError(Kind.UNREADABLE_FILE, f"{named}: {one_line(closed[0])}")
    raise InputError(
        Kind.NO_IMAGE,
        f"{named} holds no {names.noun}: " + (f"{files}, {what}" if what else "it is empty"),
    )


def _names(uris: Iterable[str], closed: list[OSError]) -> Iterator[str]:
    """Yield names of files, relative to the directories that are named.

    Args:
      uris: of the files and directories.
      closed: gets an error for each local folder that may not be opened.
    """
    for uri in uris:
        if not is_directory(uri):
            yield uri.rpartition("/")[2]
        elif is_remote(uri):
            yield from (name for name, _ in list_directory(uri.rstrip("/")))
        else:
            for folder, _, names in os.walk(uri, onerror=closed.append):
                yield from (os.path.relpath(os.path.join(folder, name), uri) for name in names)  # noqa: PTH118
