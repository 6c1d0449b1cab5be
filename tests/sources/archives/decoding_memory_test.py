from concurrent.futures import ThreadPoolExecutor

import pytest

from beamscope.transforms.memory import DECODING
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.decoding_memory import BYTES_A_PIXEL, held
from beamscope.transforms.sources.archives.members import Limits


def test_memory_is_held_while_an_image_is_decoded(monkeypatch):
    log = []
    monkeypatch.setattr(DECODING, "take", lambda size: log.append(size))
    monkeypatch.setattr(DECODING, "give_back", lambda size: log.append(-size))
    with held(Limits()) as limits:
        limits.check_pixels(100, 10)
        limits.check_pixels(100, 10)  # of a second header
        limits.check_pixels(100, 20)  # of a larger tile: what was held is given back first
        assert sum(log) == 2000 * BYTES_A_PIXEL
    assert log == [0, 1000 * BYTES_A_PIXEL, -1000 * BYTES_A_PIXEL, 2000 * BYTES_A_PIXEL,
                   -2000 * BYTES_A_PIXEL]  # fmt: skip


def test_the_limits_are_those_of_the_job():
    with held(Limits(7, 8.0, 9)) as limits:
        assert (limits.max_member_bytes, limits.max_compression_ratio) == (7, 8.0)
        with pytest.raises(InputError, match="2x5 is more than the 9 pixels"):
            limits.check_pixels(2, 5)


def test_an_error_gives_everything_back():
    def decode():
        with held(Limits(max_pixels=1 << 40)) as limits:
            limits.check_pixels(1 << 20, 1 << 10)
            raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        decode()
    with DECODING.hold(2 << 30):  # alone
        pass


def test_films_beyond_the_budget_are_decoded_one_by_one():
    at_work = []

    def decode(_):
        with held(Limits(max_pixels=1 << 40)) as limits:
            limits.check_pixels(10_000, 10_000)
            at_work.append(1)
            most = len(at_work)
            at_work.pop()
        return most

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(decode, range(40))) == 1
