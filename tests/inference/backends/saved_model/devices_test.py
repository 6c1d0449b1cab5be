from types import SimpleNamespace

import pytest
import tensorflow as tf

from beamscope.transforms.inference.backends.saved_model import devices
from beamscope.transforms.problems import InputError


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    device = SimpleNamespace(name="/physical_device:GPU:0")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [device])
    return device


def test_require_gpu(fake_gpu: SimpleNamespace) -> None:
    devices.require_gpu()
    assert devices.gpus() == [fake_gpu.name]


def test_require_gpu_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    with pytest.raises(
        InputError, match=r"a GPU is required and TensorFlow .* sees none"
    ) as raised:
        devices.require_gpu()
    assert raised.value.kind == "no_gpu"


@pytest.mark.parametrize("in_use", [False, True])
def test_grow_gpu_memory(
    fake_gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, in_use: bool
) -> None:
    grown = []

    def set_memory_growth(device: SimpleNamespace, enable: bool) -> None:
        grown.append((device.name, enable))
        if in_use:
            raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", set_memory_growth)
    devices.grow_gpu_memory()
    assert grown == [(fake_gpu.name, True)]
