"""Models of timm, exported as docs/models.md says: beamscope, onnxruntime and torch agree.

PyTorch is no requirement, and too large for every change: `make test-export` makes an environment
for it and runs these tests. BEAMSCOPE_TORCH_PYTHON names the Python of another one.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.trial_images import structured_images

PAGE = Path(__file__).resolve().parents[4] / "docs" / "models.md"
# In PyTorch's environment: the program of the page, with random weights; then torch's own answers.
PROGRAM = """
import json, sys
import numpy as np
import torch
torch.manual_seed(0)
program, NAME, PATH, pixels, answers = sys.argv[1:]
names = {"NAME": NAME, "PATH": PATH, "PRETRAINED": False}
exec(program, names)
model, cfg = names["model"], names["model"].pretrained_cfg
images = torch.from_numpy(np.load(pixels)).permute(0, 3, 1, 2) / 255
mean, std = (torch.tensor(cfg[key]).reshape(3, 1, 1) for key in ("mean", "std"))
with torch.no_grad():
    np.save(answers, model((images - mean) / std).numpy())
print(json.dumps({"mean": cfg["mean"], "std": cfg["std"], "torch": torch.__version__}))
"""


def torch_python() -> str:
    """The Python that has torch and timm; the test is skipped where there is none."""
    given = os.environ.get("BEAMSCOPE_TORCH_PYTHON")
    if given:
        return given
    if all(importlib.util.find_spec(name) for name in ("torch", "timm", "onnxscript")):
        return sys.executable
    pytest.skip("no torch and timm here: make test-export, or BEAMSCOPE_TORCH_PYTHON")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18"])
def test_beamscope_onnxruntime_and_torch_agree(name, tmp_path, monkeypatch):
    python = torch_python()
    (program,) = re.findall(r"### Export a model of timm\n.*?```python\n(.*?)```",
                            PAGE.read_text(), re.S)  # fmt: skip
    path, pixels = tmp_path / "model.onnx", structured_images(6, 224)
    np.save(tmp_path / "pixels.npy", pixels)
    files = [path, tmp_path / "pixels.npy", tmp_path / "answers.npy"]
    done = subprocess.run([python, "-c", PROGRAM, program, name, *map(str, files)],
                          capture_output=True, text=True, timeout=500)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (tmp_path / "model.onnx.data").stat().st_size > 20e6
    assert path.stat().st_size < 2e6

    by_torch = np.load(tmp_path / "answers.npy")
    images = (pixels.astype(np.float32) / 255 - said["mean"]) / said["std"]
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    (by_onnxruntime,) = onnxruntime.InferenceSession(str(path)).run(None, {"pixels": images})
    settings = ModelSettings(
        str(path), input_mean=tuple(said["mean"]), input_std=tuple(said["std"])
    )
    embedder = Embedder.from_settings(settings)
    assert embedder.compile_used == "openvino"
    by_beamscope = embedder.embed(pixels)
    figures = [f"\n{name}, torch {said['torch']}: {by_beamscope.shape[1]} features"]
    for other, answers in (("onnxruntime", by_onnxruntime), ("torch", by_torch)):
        lengths = np.linalg.norm(by_beamscope, axis=1) * np.linalg.norm(answers, axis=1)
        cosine = ((by_beamscope * answers).sum(axis=1) / lengths).min()
        largest = np.abs(by_beamscope - answers).max() / np.abs(answers).max()
        figures.append(f"{other}: cosine {cosine:.7f}, largest difference {largest:.1e}")
        assert cosine > 0.99999
        assert largest < 1e-3
    sys.stdout.write("\n  ".join(figures) + "\n")
