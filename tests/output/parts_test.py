from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.blocks import BlockKey, PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import (
    check_parts,
    finished_parts,
    list_parts,
    read_part,
    read_part_problems,
    read_part_ref,
    write_part,
)
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.storage import files
from tests.output.samples import ROWS, block_of, layout_in, paths


@pytest.mark.parametrize(("n", "failed"), [(4, 0), (4, 1), (4, 4), (0, 0)])
@pytest.mark.parametrize("item_id", ["slide", "p10/p100 [é]/../s"])
def test_part_round_trip(tmp_path: Path, item_id: str, n: int, failed: int) -> None:
    block = block_of(item_id, 3, n, failed)
    ref = write_part(layout_in(tmp_path), block)
    assert (ref.key, ref.planned, ref.embedded, ref.failed) == (block.key, n, n - failed, failed)
    assert read_part_ref(ref.path) == ref
    assert read_part_problems(ref.path) == list(block.problems)
    table = pa.Table.from_batches(read_part(ref.path))
    assert table.select(ROWS.names).to_pylist() == block.rows.to_pylist()
    assert table["embedding"].to_pylist() == block.embeddings.tolist()


def test_part_is_a_plain_arrow_stream(tmp_path: Path) -> None:
    block = block_of("slide", 0, 4)
    path = write_part(layout_in(tmp_path), block).path
    with pa.memory_map(path) as file:
        table = pa.ipc.open_stream(file).read_all()
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), block.embeddings)


def test_reference_and_problems_need_the_header_alone(tmp_path: Path) -> None:
    block = block_of("slide", 0, 400, failed=1)
    ref = write_part(layout_in(tmp_path), block)
    content = bytearray(Path(ref.path).read_bytes())
    content[: len(block.embeddings.tobytes())] = bytes(len(block.embeddings.tobytes()))
    Path(ref.path).write_bytes(content)
    assert read_part_ref(ref.path) == ref
    assert read_part_problems(ref.path) == list(block.problems)


def test_references_to_many_parts_come_in_order(tmp_path: Path) -> None:
    refs = [write_part(layout_in(tmp_path), block_of("slide", i, 4, i % 3)) for i in (2, 0, 1)]
    assert check_parts([files.stat(ref.path) for ref in refs]) == refs
    assert check_parts([]) == []


def test_a_part_written_again_replaces_itself(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    first = write_part(layout, block_of("slide", 0, 4))
    content = files.read_bytes(first.path)
    assert write_part(layout, block_of("slide", 0, 4)) == first
    assert files.read_bytes(first.path) == content
    assert paths(list_parts(layout)) == {first.path: 4}


@pytest.mark.parametrize("order", [(0, 2), (2, 0)])
def test_of_two_tries_of_a_block_the_one_with_more_rows_counts(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    layout = layout_in(tmp_path)
    written = {lost: write_part(layout, block_of("slide", 0, 4, failed=lost)) for lost in order}
    assert written[2] == PartRef(written[0].key, written[2].path, 4, 2)
    assert written[2].path != written[0].path
    assert paths(list_parts(layout)) == {written[0].path: 4}
    assert finished_parts(layout, "slide", [4]) == [written[0]]


def test_parts_of_an_earlier_version_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_in(tmp_path)

    def earlier(self: Layout, key: BlockKey, planned: int, *_: int) -> str:
        return files.join(self.item_parts(key.item_id), f"{key.index:06d}-{planned}.arrow")

    with monkeypatch.context() as patch:
        patch.setattr(Layout, "part", earlier)
        before = [write_part(layout, block_of("slide", i, 4, failed=i)) for i in range(2)]
    assert [Path(ref.path).name for ref in before] == ["000000-4.arrow", "000001-4.arrow"]
    now = write_part(layout, block_of("slide", 2, 4, failed=3))
    assert finished_parts(layout, "slide", [4, 4, 4]) == [*before, now]
    assert paths(list_parts(layout)) == {ref.path: 4 for ref in (*before, now)}


@given(st.dictionaries(st.text(max_size=20), st.integers(1, 3), max_size=4))
def test_list_parts(tmp_path_factory: pytest.TempPathFactory, blocks: dict[str, int]) -> None:
    layout = layout_in(tmp_path_factory.mktemp("out"))
    refs = [
        write_part(layout, block_of(item_id, index, 10 + index, failed=1))
        for item_id, count in blocks.items()
        for index in range(count)
    ]
    assert paths(list_parts(layout)) == {ref.path: ref.planned for ref in refs}


def test_list_parts_leaves_other_files_out(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    assert paths(list_parts(layout)) == {}
    files.write_bytes(files.join(layout.parts, "slide", "notes.txt"), b"")
    files.write_bytes(layout.plan("slide"), b"")
    assert paths(list_parts(layout)) == {}


@pytest.mark.parametrize("content", [b"", b"not Arrow", None])
def test_read_part_errors(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "000000-4.arrow"
    if content is not None:
        path.write_bytes(content)
    for read in (read_part_ref, read_part_problems, lambda path: list(read_part(path))):
        with pytest.raises((DamagedError, FileNotFoundError)):
            read(str(path))
