"""Bags and streams: the protocols of PyTorch's datasets, and PyTorch itself where it is there."""

import multiprocessing
import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest

import beamscope as bs
from beamscope.transforms.dataset.stream import RowStream
from tests.dataset.samples import coordinates_of, embeddings_of, write_films, write_slides

SIZES = {"a": 600, "b": 9000, "c": 40, "d": 5000}
LABELS = {"a": 1, "b": 0, "d": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return write_slides(tmp_path_factory.mktemp("slides"), SIZES, 3)


@pytest.fixture(scope="module")
def dataset(root):
    return bs.open_dataset(root)


def rows_in(batches: Iterator[dict]) -> list[tuple]:
    """Every row of some batches: slide, coordinates, first feature, and label if there is one."""
    return [
        (slide_id, *map(int, batch["coordinates"][row]), float(batch["embeddings"][row, 0]),
         *([int(batch["label"][row])] if "label" in batch else []))
        for batch in batches
        for row, slide_id in enumerate(batch["slide_id"])
    ]  # fmt: skip


def expected_rows(labels=None) -> list[tuple]:
    return [
        (slide_id, int(x), int(y), float(values[0]), *([labels[slide_id]] if labels else []))
        for slide_id in SIZES if labels is None or slide_id in labels
        for (x, y), values in zip(coordinates_of(SIZES[slide_id]),
                                  embeddings_of(slide_id, SIZES[slide_id]), strict=True)
    ]  # fmt: skip


def test_bags_are_a_sequence(dataset):
    bags = dataset.bags(LABELS)
    assert len(bags) == 3
    assert bags.ids == ["a", "b", "d"]
    for index, slide_id in enumerate(bags.ids):
        bag = bags[index]
        assert (bag["slide_id"], bag["label"]) == (slide_id, LABELS[slide_id])
        np.testing.assert_array_equal(bag["embeddings"], embeddings_of(slide_id, SIZES[slide_id]))
        np.testing.assert_array_equal(bag["coordinates"], coordinates_of(SIZES[slide_id]))
        assert bag["embeddings"].flags.writeable  # PyTorch warns of arrays that are not.
    with pytest.raises(IndexError):
        bags[3]
    assert [bag["slide_id"] for bag in bags] == bags.ids
    assert "label" not in dataset.bags()[0]


def _shape(bags, index):
    return bags[index]["embeddings"].shape


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_bags_in_worker_processes(dataset, method):
    bags = dataset.bags(LABELS)
    bags[0]
    with multiprocessing.get_context(method).Pool(2) as pool:
        shapes = pool.starmap(_shape, [(bags, index) for index in range(3)] * 3)
    assert shapes == [(600, 4), (9000, 4), (5000, 4)] * 3


def test_a_stream_in_order(dataset):
    batches = list(dataset.stream(1000))
    assert [len(batch["embeddings"]) for batch in batches] == [1000] * 14 + [640]
    assert rows_in(batches) == expected_rows()


def test_a_stream_of_labelled_rows(dataset):
    batches = list(dataset.stream(512, LABELS))
    assert rows_in(batches) == expected_rows(LABELS)
    assert batches[0]["label"].dtype.kind == "i"
    names = next(iter(dataset.stream(2, {"a": "high"})))["label"]
    assert names == ["high", "high"]


def test_a_random_order_holds_every_row_once(dataset):
    stream = dataset.stream(512, seed=1)
    first = rows_in(stream)
    assert sorted(first) == sorted(expected_rows())
    assert first != expected_rows()
    # The rows of several slides are mixed in a batch.
    assert len({row[0] for row in first[:512]}) > 1
    assert rows_in(stream) == first
    stream.set_epoch(1)
    second = rows_in(stream)
    assert sorted(second) == sorted(first)
    assert second != first


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("workers", [2, 9])
def test_workers_share_the_rows(dataset, workers, seed):
    stream = dataset.stream(512, seed=seed)
    rows = [row for index in range(workers) for row in rows_in(stream.part(index, workers))]
    assert sorted(rows) == sorted(expected_rows())


def test_a_stream_of_films(tmp_path):
    dataset = bs.open_dataset(write_films(tmp_path, {"z": ["p1_a", "p1_b", "p2_a"]}))
    table = dataset.join({"patient_id": ["p1", "p2"], "label": [1, 0]}, on="patient_id")
    (batch,) = dataset.stream(8, table)
    assert batch["image_id"] == ["p1_a", "p1_b", "p2_a"]
    assert batch["label"].tolist() == [1, 1, 0]
    assert "coordinates" not in batch


def test_a_batch_has_rows(dataset):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        dataset.stream(0)


def test_to_torch_errors_without_torch(dataset, monkeypatch):
    for name in ("torch", "torch.utils.data"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "beamscope.transforms.dataset.torch_stream", raising=False)
    with pytest.raises(bs.InputError, match="needs PyTorch: pip install torch") as raised:
        dataset.stream(4).to_torch()
    assert raised.value.kind == "missing_package"


class _IterableDataset:
    """What PyTorch's class is, as far as a loader sees."""


@pytest.fixture
def torch_protocol(monkeypatch):
    """Stands in for PyTorch: its two names that we use, and a worker to be."""
    worker = types.SimpleNamespace(id=0, num_workers=1)
    data = types.ModuleType("torch.utils.data")
    data.IterableDataset = _IterableDataset
    data.get_worker_info = lambda: worker if worker.num_workers > 1 else None
    for name in ("torch", "torch.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "torch.utils.data", data)
    monkeypatch.delitem(sys.modules, "beamscope.transforms.dataset.torch_stream", raising=False)
    yield worker
    sys.modules.pop("beamscope.transforms.dataset.torch_stream", None)


def test_to_torch_holds_the_protocol(dataset, torch_protocol):
    stream = dataset.stream(512, seed=2).to_torch()
    assert isinstance(stream, _IterableDataset)
    whole = rows_in(iter(stream))
    assert sorted(whole) == sorted(expected_rows())
    torch_protocol.num_workers = 3
    shared = []
    for torch_protocol.id in range(3):
        shared += rows_in(iter(stream))
    assert sorted(shared) == sorted(whole)
    stream.set_epoch(1)
    assert isinstance(stream.stream, RowStream)
    assert stream.stream.epoch == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_pytorch_loads_bags_and_streams(dataset, workers):
    torch = pytest.importorskip("torch", reason="PyTorch's wheels bring CUDA, some 4 GB")
    loader = torch.utils.data.DataLoader
    bags = list(loader(dataset.bags(LABELS), batch_size=None, num_workers=workers))
    assert [tuple(bag["embeddings"].shape) for bag in bags] == [(600, 4), (9000, 4), (5000, 4)]
    assert all(isinstance(bag["embeddings"], torch.Tensor) for bag in bags)
    stream = dataset.stream(512, LABELS, seed=1).to_torch()
    batches = list(loader(stream, batch_size=None, num_workers=workers))
    assert sorted(rows_in(batches)) == sorted(expected_rows(LABELS))
    assert isinstance(batches[0]["label"], torch.Tensor)
