"""`import beamscope`: what is public, how light it is, and that it is typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import beamscope
from tests.packaging.conftest import make_environment
from tests.packaging.project import ROOT

# As a user writes it: everything but the last line of each pair is right.
PROGRAM = """
from typing import assert_type

import beamscope
from beamscope import {names}

assert_type(beamscope.__version__, str)
settings = SlideSettings(mpp=1.0)
assert_type(settings.patch_px, int)
slides: list[SlideRequest] = list(find_slides(["*.svs"]).slides)
assert_type(Embedder.from_settings(ModelSettings("m")), Embedder)
plan = PlanSlides(settings, Layout("out", "try"))
assert_type(plan.layout, Layout)
"""
WRONG = {
    'beamscope.SlideSettings(mpp="1")': "arg-type",
    'beamscope.PlanSlides(beamscope.SlideSettings(), "out")': "arg-type",
    "beamscope.Embeder": "attr-defined",
    "beamscope.find_slides(3)": "arg-type",
}
# As a user has it, but for the libraries without types of their own.
CONFIG = """
[mypy]
strict = true
[mypy-cv2.*,google.*,imagecodecs.*,openslide.*,openvino.*,pyarrow.*,pydicom.*,simplejpeg.*,tensorflow.*,tfx_bsl.*,tifffile.*]
ignore_missing_imports = true
follow_imports = skip
"""


def test_every_public_name_is_there():
    assert len(beamscope.__all__) > 40
    assert set(beamscope.__all__) <= set(dir(beamscope))
    for name in beamscope.__all__:
        found = getattr(beamscope, name)
        # A name is the thing's own, and nothing is public that explains nothing.
        assert name == "__version__" or found.__name__ == name
        assert name == "__version__" or found.__doc__, name


def test_a_name_that_is_not_public():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = beamscope.no_such_name


def test_the_import_loads_nothing_heavy():
    code = (
        "import json, sys, beamscope; beamscope.__version__; print(json.dumps(sorted(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"apache_beam", "tensorflow", "numpy", "pyarrow", "cv2", "argparse"}
    assert heavy & set(json.loads(found.stdout)) == set()


@pytest.mark.slow
def test_mypy_sees_the_names_in_the_wheel(wheel, tmp_path):
    environment = make_environment(tmp_path / "environment", wheel)
    (tmp_path / "mypy.ini").write_text(CONFIG)
    names = ", ".join(name for name in beamscope.__all__ if name != "__version__")
    right = PROGRAM.format(names=f"({names})")
    (tmp_path / "right.py").write_text(right)
    (tmp_path / "wrong.py").write_text("import beamscope\n" + "\n".join(WRONG) + "\n")
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--python-executable",
         str(environment.python), "--no-pretty", "right.py", "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    told = [line for line in found.stdout.splitlines() if ": error:" in line]
    codes = {int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]") for line in told}
    assert [line for line in told if not line.startswith("wrong.py:")] == [], found.stdout
    assert codes == dict(enumerate(WRONG.values(), start=2)), found.stdout


def test_the_stub_imports_relatively_and_by_one_name():
    # Else lazy_loader, or a type checker, would not see a name.
    lines = (ROOT / "beamscope" / "__init__.pyi").read_text().splitlines()
    imports = [line.split() for line in lines if line.startswith("from")]
    assert len(imports) == len(beamscope.__all__)
    for _, module, _, name, _, public in imports:
        assert name == public
        assert module.startswith(".")
        path = ROOT / "beamscope" / Path(*module.strip(".").split("."))
        assert path.with_suffix(".py").exists(), module
