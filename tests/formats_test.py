"""docs/formats.md is the contract; these tests compare the code with it."""

import re
import typing
from pathlib import Path

import pyarrow as pa
import pytest

from beamscope.transforms.images import settings as images
from beamscope.transforms.output.schema import PROBLEMS_SCHEMA, embedding_schema
from beamscope.transforms.patches.encoding import IMAGE_FIELDS
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.slide_vectors import slide_vectors
from beamscope.transforms.slides.outcome import TABLE_SCHEMA
from beamscope.transforms.slides.planning.plan import ROW_SCHEMA
from beamscope.transforms.sources.names import Role
from beamscope.transforms.sources.outcome import PROBLEMS_SCHEMA as FILM_PROBLEMS
from beamscope.transforms.xrays.reading.film_block import FILM_SCHEMA
from beamscope.transforms.xrays.reading.film_block import TABLE_SCHEMA as IMAGES

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "formats.md").read_text()
SHARD = "embeddings/embeddings-NNNNN-of-NNNNN.parquet"


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
        ("Vectors of slides", slide_vectors.NAME, embedding_schema(slide_vectors.ROW_SCHEMA, 8)),
        ("Problems of slides", "problems.parquet", PROBLEMS_SCHEMA),
        ("Embeddings of films", SHARD, embedding_schema(FILM_SCHEMA, 8)),
        ("Images", "images.parquet", IMAGES),
        ("Problems of films and images", "problems.parquet", FILM_PROBLEMS),
        ("Embeddings of images", SHARD, embedding_schema(images.ROW_SCHEMA, 8)),
        ("Table of images", "images.parquet", images.TABLE_SCHEMA),
    ],
)
def test_schemas_are_as_documented(heading, file_name, schema: pa.Schema):
    actual = [(field.name, re.sub(r"<.*", "", str(field.type))) for field in schema]
    assert documented(heading, file_name) == actual


def documented_kinds(heading):
    """Kind, stages and sentence of each row of the table of kinds."""
    rows = re.findall(
        r"^\| (\w+) \| ((?:plan|read|embed)[^|]*) \| (.*) \|$", section(heading), re.M
    )
    return [(kind, stages, sentence.replace("`", "")) for kind, stages, sentence in rows]


def test_every_kind_of_problem_is_documented_as_the_table_of_kinds_has_it():
    rows = documented_kinds("Problems of slides") + documented_kinds("Problems of films and images")
    expected = {(kind, ", ".join(kind.stages), kind.sentence) for kind in Kind if kind.becomes_row}
    assert set(rows) == expected


def test_every_kind_has_a_sentence_without_a_full_stop():
    for kind in Kind:
        assert kind.sentence, kind
        assert not kind.sentence.endswith("."), kind


def test_the_names_of_what_is_left_out_are_documented():
    roles = {*typing.get_args(Role), "other_view", "duplicate", "not_sampled"} - {"image"}
    assert set(re.findall(r"^\| left_out_(\w+) \|", section("Images"), re.M)) == roles


def test_the_columns_of_encoded_images_are_as_documented():
    rows = re.findall(r"^\| (\w+) \| (\w+) \| .* \|$", section("Patches and films as images"), re.M)
    assert rows[1:] == [(field.name, str(field.type)) for field in IMAGE_FIELDS]
