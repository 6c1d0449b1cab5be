import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from beamscope.transforms.memory import MemoryBudget


class Meter:
    """Counts what is held at a time."""

    def __init__(self):
        self._lock = threading.Lock()
        self.now = self.most = self.most_threads = self._threads = 0

    def __call__(self, budget, size):
        with budget.hold(size):
            with self._lock:
                self.now += size
                self._threads += 1
                self.most = max(self.most, self.now)
                self.most_threads = max(self.most_threads, self._threads)
            threading.Event().wait(0.002)
            with self._lock:
                self.now -= size
                self._threads -= 1


@pytest.mark.parametrize(
    ("sizes", "most"), [([10] * 40, 30), ([30] * 9, 30), ([7, 23, 16] * 9, 30)]
)
def test_no_more_than_the_budget_is_held(sizes, most):
    budget, meter = MemoryBudget(30), Meter()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda size: meter(budget, size), sizes))
    assert meter.most <= most
    assert meter.now == 0


def test_small_requests_run_side_by_side():
    budget, meter = MemoryBudget(30), Meter()
    started = threading.Barrier(3)

    def work(_):
        with budget.hold(10):
            started.wait(10)  # only passes if three hold some at once

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    assert meter.now == 0


def test_a_request_beyond_the_budget_is_alone():
    budget, meter = MemoryBudget(30), Meter()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda size: meter(budget, size), [5, 100, 5, 5, 100, 5] * 4))
    assert meter.most == 100


def test_a_large_request_is_not_passed_over_forever():
    budget = MemoryBudget(30)
    order = []
    budget.take(20)

    def hold(name, size):
        with budget.hold(size):
            order.append(name)

    large = threading.Thread(target=hold, args=("large", 30))
    large.start()
    while not budget._waiting:
        threading.Event().wait(0.001)
    small = threading.Thread(target=hold, args=("small", 5))  # would fit, and came later
    small.start()
    budget.give_back(20)
    large.join(10)
    small.join(10)
    assert order == ["large", "small"]


def test_an_error_gives_back():
    budget = MemoryBudget(30)
    with pytest.raises(ValueError, match="of the body"), budget.hold(30):
        raise ValueError("of the body")
    with budget.hold(30):
        pass
