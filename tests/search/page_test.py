import base64
import io
import re

import numpy as np
from PIL import Image

from beamscope.transforms.search.page import Card, lines_of, write_page


def test_a_page_stands_alone_and_escapes_what_it_shows():
    picture = np.full((8, 8, 3), 200, np.uint8)
    page = write_page(
        "Like <b>:1,2",
        "1 & 2",
        Card("searched for", ["<i>"], picture),
        [Card("1: 0.9000", ["a"], picture), Card("2: 0.8000", ["b"], "<gone> & away")],
    )
    assert "<title>Like &lt;b&gt;:1,2</title>" in page
    assert "<p>1 &amp; 2</p>" in page
    assert "&lt;gone&gt; &amp; away" in page
    # No other file, and nothing of the network.
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    pictures = re.findall(r"base64,([^\"]+)", page)
    assert len(pictures) == 2
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))))
    assert np.abs(shown.astype(int) - 200).max() <= 1
    assert page.count("<figure") == 3
    assert page.index("0.9000") < page.index("0.8000")


def test_lines_say_where_a_row_is():
    row = {"slide_id": "a", "x_level0": 5, "y_level0": 6, "class": None, "tissue": 1.0}
    assert lines_of(row) == ["a", "5, 6 level-0 px"]
    assert lines_of({"image_id": "x/1.png", "label": "tumour"}) == ["x/1.png", "label tumour"]
