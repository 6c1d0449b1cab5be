import pytest

from beamscope.pipelines.terminal.words import about, counted, duration


@pytest.mark.parametrize(
    ("number", "plural", "text"),
    [(1, "slides", "1 slide"), (5, "shards", "5 shards"), (1, "patches", "1 patch"),
     (1, "sources", "1 source"), (0, "films", "0 films"), (12345, "rows", "12,345 rows")],
)  # fmt: skip
def test_counted(number, plural, text):
    assert counted(number, plural) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.25, "1.2 s"), (9.96, "10 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"),
     (3600, "1 h"), (7500, "2 h 5 min"), (86_400, "24 h")],
)  # fmt: skip
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "5 s"), (12, "10 s"), (62, "60 s"), (100, "2 min"), (5000, "83 min"), (9000, "2.5 h"),
     (100_000, "28 h")],
)  # fmt: skip
def test_about(seconds, text):
    assert about(seconds) == text
