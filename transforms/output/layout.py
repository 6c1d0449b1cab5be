"""The paths in an output directory. docs/formats.md is the contract.

OUTPUT/
  embeddings/embeddings-00000-of-00002.parquet …   the dataset
  embeddings-tfrecord/…                   the same rows in another format
  slides.parquet  problems.parquet  qc/  dataset.json
  .beamscope/                             the state for a restart
    run.json                              the job and its settings
    requests.json                         the requested items
    cleaned.json                          when `beamscope clean` has removed finished blocks
    logs/<time>-<process>.txt             what a start of the job did
    lease/all/000003.json                 who is writing the output
    <plan>/plans/<item>.arrow .jpg        the plan of an item, and its picture
    <plan>/whole/plans/<item>.arrow .jpg  likewise, before a sample in total is taken of all items
    <plan>/sample.json                    where that sample ends
    <plan>/parts/<item>/<embedding>/000003-256-254-0.arrow   a finished block
    <plan>/index/all-000.index            of an output in a store: the headers of plans
    <plan>/found/all-<start>-000.index    likewise: what the last start has found there
    <plan>/workers/<embedding>/<digest>.json           the versions that computed them
    <plan>/models/<embedding>.json          the model of an embedding, and how it is called
    <plan>/tries/<item>/plan.1 <embedding>/000003.1    a plan or block that a process has begun
    <plan>/faults/<item>/plan.txt 000003.txt           tracebacks of unexpected errors

<plan> is the fingerprint of the settings that change a plan; <embedding> is the fingerprint of the
settings that change an embedding. So several models share the plans of one output, and each has
parts of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import urllib.parse

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.formats.registry import extensions
from beamscope.transforms.storage import files

# What the rows of shards hold.
EMBEDDINGS, PATCHES = "embeddings", "patches"
WORK_DIRECTORY = ".beamscope"
_PART_NAME = re.compile(r"(\d{6,})-(\d+)(?:-(\d+)-(\d+))?\.arrow")
_TRY_NAME = re.compile(r"(plan|\d{6,})\.\d+")
# Most file systems allow 255 bytes; this leaves room for extensions and temporary names.
_LONGEST_NAME = 180
_SAFE = " +,=@()&'"
_SHARD_NAME = re.compile(r"(?:embeddings|patches)-\d{5,}-of-\d{5,}\.(.+)")


@dataclasses.dataclass(frozen=True)
class Layout:
    """The paths of one dataset.

    Attributes:
      root: the output directory, local or gs://.
      plan_fingerprint: fingerprint of the settings that change a plan, a hex string.
      fingerprint: fingerprint of the settings that change an embedding, a hex string; empty if the
        run embeds nothing. Of several models, one for all of them together.
      embeddings: of several models, the column and the fingerprint of each, in the order of the
        columns; empty where there is one.
    """

    root: str
    plan_fingerprint: str
    fingerprint: str = ""
    embeddings: tuple[tuple[str, str], ...] = ()

    def each(self) -> tuple[Layout, ...]:
        """Return the paths for each model, which is where its parts are."""
        if not self.embeddings:
            return (self,)
        return tuple(
            Layout(self.root, self.plan_fingerprint, fingerprint)
            for _, fingerprint in self.embeddings
        )

    def relative(self, path: str) -> str:
        """Return the path of a file in the output directory, from there."""
        return path.removeprefix(files.join(self.root, ""))

    @property
    def description(self) -> str:
        """Return the path of ``dataset.json``, which exists only if the dataset is complete."""
        return files.join(self.root, "dataset.json")

    @property
    def problems(self) -> str:
        """Return the path of the table of problems."""
        return files.join(self.root, "problems.parquet")

    @property
    def plans(self) -> str:
        """Return the directory of plans."""
        return files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint, "plans")

    @property
    def whole(self) -> Layout:
        """Return the paths of the plans from which a sample in total is taken."""
        return Layout(self.root, f"{self.plan_fingerprint}/whole")

    @property
    def sample(self) -> str:
        """Return the path of the file that says where a sample in total ends."""
        return files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint, "sample.json")

    @property
    def parts(self) -> str:
        """Return the directory of the finished blocks of this plan, for all embeddings."""
        return files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint, "parts")

    def table(self, name: str) -> str:
        """Return the path of the table of items: ``slides`` or ``images``."""
        return files.join(self.root, f"{name}.parquet")

    def shard(self, index: int, count: int, extension: str, content: str = EMBEDDINGS) -> str:
        """Return the path of a shard with an extension; see `shard_name`."""
        return files.join(self.root, shard_name(index, count, extension, content))

    @property
    def pictures(self) -> str:
        """Return the directory of pictures."""
        return files.join(self.root, "qc")

    def sidecar(self, name: str) -> str:
        """Return the path of a format's sidecar."""
        return files.join(self.root, name)

    def picture(self, item_id: str) -> str:
        """Return the path of the picture of a slide and its patches."""
        return files.join(self.pictures, f"{picture_name(item_id)}.jpg")

    def plan(self, item_id: str) -> str:
        """Return the path of the plan of a slide or archive."""
        return files.join(self.plans, f"{file_name(item_id)}.arrow")

    def plan_picture(self, item_id: str) -> str:
        """Return the path of a plan's picture, without marks of failed patches."""
        return files.join(self.plans, f"{file_name(item_id)}.jpg")

    @property
    def workers(self) -> str:
        """Return the directory of the records of workers."""
        work = files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint)
        return files.join(work, "workers", self.fingerprint)

    def worker_record(self, digest: str) -> str:
        """Return the path of the record of workers with the same versions of packages."""
        return files.join(self.workers, f"{digest}.json")

    @property
    def model_record(self) -> str:
        """Return the path of the record of the model that these embeddings are of."""
        work = files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint)
        return files.join(work, "models", f"{self.fingerprint}.json")

    @property
    def tries(self) -> str:
        """The directory of what was begun and has not ended."""
        return files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint, "tries")

    def a_try(self, item_id: str, index: int | None, count: int, slot: str = "") -> str:
        """The record that a block, or with None the plan, was begun for the `count`-th time.

        A plan that several machines may make at a time has a record for each `slot`.
        """
        folder = files.join(self.tries, file_name(item_id))
        if index is None:
            return files.join(folder, *([slot] if slot else []), f"plan.{count}")
        return files.join(folder, self.fingerprint, f"{index:06d}.{count}")

    def fault_log(self, item_id: str, index: int | None) -> str:
        """Where the code failed at a block, or with None at the plan: a traceback."""
        work = files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint)
        name = "plan" if index is None else f"{index:06d}"
        return files.join(work, "faults", file_name(item_id), f"{name}.txt")

    def all_item_parts(self, item_id: str) -> str:
        """Return the directory of an item's finished blocks, for all embeddings."""
        return files.join(self.parts, file_name(item_id))

    def item_parts(self, item_id: str) -> str:
        """Return the directory of an item's finished blocks, for this embedding.

        Raises:
          ValueError: the layout has no fingerprint of an embedding, or those of several (`each`).
        """
        if not self.fingerprint or self.embeddings:
            raise ValueError("a layout without the fingerprint of one embedding has no parts")
        return files.join(self.all_item_parts(item_id), self.fingerprint)

    def part(
        self, key: BlockKey, planned: int, embedded: int | None = None, left_out: int = 0
    ) -> str:
        """Return the path of a finished block.

        Its name has its numbers of rows, so that a listing alone says what is done.

        Args:
          key: of the block.
          planned: number of planned rows.
          embedded: number of rows that have an embedding; None for all of them.
          left_out: number of planned rows that were not wanted.
        """
        counts = f"{planned}-{planned if embedded is None else embedded}-{left_out}"
        return files.join(self.item_parts(key.item_id), f"{key.index:06d}-{counts}.arrow")

    def index(self, kind: str) -> str:
        """Return the directory of an index of an output in a store: ``index`` or ``found``."""
        return files.join(self.root, WORK_DIRECTORY, self.plan_fingerprint, kind)


def shard_folder(extension: str, content: str = EMBEDDINGS) -> str:
    """Return the folder of the shards with an extension, relative to the output directory.

    Each format has its own, because readers of Parquet take every file of a folder for Parquet.

    Args:
      extension: of the files.
      content: `EMBEDDINGS`, or `PATCHES` for encoded images.
    """
    return content if extension == "parquet" else f"{content}-{extension}"


def shard_name(index: int, count: int, extension: str, content: str = EMBEDDINGS) -> str:
    """Return the path of a shard relative to the output directory, as ``dataset.json`` has it."""
    folder = shard_folder(extension, content)
    return f"{folder}/{content}-{index:05d}-of-{count:05d}.{extension}"


def job_log(root: str, stamp: str) -> str:
    """Return the path of the log of one start of a job.

    Args:
      root: the output directory.
      stamp: tells the start from others: its time and its process.
    """
    return files.join(root, WORK_DIRECTORY, "logs", f"{stamp}.txt")


def run_record(root: str) -> str:
    """Return the path of the run record of an output."""
    return files.join(root, WORK_DIRECTORY, "run.json")


def file_name(item_id: str) -> str:
    """Return a file name for an id: unique, and safe on every file system.

    Characters with a special meaning in a path or a glob are %-quoted, and so is a leading dot. A
    name that would be too long is cut and ends in ``~`` and a digest of the whole id.
    """
    quoted = urllib.parse.quote(item_id, safe=_SAFE).replace("~", "%7E")
    if not quoted:
        return "%"  # No other id is quoted like this.
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if len(quoted) > _LONGEST_NAME:
        digest = hashlib.sha256(item_id.encode()).hexdigest()[:16]
        quoted = f"{quoted[: _LONGEST_NAME - 17]}~{digest}"
    return quoted


def picture_name(item_id: str) -> str:
    """Return a file name that people read: the id itself, where the file systems allow it.

    Other than `file_name` it keeps the letters of all languages.
    """
    shown = "".join(
        letter
        if letter > "\x7f" and letter.isprintable()
        else urllib.parse.quote(letter, safe=_SAFE)
        for letter in item_id
    ).replace("~", "%7E")
    if not shown or shown.startswith((".", " ")) or shown.endswith((" ", ".")):
        return file_name(item_id)
    return shown if len(shown.encode()) <= _LONGEST_NAME else file_name(item_id)


def part_name(path: str) -> tuple[int, int] | None:
    """Return the block's index and planned rows from a part's name; None for other files."""
    match = _PART_NAME.fullmatch(path.rsplit("/", 1)[-1])
    return (int(match[1]), int(match[2])) if match else None


def part_counts(path: str) -> tuple[int, int] | None:
    """Return the embedded rows and those left out from a part's name.

    None for a part of an earlier version, whose header alone has them, and for other files.
    """
    match = _PART_NAME.fullmatch(path.rsplit("/", 1)[-1])
    return (int(match[3]), int(match[4])) if match and match[3] else None


def is_part(path: str) -> bool:
    """Return whether a file is a finished block."""
    folders = path.split("/")
    return part_name(path) is not None and len(folders) > 3 and folders[-4] == "parts"


def plan_of(path: str) -> str | None:
    """Return the item, as `file_name` writes it, of which a file is the plan; None for others."""
    folders = path.split("/")
    is_plan = folders[-1].endswith(".arrow") and len(folders) > 1 and folders[-2] == "plans"
    return folders[-1].removesuffix(".arrow") if is_plan else None


def is_try(path: str) -> bool:
    """Return whether a file records that a plan or a block was begun."""
    folders = path.split("/")
    return _TRY_NAME.fullmatch(folders[-1]) is not None and "tries" in folders[-4:-2]


def is_shard(path: str) -> bool:
    """Return whether a file has the name of a shard, of this run or an earlier one."""
    match = _SHARD_NAME.fullmatch(path.rsplit("/", 1)[-1])
    return match is not None and match[1] in extensions()
