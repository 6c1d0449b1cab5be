"""Build images with buildah, from Dockerfiles as they are and bases that are made here.

No registry is asked: `--pull-never` refuses a base image that is not in the store.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.containers.container import Container

ROOT = Path(__file__).resolve().parents[2]


class RehearsalError(Exception):
    """The rehearsal cannot go on; the message gives the reason in one line."""


def say(line: str) -> None:
    """Show a line at once."""
    sys.stdout.write(f"image-rehearsal: {time.strftime('%X')}: {line}\n")
    sys.stdout.flush()


def run(command: Sequence[str | Path], **settings: object) -> str:
    """Run a command, whose output is shown; return what it prints.

    Raises:
      RehearsalError: the command failed.
    """
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **settings)
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:])
        shown = " ".join(map(str, command))
        raise RehearsalError(f"`{shown}` ended with {done.returncode}")
    return str(done.stdout)


@dataclasses.dataclass(frozen=True)
class Engine:
    """buildah with a store of its own.

    Attributes:
      folder: of the store.
    """

    folder: Path

    def __call__(self, *arguments: str | Path) -> str:
        """Run a command of buildah, and return what it prints."""
        places = ("--root", self.folder / "store", "--runroot", self.folder / "run")
        return run(["buildah", "--storage-driver", "vfs", *places, *arguments]).strip()

    def make(self, image: str, fill: Callable[[Path], None]) -> None:
        """Make an image of whatever a function writes into an empty root."""
        container = self("from", "scratch")
        fill(Path(self("mount", container)))
        self("commit", "--quiet", "--rm", container, image)

    def build(
        self, dockerfile: Path, image: str, arguments: Mapping[str, str], volumes: Mapping[str, str]
    ) -> Container:
        """Build a Dockerfile of the repository, and unpack the image.

        Args:
          dockerfile: path of the file.
          image: name of the result.
          arguments: build arguments.
          volumes: files and folders of this machine that the steps see, by their place there.
        """
        flags = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        flags += [f"--volume={ours}:{theirs}:ro" for theirs, ours in volumes.items()]
        said = self(
            "bud", "--isolation", "chroot", "--pull-never", *flags, "--file", dockerfile,
            "--tag", image, ROOT,
        )  # fmt: skip
        steps = [line for line in said.splitlines() if "STEP " in line]
        say(f"{dockerfile.name}: {len(steps)} steps")
        found = json.loads(self("inspect", "--type", "image", image))["OCIv1"]["config"]
        root = Path(self("mount", self("from", "--pull-never", image)))
        return Container.of(root, found)
