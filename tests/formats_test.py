"""docs/formats.md is the contract; these tests hold the code to it."""

import re
import typing
from pathlib import Path

import pyarrow as pa
import pytest

from beamscope.transforms.output.schema import PROBLEMS_SCHEMA, embedding_schema
from beamscope.transforms.slides.outcome import TABLE_SCHEMA
from beamscope.transforms.slides.planning.plan import ROW_SCHEMA
from beamscope.transforms.xrays import outcome as xrays
from beamscope.transforms.xrays.archives.members import Role
from beamscope.transforms.xrays.reading.film_block import FILM_SCHEMA

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "formats.md").read_text()
SHARD = "embeddings-NNNNN-of-NNNNN.parquet"

# What stops a command before anything runs, or sends a slide to another reader.
NO_ROWS = {
    "ambiguous_mask",
    "bad_architecture",
    "bad_manifest",
    "bad_modality",
    "bad_model",
    "bad_name",
    "bad_option",
    "bad_sample",
    "bad_signature",
    "bad_weights",
    "duplicate_id",
    "duplicate_key",
    "empty_key",
    "exists",
    "missing_column",
    "missing_input",
    "no_gpu",
    "no_match",
    "not_local",
    "remote_slide",
    "unknown_tag",
    "unreadable_catalog",
    "unwritable",
}


def section(heading):
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ")[0]


def documented(heading, file_name):
    """Columns and types of the first table after a file's name stands alone on a line."""
    table = section(heading).split(f"\n`{file_name}`\n", 1)[1].strip().split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")]
    assert rows[0][:2] == ["column", "type"]
    return [(name, kind) for name, kind, *_ in rows[2:]]


@pytest.mark.parametrize(
    ("heading", "file_name", "schema"),
    [
        ("Embeddings of slides", SHARD, embedding_schema(ROW_SCHEMA, 8)),
        ("Slides", "slides.parquet", TABLE_SCHEMA),
        ("Problems of slides", "problems.parquet", PROBLEMS_SCHEMA),
        ("Embeddings of films", SHARD, embedding_schema(FILM_SCHEMA, 8)),
        ("Images", "images.parquet", xrays.TABLE_SCHEMA),
        ("Problems of films", "problems.parquet", xrays.PROBLEMS_SCHEMA),
    ],
)
def test_schemas_are_as_documented(heading, file_name, schema: pa.Schema):
    actual = [(field.name, re.sub(r"<.*", "", str(field.type))) for field in schema]
    assert documented(heading, file_name) == actual


@pytest.mark.parametrize(
    ("heading", "modules"),
    [
        ("Problems of slides", ("slides/**/*", "inference/*", "file_cache", "own_folder")),
        ("Problems of films", ("xrays/*",)),
    ],
)
def test_every_kind_of_problem_is_documented(heading, modules):
    source = "\n".join(
        path.read_text()
        for module in modules
        for path in (ROOT / "transforms").glob(f"{module}.py")
    )
    raised = set(re.findall(r'(?:Input|BrokenArchive)Error\(\s*"(\w+)"', source)) | {"non_finite"}
    kinds = re.findall(r"^\| (\w+) \| (?:plan|read|embed)", section(heading), re.M)
    assert raised - NO_ROWS == set(kinds)
    assert len(kinds) == len(set(kinds))


def test_the_names_of_what_is_left_out_are_documented():
    roles = {*typing.get_args(Role), "other_view"} - {"film"}
    assert set(re.findall(r"`left_out_(\w+)`", section("Images"))) == roles
