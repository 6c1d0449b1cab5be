import json

import pytest

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.found import find_found, list_item_parts, write_found
from beamscope.transforms.output.layout import Layout, file_name
from beamscope.transforms.output.parts import finished_parts, parts_among, write_part
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.output.samples import block_of, layout_in
from tests.traffic import counted_traffic


@pytest.fixture
def layout(tmp_path):
    with gcs_emulator(tmp_path) as bucket:
        yield layout_in(f"{bucket}/out")


def earlier(self, key, planned, *_):
    return files.join(self.item_parts(key.item_id), f"{key.index:06d}-{planned}.arrow")


def test_workers_read_once_what_a_start_has_found(layout, monkeypatch):
    items = ("a/1 é", "b")
    refs: dict[str, list[PartRef]] = {
        item: [write_part(layout, block_of(item, i, 4, failed=i)) for i in range(3)]
        for item in items
    }
    with monkeypatch.context() as patch:
        patch.setattr(Layout, "part", earlier)
        refs["b"].append(write_part(layout, block_of("b", 3, 4, failed=1)))
    write_part(layout_in_other(layout), block_of("b", 0, 4))
    plans = {file_name(item): json.dumps({"of": item}) for item in items}
    found = write_found(layout, "all", plans, list_item_parts(layout))
    assert found.items == len(items)
    with counted_traffic() as traffic:
        for item in items:
            known = find_found(found, layout, item)
            assert known is not None
            assert known.header == {"of": item}
            parts = parts_among(known.parts, item, [4] * len(refs[item]))
            assert parts == refs[item]
        assert find_found(found, layout, "c") is None
    # The file of what was found, and the header of the one part whose name does not tell.
    assert traffic.requests == {"whole": 1, "range": 1}
    assert finished_parts(layout, "b", [4] * 4) == refs["b"]

    again = write_found(layout, "all", {}, {})
    assert (again.paths, again.items) == ((), 0)
    assert files.list_files(layout.index("found")) == []
    assert find_found(None, layout, "b") is None


@pytest.mark.parametrize("content", [b"no table", None])
def test_what_is_damaged_or_gone_is_not_known(layout, content, caplog):
    found = write_found(layout, "all", {"a": "{}"}, {})
    if content is None:
        files.delete(found.paths)
    else:
        files.write_bytes(found.paths[0], content)
    assert find_found(found, layout, "a") is None
    assert "looked for one by one" in caplog.text


def layout_in_other(layout):
    """The same output, for the parts of another model."""
    return Layout(layout.root, layout.plan_fingerprint, "f" * 16)
