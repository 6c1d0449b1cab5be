import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.output.schema import PROBLEMS_SCHEMA
from beamscope.transforms.sources.outcome import PROBLEMS_SCHEMA as FILM_PROBLEMS

SLIDES = [
    {"item_id": "a", "uri": "a.svs", "stage": "plan", "kind": "missing_mpp", "message": "none"},
    {"item_id": "b", "uri": "b.svs", "stage": "read", "kind": "unreadable_region",
     "message": "no tile", "x_level0": 448, "y_level0": 0},
]  # fmt: skip
FILMS = [{"item_id": "z/f.png", "uri": "z", "member": "f.png", "stage": "read",
          "kind": "corrupt_image", "message": "cut"}]  # fmt: skip


def output(directory, problems, schema=PROBLEMS_SCHEMA):
    pq.write_table(pa.Table.from_pylist(problems, schema), directory / "problems.parquet")
    (directory / "dataset.json").write_text('{"counts": {}, "shards": []}')
    return str(directory)


@pytest.mark.parametrize(
    ("problems", "schema", "lines"),
    [
        (SLIDES, PROBLEMS_SCHEMA,
         ["a: missing_mpp: none", "b at (448, 0): unreadable_region: no tile"]),
        (FILMS, FILM_PROBLEMS, ["z/f.png: corrupt_image: cut"]),
        ([], PROBLEMS_SCHEMA, []),
    ],
)  # fmt: skip
def test_a_line_a_problem(tmp_path, capsys, problems, schema, lines):
    assert main(["problems", output(tmp_path, problems, schema)]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_one_kind_as_json(tmp_path, capsys):
    assert main(["problems", output(tmp_path, SLIDES), "--json", "--kind", "missing_mpp"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {**SLIDES[0], "x_level0": None, "y_level0": None}


def test_problems_errors(tmp_path, capsys):
    assert main(["problems", str(tmp_path)]) == 2
    assert "holds no finished dataset" in capsys.readouterr().err
