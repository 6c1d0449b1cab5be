"""Count the labels of images, and the rows of a table that have an image."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.images.settings import ImageSettings
from beamscope.transforms.sources.sources import image_path

# Classes that a message lists.
_MOST_SHOWN = 8


def label_counts(images: pa.Table, settings: ImageSettings) -> dict[str, int]:
    """Count images with and without a label; with a table also its rows, and those without image.

    Args:
      images: the table of images; failed ones count, broken archives do not.
      settings: of the job.
    """
    images = images.filter(pc.is_valid(images["member"]))
    labelled = images.num_rows - images["label"].null_count
    counts = {"labelled": labelled, "not_labelled": images.num_rows - labelled}
    table = settings.load_labels()
    if table is None:
        return counts
    matched = images.filter(images["in_labels"])
    places = zip(matched["source"].to_pylist(), matched["member"].to_pylist(), strict=True)
    found = {table.place(image_path(source, member)) for source, member in places}
    return counts | {
        "in_labels": matched.num_rows,
        "not_in_labels": images.num_rows - matched.num_rows,
        "label_rows": len(table),
        "label_rows_without_image": len(table) - len(found),
    }


def with_label_columns(images: pa.Table, settings: ImageSettings) -> pa.Table:
    """Return the table of images with the further columns of ``--labels`` behind its own."""
    table = settings.load_labels()
    if table is None:
        return images
    places = zip(images["source"].to_pylist(), images["member"].to_pylist(), strict=True)
    columns = table.extra_columns(image_path(source, member or "") for source, member in places)
    for name in columns.column_names:
        images = images.append_column(name, columns[name])
    return images


def explain_no_match(images: pa.Table, settings: ImageSettings) -> str | None:
    """Say that not one image is in the table of labels, with an image and a key to compare.

    Returns:
      one sentence; None where an image is in the table, or there is no image or no table.
    """
    table = settings.load_labels()
    images = images.filter(pc.is_valid(images["member"]))
    if table is None or not images.num_rows or pc.any(images["in_labels"]).as_py():
        return None
    path = image_path(images["source"][0].as_py(), images["member"][0].as_py())
    key = table.first_key()
    compared = f"keys are like {key!r}" if key is not None else "it has no rows"
    return (
        f"none of {images.num_rows:,} images is in --labels: {compared}, images are like {path!r}"
    )


def describe_labels(images: pa.Table) -> str:
    """Return the classes of the images that have one, the largest first, for the summary."""
    images = images.filter(pc.is_valid(images["member"]))
    counted = Counter(images["label"].to_pylist())
    without = counted.pop(None, 0)
    if not counted:
        return "none"
    largest = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{label} {count:,}" for label, count in largest[:_MOST_SHOWN]]
    more = len(counted) - len(shown)
    text = ", ".join(shown) + (f" and {more:,} other classes" if more else "")
    return text + (f"; {without:,} images have none" if without else "")
