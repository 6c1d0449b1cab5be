"""Run programs in an unpacked image, as a container engine does."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What an engine gives a container whose image says nothing else.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True)
class Container:
    """An unpacked image.

    Attributes:
      root: folder of its files.
      environment: its variables.
      entrypoint: what starts with it.
      folder: in which it starts.
      user: ``USER`` or ``USER:GROUP``, as numbers.
    """

    root: Path
    environment: Mapping[str, str]
    entrypoint: Sequence[str]
    folder: str
    user: str

    @classmethod
    def of(cls, root: Path, config: Mapping[str, Any]) -> Container:
        """The container of an image's configuration, in the words of OCI's specification."""
        variables = dict(line.split("=", 1) for line in config.get("Env", ()))
        return cls(
            root,
            {"PATH": _PATH, **variables},
            config.get("Entrypoint", []),
            config.get("WorkingDir") or "/",
            config.get("User") or "0:0",
        )

    def save(self, path: Path) -> None:
        """Write it as JSON, for another process."""
        path.write_text(json.dumps({**dataclasses.asdict(self), "root": str(self.root)}))

    @classmethod
    def load(cls, path: Path) -> Container:
        """Read what `save` wrote."""
        found = json.loads(path.read_text())
        return cls(**{**found, "root": Path(found["root"])})

    def command(self, *arguments: str, user: str | None = None, folder: str | None = None,
                **variables: str) -> list[str]:  # fmt: skip
        """The command line, on this machine, of a program in the container."""
        environment = {**self.environment, **variables}
        return [
            "chroot", f"--userspec={user or self.user}", "--groups=", str(self.root),
            "env", "-i", f"--chdir={folder or self.folder}",
            *(f"{name}={value}" for name, value in environment.items()),
            *arguments,
        ]  # fmt: skip

    def enter(self, folders: Mapping[Path, bool], frozen: bool = False) -> None:
        """Mount what a container has: /proc, /dev, names of hosts, and folders of this machine.

        The mounts belong to this process's namespace, and vanish with it.

        Args:
          folders: of this machine, at the same place in the container; True for those that can
            be written.
          frozen: make the image's own files read-only, but for an empty /tmp.
        """
        _mount("--bind", self.root, self.root)
        (self.root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
        _mount("--rbind", "/dev", self.root / "dev")
        _mount("--types", "proc", "proc", self.root / "proc")
        if frozen:
            _mount("--types", "tmpfs", "tmpfs", self.root / "tmp")
        for folder, writable in folders.items():
            inside = self.root / folder.relative_to("/")
            inside.mkdir(parents=True, exist_ok=True)
            _mount("--bind", folder, inside)
            if not writable:
                _mount("--options", "remount,bind,ro", inside)
        if frozen:
            _mount("--options", "remount,bind,ro", self.root)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def loopback_up() -> None:
    """Start 127.0.0.1 in a network namespace, where it is down at first."""
    set_flags, up = 0x8914, 0x1  # SIOCSIFFLAGS and IFF_UP, of Linux's <sockios.h> and <if.h>
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up))
