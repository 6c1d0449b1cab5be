"""What the rehearsal needs of the machine that it runs on, and what it takes over from it."""

from __future__ import annotations

import ast
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

PROGRAMS = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
    "chroot": "coreutils",
    "go": "golang-go",
}
# Where Debian's ca-certificates writes its bundle, on the host as in the image.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# pip's settings of one command or machine, which say nothing of where packages come from.
_TAKEN = {"cert", "extra-index-url", "find-links", "index-url", "proxy", "timeout", "trusted-host",
          "retries"}  # fmt: skip


def missing(
    user: int,
    python: tuple[int, int],
    wanted: str,
    found: Mapping[str, str | None],
    prism: bool,
    free_gb: float,
    needed_gb: float,
) -> str:
    """What this machine lacks, in one line; nothing if the rehearsal can run.

    Args:
      user: id of the user.
      python: version of the environment that submits.
      wanted: version of the image's Python, such as "3.11".
      found: paths of the programs by their names, None where there is none.
      prism: whether the Prism runner is fetched.
      free_gb: space for temporary files, in GB.
      needed_gb: what the images take of it.
    """
    lacks = [] if user == 0 else ["root (it mounts and changes roots)"]
    if absent := [name for name in PROGRAMS if not found.get(name)]:
        packages = " ".join(PROGRAMS[name] for name in absent)
        lacks.append(f"{', '.join(absent)} (Debian: apt-get install {packages})")
    if f"{python[0]}.{python[1]}" != wanted:
        lacks.append(f"an environment of Python {wanted}, that of the image (make PYTHON=…)")
    if not prism:
        lacks.append("Prism (make runners RUNNERS=prism)")
    if free_gb < needed_gb:
        lacks.append(f"{needed_gb:.0f} GB for temporary files ({free_gb:.0f} are free; set TMPDIR)")
    return "; ".join(lacks)


def programs() -> dict[str, str | None]:
    """The paths of the programs, with the folders of a Debian administrator looked at too."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/go/bin"])
    return {name: shutil.which(name, path=path) for name in PROGRAMS}


def pip_settings(listed: str) -> dict[str, str]:
    """The settings of `pip config list` that say where packages come from.

    Those of the environment win over those of files, and a command's own over those of all
    commands, as in pip.
    """
    found: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        rank = {"global": 0, "install": 1, ":env:": 2}.get(section)
        name = name.replace("_", "-")
        if rank is None or name not in _TAKEN:
            continue
        if rank >= found.get(name, (0, ""))[0]:
            found[name] = (rank, str(ast.literal_eval(value.strip())))
    return {name: value for name, (_, value) in sorted(found.items())}


def local_folders(settings: Mapping[str, str]) -> list[str]:
    """Folders of this machine that pip looks for packages in; those that are there."""
    places = settings.get("find-links", "").split()
    paths = [place.removeprefix("file://") for place in places]
    return [path for path in paths if path.startswith("/") and Path(path).is_dir()]


def pip_file(settings: Mapping[str, str], bundle: bool) -> str:
    """A pip.conf with the host's settings; with `bundle`, pip trusts whom the host trusts."""
    # More attempts than pip's 5: a step that fails starts from its beginning.
    taken = {"retries": "10", **settings, **({"cert": BUNDLE} if bundle else {})}
    lines = [f"{name} = {value}" for name, value in taken.items()]
    return "\n".join(["[global]", *(line.replace("\n", "\n    ") for line in lines), ""])


def certificates() -> Path | None:
    """The host's bundle of certificate authorities."""
    paths = ssl.get_default_verify_paths()
    places = (os.environ.get("SSL_CERT_FILE"), BUNDLE, paths.cafile)
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


def mirror(targets: Iterable[str], codename: str) -> str | None:
    """The address from which apt gets Debian's packages, None where it gets none of `codename`.

    Args:
      targets: lines of `apt-get indextargets`, "CODENAME COMPONENT ADDRESS".
      codename: of Debian's release.
    """
    for line in targets:
        found, component, address = line.split()[:3]
        if (found, component) == (codename, "main") and address.startswith("http"):
            return address
    return None


def output_of(*command: str) -> str:
    """What a command prints; nothing where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
