"""The progress of a job on terminals of several widths, and in a log."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading

import pytest

from beamscope.pipelines.terminal.live import Activities, LiveLine, fitting, width_of
from beamscope.pipelines.terminal.progress import Watched, shown_progress
from beamscope.transforms.activity import doing, listening
from beamscope.transforms.output.progress import Progress

TOTAL = Progress(2, 2, 1000, 0)


def progress(done, planned=1000, items_planned=2):
    return Progress(2, items_planned, planned, done)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def watched(*seen, now=None):
    """What was seen: (seconds, rows done)."""
    clock = Clock()
    found = Watched("patches", "slides", clock)
    for moment, done in seen:
        found.see(progress(done), moment)
        clock.now = moment
    if now is not None:
        clock.now = now
    return found


def test_the_start_and_earlier_work_do_not_count_in_the_speed():
    # 500 rows were there before; the first block came after 40 s of loading and compiling.
    found = watched((0, 500), (40, 600), (50, 700), (60, 800))
    assert found.rate == 10
    assert found.seconds_left == 20


def test_the_time_left_counts_down_between_two_blocks():
    seen = ((0, 0), (10, 100), (20, 200))
    assert [watched(*seen, now=now).seconds_left for now in (20, 24, 29)] == [80, 76, 71]
    assert watched(*seen, now=500).seconds_left == 0


def test_the_time_left_is_not_guessed_from_one_block():
    found = watched((0, 0), (30, 100))
    assert found.seconds_left is None
    assert "time left not known yet" in found.words()[0]


def test_an_old_speed_is_forgotten():
    found = watched((0, 0), (10, 100), (20, 900), (1000, 910), (1010, 920))
    assert found.rate == 1


def test_the_forms_of_the_line():
    found = watched((0, 0), (10, 100), (20, 200))
    assert found.words() == [
        "[######------------------------]  20%, 200 of 1,000 patches, 10.0/s, about 80 s left, "
        "2 of 2 slides planned",
        "[######------------------------]  20%, 200 of 1,000 patches, 10.0/s, about 80 s left",
        "[##----------]  20%, 200 of 1,000 patches, about 80 s left",
        "[##----------]  20%, about 80 s left",
        " 20%, about 80 s left",
        " 20%",
    ]
    assert found.line() == (
        "2/2 slides planned, 200 of 1,000 patches done, 10.0 a second, "
        "about 80 s left of what is planned"
    )


def test_what_comes_before_the_first_block():
    found = Watched("patches", "slides")
    found.see(progress(0, 300, items_planned=1), 0)
    assert found.words() == [
        "planning 1 of 2 slides, 300 patches so far", "planning 1 of 2 slides"
    ]  # fmt: skip
    found.see(progress(0), 1)
    assert "reading the first block" in found.words()[0]
    found.see(progress(1000), 2)
    assert found.words()[2] == "[############] 100%, 1,000 of 1,000 patches"


@pytest.mark.parametrize(
    ("room", "shown"), [(9, "long text"), (8, "short"), (5, "short"), (3, "sho")]
)
def test_fitting(room, shown):
    assert fitting(["long text", "short"], room) == shown


def test_activities_nest_and_end():
    activities = Activities()
    with listening(activities), doing("loading the model"):
        with doing("compiling the model (about 15 s)"):
            assert activities.words()[-1] == "compiling the model (about 15 s)"
        assert activities.words() == ["loading the model, 0 s", "loading the model"]
    assert activities.words() == []
    with doing("something that nobody listens to"):
        assert activities.words() == []


class Terminal:
    """A pseudo-terminal of some columns, or of none, as some programs give one to a child."""

    def __init__(self, columns):
        self.master, slave = pty.openpty()
        size = struct.pack("HHHH", 24 if columns else 0, columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self.said = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        # The master raises when the last slave is closed.
        try:
            while piece := os.read(self.master, 65536):
                self.said += piece
        except OSError:
            pass

    def close(self):
        self.stream.close()
        self._reader.join()
        os.close(self.master)
        return self.said.decode()


@pytest.mark.parametrize(("columns", "width"), [(0, 80), (40, 40), (200, 200)])
def test_a_terminal_of_any_width(columns, width, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    terminal = Terminal(columns)
    assert width_of(terminal.stream) == width

    class Reader:
        done = -100

        def read(self):
            self.done = min(1000, self.done + 100)
            return progress(self.done)

    line = LiveLine(terminal.stream)
    with (
        shown_progress(Reader(), unit="patches", items="slides", stream=terminal.stream, line=line),
        doing("compiling the model (about 15 s)"),
    ):
        with line.lifted():
            terminal.stream.write("a message\n")
        line.show(watched((0, 0), (10, 100), (20, 200)).words)
    text = terminal.close()
    drawn = [re.sub(r"\r?\n", "", piece) for piece in text.split("\r\x1b[K")]
    assert max(map(len, drawn)) < width
    # A message has a line of its own, and the bar stands below it again.
    assert "\r\x1b[Ka message\r\n" in text
    assert any("about 80 s left" in piece for piece in drawn)
    assert any(" 10%" in piece for piece in drawn), drawn
    # The last line stays.
    assert text.endswith("\r\n")


def test_columns_of_the_environment_count_where_the_terminal_tells_none(monkeypatch):
    monkeypatch.setenv("COLUMNS", "53")
    terminal = Terminal(0)
    assert width_of(terminal.stream) == 53
    terminal.close()


def test_a_log_gets_plain_lines():
    log = io.StringIO()

    class Reader:
        def read(self):
            return progress(200)

    with shown_progress(Reader(), unit="patches", items="slides", stream=log):
        pass
    assert log.getvalue() == "2/2 slides planned, 200 of 1,000 patches done\n"
