"""Build the images of containers/ on this machine, and run jobs in them: `make image-rehearsal`.

No container engine's registry and no account is needed: the base images are stand-ins
(stand_ins.py). What is then checked stands in worker_image.py and cli_image.py.

Both parts run in namespaces of their own. When they end, however they end, the kernel ends their
processes and removes their mounts; the second part has no network but 127.0.0.1.

usage: python -m tests.containers.rehearsal [--workers | --quick] [ARGUMENTS OF PYTEST…]

--workers builds only the workers' image, and runs all its checks; --quick only the slide job in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from beamscope.pipelines.runners.cache import cache_directory
from tests.containers import host
from tests.containers.dockerfile import base_images
from tests.containers.engine import ROOT, Engine, RehearsalError, say
from tests.containers.stand_ins import make_beam, make_debian, make_launcher

DOCKERFILE = ROOT / "containers" / "Dockerfile"
CLI = ROOT / "containers" / "Dockerfile.cli"
SCRATCH = "BEAMSCOPE_REHEARSAL"
_QUICK = ("tests/containers/worker_image.py", "-k", "(same_rows and slides) or outside")
_WORKERS = ("tests/containers/worker_image.py",)
_CHECKS = (*_WORKERS, "tests/containers/cli_image.py")
# A layer, the tree that steps work on, and the unpacked copy.
_GB_OF_AN_IMAGE = 8
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def main(arguments: list[str]) -> int:
    """Rehearse; return the exit status."""
    files, checks = (DOCKERFILE, CLI), _CHECKS
    if arguments[:1] in (["--workers"], ["--quick"]):
        files = (DOCKERFILE,)
        checks = _QUICK if arguments.pop(0) == "--quick" else _WORKERS
    lacks = host.missing(
        user=os.geteuid(),
        python=sys.version_info[:2],
        wanted=base_images(DOCKERFILE.read_text())[""].partition(":")[2].partition("-")[0],
        found=host.programs(),
        prism=(cache_directory() / "prism").exists(),
        free_gb=shutil.disk_usage(tempfile.gettempdir()).free / 1e9,
        needed_gb=_GB_OF_AN_IMAGE * len(files),
    )
    if lacks:
        sys.stderr.write(f"image-rehearsal: this machine lacks {lacks}\n")
        return 1
    # So that SIGTERM too removes what was written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = Path(tempfile.mkdtemp(prefix="beamscope-rehearsal-"))
    try:
        build = [sys.executable, "-m", "tests.containers.rehearsal", "--build", str(scratch),
                 *map(str, files)]  # fmt: skip
        check = [sys.executable, "-m", "pytest", "--verbose", "-p", "no:cacheprovider",
                 f"--basetemp={scratch / 'work'}", *checks, *arguments]  # fmt: skip
        for command in ([*_NAMESPACES, *build], [*_NAMESPACES, "--net", *check]):
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, SCRATCH: str(scratch)}, check=False
            )
            if done.returncode:
                for log in scratch.glob("work/pool*/log.txt"):
                    sys.stdout.write(
                        f"The end of what the workers said:\n{log.read_text()[-8000:]}"
                    )
                return done.returncode
        return 0
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def build(scratch: Path, dockerfiles: Sequence[Path]) -> None:
    """Build images into a folder, and unpack them.

    Raises:
      RehearsalError: a package could not be fetched, or a step failed.
    """
    engine = Engine(scratch / "engine")
    images = base_images(DOCKERFILE.read_text())
    say(f"making {images['']} of Debian's packages")
    make_debian(engine, images[""], scratch)
    say(f"making {images['beam']} of Beam's module")
    make_beam(engine, images["beam"], scratch)
    make_launcher(engine, images["launcher"])
    volumes = pip_volumes(scratch)
    for dockerfile in dockerfiles:
        say(f"building {dockerfile.relative_to(ROOT)}")
        name = dockerfile.name.lower()
        container = engine.build(dockerfile, name, {"EXTRA": "cpu"}, volumes)
        container.save(scratch / f"{dockerfile.name}.json")
    say("built")


def pip_volumes(scratch: Path) -> dict[str, str]:
    """What a build sees of this machine, by its place there: pip's settings, whom to trust."""
    settings = host.pip_settings(host.output_of(sys.executable, "-m", "pip", "config", "list"))
    bundle = host.certificates()
    file = scratch / "pip.conf"
    file.write_text(host.pip_file(settings, bundle is not None))
    volumes = {"/etc/pip.conf": str(file), **{path: path for path in host.local_folders(settings)}}
    return {**volumes, **({host.BUNDLE: str(bundle)} if bundle else {})}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        try:
            build(Path(sys.argv[2]), [Path(file) for file in sys.argv[3:]])
        except RehearsalError as error:
            sys.exit(f"image-rehearsal: {error}")
    else:
        sys.exit(main(sys.argv[1:]))
