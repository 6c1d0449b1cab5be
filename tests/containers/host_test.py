"""What the rehearsal of the images takes over from the machine, without building anything."""

import configparser
import os
import re
import subprocess
import sys

import pytest

from tests.containers import host
from tests.containers.dockerfile import base_images, copied
from tests.containers.rehearsal import CLI, DOCKERFILE

ALL = dict.fromkeys(host.PROGRAMS, "/usr/bin/x")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"user": 1000}, "root (it mounts and changes roots)"),
        ({"python": (3, 13)}, "an environment of Python 3.11, that of the image (make PYTHON=…)"),
        ({"prism": False}, "Prism (make runners RUNNERS=prism)"),
        ({"free_gb": 15.4}, "16 GB for temporary files (15 are free; set TMPDIR)"),
        (
            {"found": {**ALL, "buildah": None, "go": None}},
            "buildah, go (Debian: apt-get install buildah golang-go)",
        ),
        ({"user": 1, "prism": False}, "root (it mounts and changes roots); Prism (make runners "
         "RUNNERS=prism)"),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_line(changed, said):
    machine = {"user": 0, "python": (3, 11), "wanted": "3.11", "found": ALL, "prism": True,
               "free_gb": 20.0, "needed_gb": 16.0}  # fmt: skip
    assert host.missing(**{**machine, **changed}) == said


def test_ends_with_what_is_missing_where_nobody_can_build(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import os; os.geteuid = lambda: 1000\n"
         "from tests.containers.rehearsal import main; raise SystemExit(main([]))"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=DOCKERFILE.parents[1],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("image-rehearsal: this machine lacks root (it ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("", {}),
        ("global.index-url='https://example.org/simple'", {"index-url": "https://example.org/simple"}),
        # The environment wins over files, and a command's settings over those of all.
        (
            ":env:.index-url='https://env.example'\nglobal.index-url='https://file.example'",
            {"index-url": "https://env.example"},
        ),
        ("install.timeout='9'\nglobal.timeout='5'", {"timeout": "9"}),
        (r"global.extra-index-url='\nhttps://a.example\nhttps://b.example'",
         {"extra-index-url": "\nhttps://a.example\nhttps://b.example"}),
        # These say nothing of where packages come from, or are another command's.
        (":env:.disable-pip-version-check='1'\nglobal.quiet='1'\ndownload.timeout='3'", {}),
        (":env:.find_links='/wheels'", {"find-links": "/wheels"}),
    ],
)  # fmt: skip
def test_settings_of_pip(listed, expected):
    assert host.pip_settings(listed) == expected


def test_the_file_gives_pip_the_same_settings(tmp_path):
    settings = {"index-url": "https://example.org/simple",
                "extra-index-url": "\nhttps://a.example\nhttps://b.example"}  # fmt: skip
    file = tmp_path / "pip.conf"
    file.write_text(host.pip_file(settings, bundle=True))
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env={"PIP_CONFIG_FILE": str(file), "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert host.pip_settings(said) == {**settings, "cert": host.BUNDLE, "retries": "10"}
    config = configparser.ConfigParser()
    config.read_string(host.pip_file({}, bundle=False))
    assert dict(config["global"]) == {"retries": "10"}
    config.read_string(host.pip_file({"retries": "2"}, bundle=False))
    assert dict(config["global"]) == {"retries": "2"}


def test_folders_of_packages_are_those_that_are_there(tmp_path):
    settings = {"find-links": f"{tmp_path} file://{tmp_path} /no/such/folder https://example.org/x"}
    assert host.local_folders(settings) == [str(tmp_path), str(tmp_path)]
    assert host.local_folders({}) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (["bookworm main http://debian.example/debian/"], "http://debian.example/debian/"),
        (["trixie main http://debian.example/debian/"], None),
        (["bookworm contrib http://debian.example/debian/"], None),
        (["bookworm-security main http://x.example/", "bookworm main https://y.example/"],
         "https://y.example/"),
        (["bookworm main cdrom://disc/"], None),
    ],
)  # fmt: skip
def test_debian_comes_from_where_apt_gets_it(lines, expected):
    assert host.mirror(lines, "bookworm") == expected


def test_base_images_of_a_dockerfile():
    text = "ARG P=3.11\nARG B=2.0\nFROM a/b${P}:${B} AS beam\nFROM python:${P}-slim\nARG P=4\n"
    assert base_images(text.replace("ARG P=4\n", "")) == {
        "beam": "a/b3.11:2.0",
        "": "python:3.11-slim",
    }
    assert set(base_images(DOCKERFILE.read_text())) == {"beam", "launcher", ""}
    # Both images stand on the same Python, so that one stand-in serves both.
    assert base_images(CLI.read_text()) == {"": base_images(DOCKERFILE.read_text())[""]}


def test_both_images_have_the_same_package():
    both = [set(copied(file.read_text())) for file in (DOCKERFILE, CLI)]
    assert both[0] - both[1] == {"containers/launch.py"}
    assert both[1] <= both[0]
    installs = [
        re.findall(r"^RUN pip install .*?pip check$", file.read_text(), re.M | re.S)
        for file in (DOCKERFILE, CLI)
    ]
    assert installs[0] == installs[1]
    assert len(installs[0]) == 1
