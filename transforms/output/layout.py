"""Where everything lies in an output directory; docs/formats.md is the contract it keeps.

OUTPUT/
  embeddings-00000-of-00002.parquet …     the dataset
  slides.parquet  problems.parquet  qc/  dataset.json
  .beamscope/                             what a restart needs
    run.json                              whose output this is: job and settings
    <plan>/plans/<item>.arrow .jpg        one for each slide that was planned
    <plan>/parts/<item>/<embedding>/000003-256.arrow   one for each finished block
    <plan>/workers/<embedding>/<digest>.json           what computed them

<plan> is the fingerprint of what changes a plan, <embedding> that of what changes an embedding: so
several models share the plans of one output.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import urllib.parse

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.formats.registry import extensions
from beamscope.transforms.storage import files

WORK_DIRECTORY = ".beamscope"
_PART_NAME = re.compile(r"(\d{6,})-(\d+)\.arrow")
# Most file systems stop at 255 bytes, and endings and temporary names come on top.
_LONGEST_NAME = 180
_SHARD_NAME = re.compile(r"embeddings-\d{5,}-of-\d{5,}\.(.+)")


@dataclasses.dataclass(frozen=True)
class Layout:
    """The paths of one dataset.

    Attributes:
      root: the output directory, local or gs://.
      plan_fingerprint: of the settings that change a plan, a hex string; plans lie under it.
      fingerprint: of the settings that change an embedding, a hex string; parts lie under it. Empty
        where nothing is embedded.
    """

    root: str
    plan_fingerprint: str
    fingerprint: str = ""

    @property
    def description(self) -> str:
        """``dataset.json``: present only when the dataset is complete."""
        return files.join(self.root, "dataset.json")

    @property
    def problems(self) -> str:
        """The table of everything that went wrong."""
        return files.join(self.root, "problems.parquet")

    @property
    def plans(self) -> str:
        """The directory of plans."""
        return files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint, "plans")

    @property
    def parts(self) -> str:
        """The directory of the finished blocks of this plan, whatever embedded them."""
        return files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint, "parts")

    def table(self, name: str) -> str:
        """The table of what was asked for: ``slides`` or ``images``."""
        return files.join(self.root, f"{name}.parquet")

    def shard(self, index: int, count: int, extension: str) -> str:
        """Return a shard of the format whose files have that `extension`."""
        return files.join(self.root, f"embeddings-{index:05d}-of-{count:05d}.{extension}")

    @property
    def pictures(self) -> str:
        """The directory of pictures of items."""
        return files.join(self.root, "qc")

    def sidecar(self, name: str) -> str:
        """Return a file that a format puts beside the shards."""
        return files.join(self.root, name)

    def picture(self, item_id: str) -> str:
        """The picture that shows which patches of a slide were taken."""
        return files.join(self.pictures, f"{file_name(item_id)}.jpg")

    def plan(self, item_id: str) -> str:
        """The plan of one slide or archive."""
        return files.join(self.plans, f"{file_name(item_id)}.arrow")

    def plan_picture(self, item_id: str) -> str:
        """The picture of a plan, before any failed patch is marked on it."""
        return files.join(self.plans, f"{file_name(item_id)}.jpg")

    @property
    def workers(self) -> str:
        """The directory of records of what computed the embeddings."""
        work = files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint)
        return files.join(work, "workers", self.fingerprint)

    def worker_record(self, digest: str) -> str:
        """Return the record of workers whose packages have the same versions."""
        return files.join(self.workers, f"{digest}.json")

    def all_item_parts(self, item_id: str) -> str:
        """The directory of the finished blocks of one slide or archive, whatever embedded them."""
        return files.join(self.parts, file_name(item_id))

    def item_parts(self, item_id: str) -> str:
        """The directory of the finished blocks of one slide or archive.

        Raises:
          ValueError: nothing is embedded under this layout.
        """
        if not self.fingerprint:
            raise ValueError("a layout without an embedding's fingerprint has no parts")
        return files.join(self.all_item_parts(item_id), self.fingerprint)

    def part(self, key: BlockKey, planned: int) -> str:
        """The file of one finished block.

        The number of planned rows is in the name, so that a listing alone tells the progress.
        """
        return files.join(self.item_parts(key.item_id), f"{key.index:06d}-{planned}.arrow")


def run_record(root: str) -> str:
    """The file that says whose output this is."""
    return files.join(root, WORK_DIRECTORY, "run.json")


def file_name(item_id: str) -> str:
    """A file name for an id, different for different ids and harmless on any file system.

    Characters that a path or a glob treats specially are %-quoted, and so is a leading dot; what
    would be too long for a file name ends in ``~`` and a digest of the whole id instead.
    """
    quoted = urllib.parse.quote(item_id, safe=" +,=@()&'").replace("~", "%7E")
    if not quoted:
        return "%"  # Not what any other id is quoted as.
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if len(quoted) > _LONGEST_NAME:
        digest = hashlib.sha256(item_id.encode()).hexdigest()[:16]
        quoted = f"{quoted[: _LONGEST_NAME - 17]}~{digest}"
    return quoted


def part_name(path: str) -> tuple[int, int] | None:
    """Which block a part is, and how many rows it was planned to have; None for any other file."""
    match = _PART_NAME.fullmatch(path.rsplit("/", 1)[-1])
    return (int(match[1]), int(match[2])) if match else None


def is_part(path: str) -> bool:
    """Whether a file is a finished block."""
    folders = path.split("/")
    return part_name(path) is not None and len(folders) > 3 and folders[-4] == "parts"


def is_shard(path: str) -> bool:
    """Whether a file's name is that of a shard, of this run or of an earlier one."""
    match = _SHARD_NAME.fullmatch(path.rsplit("/", 1)[-1])
    return match is not None and match[1] in extensions()
