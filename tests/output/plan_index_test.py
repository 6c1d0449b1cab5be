import json
import logging

import pyarrow as pa
import pytest

from beamscope.transforms.output.plan_index import list_plans, read_index, update_index
from beamscope.transforms.output.plans import read_plan_header, write_plan_file
from beamscope.transforms.output.progress import PlanGlance, ProgressReader
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.output.samples import layout_in
from tests.traffic import counted_traffic

TABLE = pa.table({"x": [1, 2, 3]})
NAMES = ("a", "b é", "c")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as bucket:
        yield bucket


@pytest.fixture
def layout(bucket, request):
    layout = layout_in(f"{bucket}/{request.node.name}")
    for rows, name in enumerate(NAMES):
        write(layout, name, rows)
    return layout


def write(layout, name, rows):
    write_plan_file(layout.plan(name), {"rows": rows}, TABLE)


def rows_in(texts):
    return {name: json.loads(text)["rows"] for name, text in texts.items()}


def glance(plan):
    return PlanGlance(read_plan_header(plan)["rows"])


def test_what_is_in_the_index_is_not_asked_for_again(layout):
    with counted_traffic() as traffic:
        first = update_index(layout)
    assert rows_in(first) == {"a": 0, "b %C3%A9": 1, "c": 2}
    assert traffic.requests["range"] == len(NAMES)
    with counted_traffic() as traffic:
        assert update_index(layout) == first
        index = read_index(layout)
    assert [index.header(plan)["rows"] for plan in list_plans(layout)] == [0, 1, 2]
    # The index itself, twice.
    assert (traffic.requests["range"], traffic.requests["whole"]) == (2, 0)
    assert traffic.requests["put"] == 0


def test_a_plan_that_was_written_anew_is_read_alone(layout):
    update_index(layout)
    write(layout, "c", 7)
    files.delete([layout.plan("a")])
    with counted_traffic() as traffic:
        assert rows_in(update_index(layout)) == {"b %C3%A9": 1, "c": 7}
    asked = [name for kind, name in traffic.asked if kind == "range" and "/plans/" in name]
    assert [name.rpartition("/")[2] for name in asked] == ["c.arrow"]
    assert len(read_index(layout)) == 2


def test_a_damaged_index_is_left_out_and_made_again(layout, caplog):
    whole = update_index(layout)
    (file,) = files.list_files(layout.index("index"))
    data = bytearray(files.read_bytes(file.path))
    data[10] ^= 255
    files.write_bytes(file.path, bytes(data))
    with caplog.at_level(logging.WARNING):
        assert ProgressReader(layout, 3, glance).read().rows_planned == 0 + 1 + 2
    assert "damaged: " in caplog.text
    assert "the plans are read one by one" in caplog.text
    assert update_index(layout) == whole
    assert len(read_index(layout)) == len(NAMES)


def test_a_damaged_plan_is_not_in_the_index(layout):
    files.write_bytes(layout.plan("a"), b"no plan")
    assert rows_in(update_index(layout)) == {"b %C3%A9": 1, "c": 2}


def test_parts_of_a_job_add_their_own(layout):
    update_index(layout, "part-1-of-2", {"a"}.__contains__)
    update_index(layout, "part-2-of-2", {"c", "b %C3%A9"}.__contains__)
    assert len(files.list_files(layout.index("index"))) == 2
    with counted_traffic() as traffic:
        assert ProgressReader(layout, 3, glance).read().rows_planned == 3
        assert rows_in(update_index(layout, "part-2-of-2", {"c"}.__contains__)) == {"c": 2}
    assert not [name for kind, name in traffic.asked if kind != "list" and "/plans/" in name]
    # Who does everything brings all of it together, once there is something new.
    write(layout, "d", 9)
    assert rows_in(update_index(layout)) == {"a": 0, "b %C3%A9": 1, "c": 2, "d": 9}
    assert len(files.list_files(layout.index("index"))) == 1


def test_on_a_disk_there_is_none(tmp_path):
    layout = layout_in(tmp_path)
    write(layout, "a", 1)
    assert len(read_index(layout)) == 0
    assert ProgressReader(layout, 1, glance).read().rows_planned == 1
