import pyarrow as pa
import pytest

from beamscope.transforms.images.fit import Fit
from beamscope.transforms.images.label_matches import (
    describe_labels,
    explain_no_match,
    label_counts,
)
from beamscope.transforms.images.labels import LabelFile
from beamscope.transforms.images.settings import TABLE_SCHEMA, ImageSettings

WITHOUT = ImageSettings(Fit(8))


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,label\na/1.png,x\na/2.png,\na/9.png,x\n")
    return ImageSettings(Fit(8), LabelFile.find(str(path)))


def table(settings, *members):
    reading = settings.reading()
    rows = [
        {
            "image_id": str(member),
            "source": "/data",
            "member": member,
            "status": "done",
            **reading.known_columns(None if member is None else reading.find("/data", member)),
        }
        for member in members
    ]
    return pa.Table.from_pylist(rows, TABLE_SCHEMA)


def test_counts_of_folders():
    images = table(WITHOUT, "a/1.png", "b/2.png", "3.png", None)
    assert label_counts(images, WITHOUT) == {"labelled": 2, "not_labelled": 1}
    assert explain_no_match(images, WITHOUT) is None
    assert describe_labels(images) == "a 1, b 1; 1 images have none"


def test_counts_of_a_table(settings):
    images = table(settings, "a/1.png", "a/2.png", "b/5.png", None)
    assert label_counts(images, settings) == {
        "labelled": 1,
        "not_labelled": 2,
        "in_labels": 2,
        "not_in_labels": 1,
        "label_rows": 3,
        "label_rows_without_image": 1,
    }
    assert explain_no_match(images, settings) is None


def test_a_table_of_other_images_is_told(settings):
    images = table(settings, "b/5.png", "b/6.png")
    assert explain_no_match(images, settings) == (
        "none of 2 images is in --labels: keys are like 'a/1.png', images are like '/data/b/5.png'"
    )
    assert describe_labels(images) == "none"


def test_many_classes_are_not_all_listed():
    images = table(WITHOUT, *(f"{i}/x.png" for i in range(20)), "0/y.png")
    assert describe_labels(images).startswith("0 2, 1 1")
    assert describe_labels(images).endswith("and 12 other classes")
