import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.storage import stream_file
from beamscope.transforms.storage.stream_file import StreamFile

CONTENT = np.random.default_rng(0).bytes(300_000)


class Watched:
    """A source that notes which ranges it is asked for, and whether at once or ahead."""

    generation = 1

    def __init__(self, content=CONTENT):
        self.content = content
        self.size = len(content)
        self.reads, self.ahead = [], []

    def read(self, offset, length):
        self.reads.append((offset, length))
        return self.content[offset : offset + length]

    def request(self, ranges):
        self.ahead += ranges
        return [lambda o=offset, n=length: self.content[o : o + n] for offset, length in ranges]

    def close(self):
        pass


@pytest.fixture
def small_pieces(monkeypatch):
    sizes = {"_FIRST_BYTES": 100, "_MOST_BYTES": 1600, "_MAX_SKIP_BYTES": 400, "_AHEAD_BYTES": 800}
    for name, value in sizes.items():
        monkeypatch.setattr(stream_file, name, value)


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, 320_000), st.integers(0, 70_000)),
        max_size=12,
    )
)
def test_is_a_file(reads):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_FIRST_BYTES", "_MOST_BYTES", "_MAX_SKIP_BYTES", "_AHEAD_BYTES"):
            patch.setattr(stream_file, name, getattr(stream_file, name) >> 7)
        file, expected = io.BufferedReader(StreamFile(Watched())), io.BytesIO(CONTENT)
        for whence, offset, length in reads:
            place = offset if whence == io.SEEK_SET else offset % 5000 - 2500
            if whence == io.SEEK_CUR and expected.tell() + place < 0:
                continue
            assert file.seek(place, whence) == expected.seek(place, whence)
            assert file.read(length) == expected.read(length)


def test_from_end_to_end_pieces_grow_and_are_fetched_ahead(small_pieces):
    source = Watched()
    file = io.BufferedReader(StreamFile(source), 10)
    assert b"".join(iter(lambda: file.read(10), b"")) == CONTENT
    assert source.reads == [(0, 100), (100, 200), (300, 400)]
    lengths = [length for _, length in source.ahead]
    assert lengths[0] == 800
    assert set(lengths[1:]) == {1600}
    covered = [*source.reads, *source.ahead]
    assert all(a + n == b for (a, n), (b, _) in itertools.pairwise(covered))


def test_a_short_jump_forward_reads_on_and_a_long_one_begins_anew(small_pieces):
    source = Watched()
    file = StreamFile(source)
    for place in (0, 300, 10_000, 10_050, 5000):
        file.seek(place)
        assert file.read(50) == CONTENT[place : place + 50]
    assert source.reads == [(0, 100), (300, 200), (10_000, 100), (5000, 100)]


def test_a_long_read_is_one_request(small_pieces):
    source = Watched()
    file = io.BufferedReader(StreamFile(source), 10)
    file.seek(1000)
    assert file.read(50_000) == CONTENT[1000:51_000]
    assert source.reads == [(1000, 50_000)]


def test_errors_of_what_is_fetched_ahead_come_when_it_is_read(small_pieces):
    class Failing(Watched):
        def request(self, ranges):
            def fail():
                raise ConnectionError("cut")

            return [fail for _ in ranges]

    file = StreamFile(Failing())
    assert len(file.read(100) + file.read(200) + file.read(400)) == 700
    with pytest.raises(ConnectionError, match="cut"):
        file.read(1)
