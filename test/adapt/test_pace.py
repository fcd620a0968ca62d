"""The thread: its share of time by arithmetic, its life by events."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event, get_native_id

import pytest
import torch

from gckpl_ros.adapt.adapter import Pace, rest_s
from gckpl_ros.config import AdaptConfig


@pytest.mark.parametrize(("spent_s", "budget", "rest"), [(0.2, 100.0, 1.8), (0.05, 500.0, 0.05), (3.0, 1000.0, 0.0)])
def test_rest_makes_work_its_share_of_the_time(spent_s, budget, rest):
    assert rest_s(spent_s, budget) == pytest.approx(rest)


class Work:
    """Counts calls from the thread; ``done`` is set at the third."""

    def __init__(self):
        self.steps = self.kept = 0
        self.done = Event()
        self.niceness = None

    def advance(self):
        self.steps += 1
        if sys.platform == "linux":
            self.niceness = os.getpriority(os.PRIO_PROCESS, get_native_id())
        if self.steps == 3:
            self.done.set()
        return True

    def keep(self):
        self.kept += 1


def test_it_works_until_it_is_stopped_and_begins_again():
    work = Work()
    pace = Pace(work.advance, work.keep, AdaptConfig(budget_ms_per_s=1000))
    for _ in range(2):
        pace.start()
        pace.start()
        assert work.done.wait(30)
        pace.stop()
        pace.stop()
        steps = work.steps
        work.steps = 0
        work.done.clear()
    assert steps >= 3 and work.steps == 0


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
def test_it_gives_way_to_other_threads():
    work, own = Work(), os.getpriority(os.PRIO_PROCESS, 0)
    pace = Pace(work.advance, work.keep, AdaptConfig(budget_ms_per_s=1000))
    pace.start()
    assert work.done.wait(30)
    pace.stop()
    assert work.niceness == max(own, 10) and os.getpriority(os.PRIO_PROCESS, 0) == own


def test_it_computes_in_one_thread_and_leaves_the_others_as_they_were():
    seen, done, before = [], Event(), torch.get_num_threads()

    def advance():
        seen.append(threads())
        done.set()
        return True

    torch.set_num_threads(3)
    try:
        pace = Pace(advance, lambda: None, AdaptConfig(budget_ms_per_s=1000))
        pace.start()
        assert done.wait(30)
        pace.stop()
        with ThreadPoolExecutor(1) as pool:
            later = pool.submit(threads).result()
        assert (seen[0], later, threads()) == (1, 3, 3)
    finally:
        torch.set_num_threads(before)


def threads():
    """Of torch, once this thread has computed something."""
    torch.ones(100_000).sum()
    return torch.get_num_threads()


def test_it_saves_now_and_then_even_without_a_budget():
    kept = Event()
    never = AdaptConfig(budget_ms_per_s=0).model_copy(update={"save_every_s": 0.0})
    work = Work()
    pace = Pace(work.advance, kept.set, never)
    pace.start()
    assert kept.wait(30)
    pace.stop()
    assert work.steps == 0
