"""Write a report as HTML. Every text of the dataset is escaped; nothing is fetched."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from beamscope.transforms.report.assets import SCRIPT, STYLE
from beamscope.transforms.report.image_cards import ImageCard
from beamscope.transforms.report.slide_cards import Card

# Nothing may be loaded, and no form or frame may be sent or shown, whatever a file name says.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


@dataclasses.dataclass(frozen=True)
class TableData:
    """A table that can be sorted and filtered.

    Attributes:
      id: its id in the page.
      columns: names of the columns.
      rows: JSON values.
      note: what is left out; may be empty.
    """

    id: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
      title: name of the dataset.
      subtitle: one line below it.
      numbers: (number, words) of the run.
      tables: by their headings.
      cards: of slides.
      cards_note: what the cards are, and what is left out.
      images: of films or patches.
      images_note: likewise.
      points: first two components of sampled rows and their labels; None if there are too few.
      points_note: likewise.
      provenance: JSON values by heading.
    """

    title: str
    subtitle: str
    numbers: Sequence[tuple[str, str]]
    tables: Mapping[str, TableData]
    cards: Sequence[Card]
    cards_note: str
    images: Sequence[ImageCard]
    images_note: str
    points: Mapping[str, Any] | None
    points_note: str
    provenance: Mapping[str, Any]


def to_html(report: Report) -> str:
    """Return the page of a report."""
    data = {
        "tables": [
            {"id": table.id, "columns": table.columns, "rows": table.rows}
            for table in report.tables.values()
        ],
        "points": report.points,
    }
    parts = [
        f"<h1>{escape(report.title)}</h1><p>{escape(report.subtitle)}</p>",
        _navigation(report),
        '<div class="numbers">',
        *(f"<div><b>{escape(n)}</b>{escape(words)}</div>" for n, words in report.numbers),
        "</div>",
        *(_table(heading, table) for heading, table in report.tables.items()),
        *_cards(report),
        *_sheet(report),
        *_scatter(report),
        '<h2 id="provenance">Provenance</h2>',
        *(
            f"<h3>{escape(heading)}</h3><pre>{escape(json.dumps(value, indent=1))}</pre>"
            for heading, value in report.provenance.items()
        ),
        f'<script type="application/json" id="data">{in_script(data)}</script>',
        f"<script>{SCRIPT}</script>",
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def in_script(value: Any) -> str:
    """Return a value as JSON that no text in it can end the script with."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    """Return a value with numbers that JSON has: NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _navigation(report: Report) -> str:
    links = [(table.id, heading) for heading, table in report.tables.items()]
    links += [("pictures", "Pictures")] if report.cards or report.images else []
    links += [("projection", "Projection")] if report.points else []
    links += [("provenance", "Provenance")]
    return "<nav>" + "".join(f'<a href="#{at}-top">{escape(text)}</a>' if at not in
                             ("pictures", "projection", "provenance")
                             else f'<a href="#{at}">{escape(text)}</a>'
                             for at, text in links) + "</nav>"  # fmt: skip


def _table(heading: str, table: TableData) -> str:
    status = ""
    if "status" in table.columns:
        status = (
            f'<label>status <select id="{table.id}-status"><option value="">all</option></select>'
            "</label>"
        )
    return (
        f'<h2 id="{table.id}-top">{escape(heading)}</h2>'
        + (f"<p>{escape(table.note)}</p>" if table.note else "")
        + f'<div class="filters"><label>filter <input id="{table.id}-filter" type="search" '
        f'placeholder="words"></label>{status}<span class="soft" id="{table.id}-count"></span>'
        f'</div><div class="scroll"><table id="{table.id}"><thead></thead><tbody></tbody></table>'
        "</div>"
    )


def _cards(report: Report) -> Iterable[str]:
    if not report.cards:
        return
    yield '<h2 id="pictures">Pictures</h2>'
    yield f'<p>{escape(report.cards_note)}</p><div class="cards">'
    for card in report.cards:
        yield _card(card)
    yield "</div>"


def _card(card: Card) -> str:
    row = card.row
    patches = f"{row['patches_embedded']:,} of {row['patches_planned']:,} patches embedded"
    facts = [str(row["status"]), patches]
    if row.get("mpp_effective") is not None:
        facts.append(f"{row['mpp_effective']:.3g} µm/px")
    text = ", ".join(facts) + (f". {row['reason']}" if row.get("reason") else "")
    figures = ""
    if card.picture:
        figures += _figure(card.picture, f"tissue and patches of {row['slide_id']}",
                           "tissue and patches")  # fmt: skip
    if card.map:
        figures += _figure(card.map, f"embeddings of {row['slide_id']}",
                           "embeddings: like colours are alike")  # fmt: skip
    note = f"<p>{escape(card.note)}</p>" if card.note else ""
    return (
        f'<section class="card"><h3>{escape(row["slide_id"])}</h3><div class="pair">{figures}</div>'
        f"<p>{escape(text)}</p>{note}</section>"
    )


def _figure(uri: str, words: str, caption: str) -> str:
    return (
        f'<figure><img loading="lazy" src="{uri}" alt="{escape(words)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _sheet(report: Report) -> Iterable[str]:
    if not report.images:
        return
    yield '<h2 id="pictures">What the model saw</h2>'
    yield f'<p>{escape(report.images_note)}</p><div class="sheet">'
    for image in report.images:
        picture = (
            f'<img loading="lazy" src="{image.picture}" alt="{escape(image.image_id)}">'
            if image.picture
            else f"<p>{escape(image.note)}</p>"
        )
        how = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in image.how)
        yield f'<div>{picture}<div class="id">{escape(image.image_id)}</div><dl>{how}</dl></div>'
    yield "</div>"


def _scatter(report: Report) -> Iterable[str]:
    if not report.points:
        return
    yield (
        f'<h2 id="projection">Projection of the embeddings</h2><p>{escape(report.points_note)}</p>'
        '<div class="filters"><label>colour by <select id="color-by"></select></label></div>'
        '<div id="legend"></div><canvas id="scatter" width="900" height="560" role="img" '
        'aria-label="first two principal components"></canvas>'
    )
