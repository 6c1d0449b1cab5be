import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

CODE = """
import sys
from beamscope.pipelines.terminal.quiet import import_tensorflow
import_tensorflow()
import tensorflow as tf
tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1.0))
print("to a person", file=sys.stderr)
"""


@pytest.mark.parametrize("level", [None, "3"])
def test_import_tensorflow_prints_nothing_and_leaves_stderr_alone(level: str | None) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    if level is not None:
        env["TF_CPP_MIN_LOG_LEVEL"] = level
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "to a person\n")
