"""docs/formats.md is the contract; these tests hold the code to it."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from transforms.output.schema import PROBLEMS_SCHEMA, embedding_schema
from transforms.slides.outcome import TABLE_SCHEMA
from transforms.slides.plan import ROW_SCHEMA

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "formats.md").read_text()

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
    "exists",
    "no_gpu",
    "no_match",
    "not_local",
    "not_native",
    "unwritable",
}


def documented(file_name):
    """Columns and types of the first table after a file's name stands alone on a line."""
    section = PAGE.split(f"\n`{file_name}`\n", 1)[1].split("\n\n")[0].strip()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.split("\n")]
    assert rows[0][:2] == ["column", "type"]
    return [(name, kind) for name, kind, *_ in rows[2:]]


@pytest.mark.parametrize(
    ("file_name", "schema"),
    [
        ("embeddings-NNNNN-of-NNNNN.parquet", embedding_schema(ROW_SCHEMA, 8)),
        ("slides.parquet", TABLE_SCHEMA),
        ("problems.parquet", PROBLEMS_SCHEMA),
    ],
)
def test_schemas_are_as_documented(file_name, schema: pa.Schema):
    actual = [(field.name, re.sub(r"<.*", "", str(field.type))) for field in schema]
    assert documented(file_name) == actual


def test_every_kind_of_problem_is_documented():
    source = "\n".join(
        path.read_text()
        for folder in ("slides", "inference")
        for path in (ROOT / "transforms" / folder).glob("*.py")
    )
    raised = set(re.findall(r'InputError\(\s*"(\w+)"', source)) | {"non_finite"}
    assert raised - NO_ROWS == set(re.findall(r"^\| (\w+) \| (?:plan|read|embed)", PAGE, re.M))
