"""A page of hits with their pictures: one HTML file that needs no other."""

from __future__ import annotations

import base64
import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.patches.encoding import Encoding

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 24px; color: #222; background: #fff; }
h1 { font-size: 18px; margin: 0 0 4px; } p { margin: 0 0 16px; color: #555; }
.grid { display: flex; flex-wrap: wrap; gap: 14px; }
figure { margin: 0; width: 232px; }
figure.query img { outline: 3px solid #d60; }
img, .gone { width: 224px; display: block; background: #eee; }
.gone { box-sizing: border-box; padding: 12px; height: 224px; color: #a00; overflow: auto; }
figcaption { margin-top: 4px; overflow-wrap: anywhere; font-size: 12px; }
"""
_ENCODING = Encoding("jpeg", 90)


@dataclasses.dataclass(frozen=True, eq=False)
class Card:
    """A picture and what stands below it.

    Attributes:
      title: in bold.
      lines: below it.
      picture: uint8 RGB ``[height, width, 3]``, or the reason why there is none.
    """

    title: str
    lines: Sequence[str]
    picture: npt.NDArray[np.uint8] | str


def lines_of(row: Mapping[str, Any]) -> list[str]:
    """Return what a card says of a row: where it is, and its label or tissue."""
    item = row.get("slide_id") or row.get("image_id")
    lines = [str(item)]
    if "x_level0" in row:
        lines.append(f"{row['x_level0']}, {row['y_level0']} level-0 px")
    named = ("label", "class", "view_position")
    lines += [f"{name} {row[name]}" for name in named if row.get(name) is not None]
    return lines


def write_page(title: str, text: str, query: Card, hits: Sequence[Card]) -> str:
    """Return a page of the query and its hits.

    Args:
      title: of the page.
      text: one sentence below it.
      query: what was searched for.
      hits: what was found, the nearest first.
    """
    figures = "\n".join([_figure(query, "query"), *(_figure(hit, "hit") for hit in hits)])
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(text)}</p>\n"
        f'<div class="grid">\n{figures}\n</div>\n</body>\n</html>\n'
    )


def _figure(card: Card, kind: str) -> str:
    if isinstance(card.picture, str):
        shown = f'<div class="gone">{html.escape(card.picture)}</div>'
    else:
        data = base64.b64encode(_ENCODING.encode(card.picture)).decode()
        shown = f'<img alt="{html.escape(card.title)}" src="data:image/jpeg;base64,{data}">'
    lines = "<br>".join(html.escape(line) for line in card.lines)
    return (
        f'<figure class="{kind}">{shown}<figcaption><b>{html.escape(card.title)}</b><br>{lines}'
        "</figcaption></figure>"
    )
