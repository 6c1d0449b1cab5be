import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.pool import Pool, close_slides, open_planned
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide

# A test that hangs has failed; nothing is measured by it.
PATIENCE_S = 60


class Thing:
    pass


class SlowOpener:
    """Opens a thing when it is allowed to."""

    def __init__(self):
        self.begun, self.allowed = threading.Event(), threading.Event()
        self.opened = 0

    def __call__(self):
        self.begun.set()
        assert self.allowed.wait(PATIENCE_S)
        self.opened += 1
        return Thing()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as executor:
        yield executor


def test_a_slow_opening_holds_up_nobody_else(threads):
    pool, slow = Pool(), SlowOpener()
    there = pool.get("there", Thing)
    opening = threads.submit(pool.get, "slow", slow)
    assert slow.begun.wait(PATIENCE_S)
    # While it opens: one that is open, one that is not, and one that cannot be opened.
    assert pool.get("there", Thing) is there
    assert isinstance(pool.get("other", Thing), Thing)
    with pytest.raises(ZeroDivisionError):
        pool.get("broken", lambda: 1 / 0)
    assert not opening.done()
    slow.allowed.set()
    assert isinstance(opening.result(PATIENCE_S), Thing)


def test_three_openings_go_on_at_once(threads):
    pool, openers = Pool(), [SlowOpener() for _ in range(3)]
    opening = [threads.submit(pool.get, n, opener) for n, opener in enumerate(openers)]
    # None is allowed to finish before all have begun.
    assert all(opener.begun.wait(PATIENCE_S) for opener in openers)
    for opener in openers:
        opener.allowed.set()
    assert len({id(future.result(PATIENCE_S)) for future in opening}) == 3


def test_who_wants_the_same_thing_waits_for_it(threads):
    pool, slow = Pool(), SlowOpener()
    wanted = [threads.submit(pool.get, "slow", slow) for _ in range(5)]
    assert slow.begun.wait(PATIENCE_S)
    slow.allowed.set()
    assert len({id(future.result(PATIENCE_S)) for future in wanted}) == 1
    assert slow.opened == 1


def test_what_could_not_be_opened_is_tried_again():
    pool = Pool()
    with pytest.raises(ZeroDivisionError):
        pool.get("thing", lambda: 1 / 0)
    assert isinstance(pool.get("thing", Thing), Thing)


def test_those_that_were_asked_for_last_stay_open():
    pool = Pool(least=2)
    one, two = pool.get(1, Thing), pool.get(2, Thing)
    assert pool.get(1, Thing) is one
    pool.get(3, Thing)
    assert pool.get(1, Thing) is one
    assert pool.get(2, Thing) is not two


def test_each_thread_that_reads_finds_its_slide_open():
    pool, together = Pool(least=2), threading.Barrier(6)

    def blocks_of(number):
        first = pool.get(number, Thing)
        together.wait(PATIENCE_S)
        return pool.get(number, Thing) is first

    with ThreadPoolExecutor(6) as six:
        assert all(six.map(blocks_of, range(6)))
    # The threads are gone, and with them the need.
    kept = pool.get(1, Thing)
    assert [pool.get(n, Thing) for n in (7, 8)]
    assert pool.get(1, Thing) is not kept


def test_what_is_being_opened_is_not_dropped(threads):
    pool, slow = Pool(least=1), SlowOpener()
    opening = threads.submit(pool.get, "slow", slow)
    assert slow.begun.wait(PATIENCE_S)
    for number in range(9):
        pool.get(number, Thing)
    waiting = threads.submit(pool.get, "slow", slow)
    slow.allowed.set()
    assert opening.result(PATIENCE_S) is waiting.result(PATIENCE_S)
    assert slow.opened == 1


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "s.svs"
    write_sample_slide(path, SampleSlide(width=700, height=600, mpp=0.5, levels=1, coverage=1))
    return str(path)


@pytest.mark.parametrize("reader", ["openslide", "native"])
def test_open_planned_errors(reader, tmp_path):
    for path, kind in (("/nowhere/s.svs", "missing_file"), (tmp_path / "no.svs", "not_a_slide")):
        (tmp_path / "no.svs").write_text("<html>404</html>")
        with pytest.raises(InputError) as error:
            open_planned(reader, str(path))
        assert error.value.kind in (kind, "not_served")
        assert (error.value.kind == "not_served") == (reader == "native" and kind != "missing_file")


def test_a_slide_is_opened_once_until_it_is_replaced(path, tmp_path):
    one = open_planned("native", path)
    assert isinstance(one, NativeReader)
    assert open_planned("native", path) is one
    assert open_planned("openslide", path) is not one
    copy = tmp_path / "s.svs"
    copy.write_bytes(open(path, "rb").read())  # noqa: PTH123, SIM115
    first = open_planned("native", str(copy))
    write_sample_slide(copy, SampleSlide(width=800, height=600, mpp=0.5, levels=1, coverage=1))
    assert open_planned("native", str(copy)).dimensions == (800, 600) != first.dimensions
    close_slides()
    assert open_planned("native", path) is not one
    close_slides()
