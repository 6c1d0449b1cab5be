"""The images of a report: what the model saw of some films or patches, decoded again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.report.pictures import data_uri, fit_into
from beamscope.transforms.sources.archives.read_source import SourceReader, list_members
from beamscope.transforms.sources.image_reading import ImageReading
from beamscope.transforms.sources.sources import Source

_PICTURE_PX = 224


@dataclasses.dataclass(frozen=True)
class ImageCard:
    """What a report shows of a film or patch.

    Attributes:
      image_id: its id.
      picture: URI of the pixels that the model saw; None where they could not be read again.
      how: (label, text) of how it came to be.
      note: why there is no picture; may be empty.
    """

    image_id: str
    picture: str | None
    how: tuple[tuple[str, str], ...]
    note: str = ""


def image_cards(
    rows: Sequence[Mapping[str, Any]],
    sources: Sequence[Source],
    reading: ImageReading,
    options: Mapping[str, Any],
) -> list[ImageCard]:
    """Return the cards of some images. Each is read again from its source.

    Args:
      rows: their rows of ``images.parquet``.
      sources: the sources that the job was given.
      reading: how the job read them.
      options: the options of the job.
    """
    by_uri = {source.uri: source for source in sources}
    pixels: dict[tuple[str, str], str] = {}
    notes: dict[tuple[str, str], str] = {}
    for uri in dict.fromkeys(row["source"] for row in rows):
        wanted = {row["member"] for row in rows if row["source"] == uri}
        source = by_uri.get(uri)
        if source is None:
            note = "its source is not among those that the job was given last"
            notes |= {(uri, member): note for member in wanted}
        elif source.kind == "tgz":
            note = "a tar.gz would have to be read from its start"
            notes |= {(uri, member): note for member in wanted}
        else:
            _read_again(source, wanted, reading, pixels, notes)
    return [
        ImageCard(
            row["image_id"],
            pixels.get((row["source"], row["member"])),
            tuple(how_it_came(row, options)),
            notes.get((row["source"], row["member"]), ""),
        )
        for row in rows
    ]


def how_it_came(row: Mapping[str, Any], options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how an image became what the model saw, as (label, text)."""
    how = [("file", f"{row.get('origin') or 'image'}, {row['width']} x {row['height']} px")]
    if row.get("view_position"):
        how.append(("view", str(row["view_position"])))
    if row.get("photometric"):
        inverted = " (inverted)" if row["photometric"] == "MONOCHROME1" else ""
        how.append(("photometric", f"{row['photometric']}{inverted}"))
    if row.get("grey_scale"):
        by = {"lut": "a LUT of the file", "window": "a window of the file",
              "minmax": "lowest and highest value"}  # fmt: skip
        how.append(("grey levels", by.get(row["grey_scale"], str(row["grey_scale"]))))
    if row.get("grey_scale_ignored"):
        how.append(("not usable", str(row["grey_scale_ignored"])))
    equalize = options.get("equalize")
    if equalize is not None:
        equalised = equalize == "always" or (equalize == "auto" and row.get("origin") == "dicom")
        how.append(("equalised", "yes" if equalised else "no"))
    if options.get("preprocess"):
        how.append(("fitted by", str(options["preprocess"])))
    if row.get("label") is not None:
        how.append(("label", str(row["label"])))
    return how


def _read_again(
    source: Source,
    wanted: set[str],
    reading: ImageReading,
    pixels: dict[tuple[str, str], str],
    notes: dict[tuple[str, str], str],
) -> None:
    listing = list_members(source, reading.limits, reading.names)
    there = {member.name: member for member in listing.members}
    with contextlib.closing(SourceReader(source, reading.limits)) as reader:
        for name in sorted(wanted):
            key = (source.uri, name)
            if name not in there:
                notes[key] = "it is no longer in its source"
                continue
            try:
                ready = reading.make_ready(reader.read_member(there[name]), None)
                shown = None if ready is None else data_uri(fit_into(ready.pixels, _PICTURE_PX))
            except (InputError, OSError) as error:
                notes[key] = one_line(error)
                continue
            if shown is None:
                notes[key] = "it is of another view now"
            else:
                pixels[key] = shown
