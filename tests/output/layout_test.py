import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.output.layout import (
    Layout,
    file_name,
    is_part,
    is_shard,
    part_counts,
    part_name,
    picture_name,
    shard_name,
)

LAYOUT = Layout("out", "p1", "f1")

# Names that an attacker or an unlucky archive might hold, beside any text at all.
IDS = st.one_of(
    st.text(max_size=300),
    st.text("./~%*?[]\\: aAé\n", max_size=12),
    st.text("aé~", min_size=170, max_size=200),
)


@pytest.mark.parametrize(
    ("item_id", "name"),
    [
        ("TCGA-02-0001-01Z-00-DX1", "TCGA-02-0001-01Z-00-DX1"),
        ("p10/p100/s50414267", "p10%2Fp100%2Fs50414267"),
        ("CMU-1 (copy), small", "CMU-1 (copy), small"),
        (".hidden", "%2Ehidden"),
        ("..", "%2E."),
        ("a*[b]?", "a%2A%5Bb%5D%3F"),
        ("50%", "50%25"),
        ("é", "%C3%A9"),
        ("", "%"),
    ],
)
def test_file_name(item_id: str, name: str) -> None:
    assert file_name(item_id) == name


@given(IDS)
def test_file_name_is_harmless(item_id: str) -> None:
    name = file_name(item_id)
    assert re.fullmatch(r"[A-Za-z0-9_~%+,=@()&' -][A-Za-z0-9_.~%+,=@()&' -]*", name)
    assert len(name.encode()) <= 200


@given(st.lists(IDS, unique=True, max_size=20))
def test_file_names_differ(item_ids: list[str]) -> None:
    assert len({file_name(item_id) for item_id in item_ids}) == len(item_ids)


@given(st.text(min_size=200, max_size=220))
def test_no_id_is_named_as_what_a_long_one_is_cut_to(item_id: str) -> None:
    name = file_name(item_id)
    assert file_name(name) != name or name == item_id


@given(item_id=IDS, index=st.integers(0, 10**7), planned=st.integers(0, 10**6))
def test_part_says_what_was_planned(item_id: str, index: int, planned: int) -> None:
    path = LAYOUT.part(BlockKey(item_id, index), planned)
    assert part_name(path) == (index, planned)
    assert Path(path).parent == Path(LAYOUT.item_parts(item_id))
    assert Path(path).parent.parent == Path(LAYOUT.all_item_parts(item_id))
    assert Path(path).parent.parent.parent == Path(LAYOUT.parts)
    assert is_part(path)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("000003-256-254-1.arrow", (254, 1)),
        ("000003-256-0-0.arrow", (0, 0)),
        ("000003-256.arrow", None),
        ("000003-256-254.arrow", None),
        ("000003-256-254-1.arrow.tmp", None),
    ],
)
def test_part_counts(name: str, counts: tuple[int, int] | None) -> None:
    assert part_counts(f"parts/a/{name}") == counts


def test_parts_of_an_item_sort_by_block() -> None:
    paths = [LAYOUT.part(BlockKey("a", index), 256) for index in (0, 9, 10, 99_999, 100_000)]
    assert paths == sorted(paths)


@pytest.mark.parametrize(
    "path", ["a/000003-256.arrow.tmp", "a/.000003-256.arrow", "a/3-256.arrow", "a.arrow", ""]
)
def test_part_name_of_other_files(path: str) -> None:
    assert part_name(path) is None


@pytest.mark.parametrize(
    ("name", "shard"),
    [
        ("embeddings-00000-of-00001.parquet", True),
        ("gs://b/out/embeddings-00012-of-00016.tfrecord.gz", True),
        ("embeddings-00012-of-00016.tfrecord", True),
        ("embeddings.parquet", False),
        ("my-embeddings-00000-of-00001.parquet", False),
        ("embeddings-00000-of-00001.parquet.bak", False),
        ("embeddings-00000-of-00001.csv", False),
        ("embeddings-00000-of-00001.parquet\n", False),
    ],
)
def test_is_shard(name: str, shard: bool) -> None:
    assert is_shard(name) is shard


@pytest.mark.parametrize("extension", ["parquet", "tfrecord", "tfrecord.gz"])
@pytest.mark.parametrize("index", [0, 99_999, 100_000])
def test_shards_are_recognised(index: int, extension: str) -> None:
    assert is_shard(LAYOUT.shard(index, 123_456, extension))


@pytest.mark.parametrize("root", ["out", "/data/out", "gs://bucket/out"])
def test_paths_lie_where_the_contract_says(root: str) -> None:
    layout = Layout(root, "p1", "f1")
    work = f"{root}/.beamscope/p1"
    assert layout.description == f"{root}/dataset.json"
    assert layout.problems == f"{root}/problems.parquet"
    assert layout.sidecar("parsing_spec.json") == f"{root}/parsing_spec.json"
    assert layout.table("slides") == f"{root}/slides.parquet"
    shard = "embeddings-00003-of-00016"
    assert layout.shard(3, 16, "parquet") == f"{root}/embeddings/{shard}.parquet"
    assert layout.shard(3, 16, "tfrecord") == f"{root}/embeddings-tfrecord/{shard}.tfrecord"
    assert shard_name(3, 16, "parquet") == f"embeddings/{shard}.parquet"
    assert layout.picture("a/b") == f"{root}/qc/a%2Fb.jpg"
    assert layout.plan("a/b") == f"{work}/plans/a%2Fb.arrow"
    assert layout.plan_picture("a/b") == f"{work}/plans/a%2Fb.jpg"
    assert layout.part(BlockKey("a/b", 3), 256) == f"{work}/parts/a%2Fb/f1/000003-256-256-0.arrow"


def test_a_layout_of_a_plan_alone_has_no_parts() -> None:
    layout = Layout("out", "p1")
    assert layout.plan("a") == "out/.beamscope/p1/plans/a.arrow"
    with pytest.raises(ValueError, match="has no parts"):
        layout.item_parts("a")


@pytest.mark.parametrize(
    ("item_id", "name"),
    [
        ("CMU-1 (2)", "CMU-1 (2)"),
        ("Präparat 7 切片", "Präparat 7 切片"),
        ("a/b", "a%2Fb"),
        ("a:b*?", "a%3Ab%2A%3F"),
        ("50%", "50%25"),
        (".hidden", "%2Ehidden"),
        ("line\nbreak\u200b", "line%0Abreak%E2%80%8B"),
        ("", "%"),
    ],
)
def test_picture_name(item_id: str, name: str) -> None:
    assert picture_name(item_id) == name


@given(st.lists(st.text(max_size=60), unique=True, max_size=8))
def test_picture_names_differ_and_fit(item_ids: list[str]) -> None:
    names = [picture_name(item_id) for item_id in item_ids]
    assert len(set(names)) == len(item_ids)
    assert all(len(name.encode()) <= 200 and "/" not in name for name in names)
