"""Work that threads join: every item is done once, in whichever thread, and what fails is told to who asked."""

from __future__ import annotations

import threading

import pytest

from tinybev.shared_work import SharedWork

PATIENCE_S = 10.0


def test_results_are_in_order_and_a_thread_without_help_does_all() -> None:
    work = SharedWork()
    assert work.map(lambda number: number**2, range(5)) == [0, 1, 4, 9, 16]
    assert work.map(lambda number: number, []) == []
    work.join()  # nothing is left


def test_a_thread_that_joins_takes_what_is_not_begun() -> None:
    work, begun, joined = SharedWork(), threading.Event(), threading.Event()
    threads: list[str] = []

    def item(number: int) -> int:
        threads.append(threading.current_thread().name)
        if number == 0:  # held until the other thread has done all others
            begun.set()
            assert joined.wait(PATIENCE_S)
        return -number

    def help_once_begun() -> None:
        assert begun.wait(PATIENCE_S)
        work.join()
        joined.set()

    helper = threading.Thread(target=help_once_begun, name="helper")
    helper.start()
    assert work.map(item, range(4)) == [0, -1, -2, -3]
    helper.join()
    assert threads == [threading.current_thread().name, "helper", "helper", "helper"]


def test_map_waits_for_what_another_thread_is_at() -> None:
    work, begun, taken, release = SharedWork(), threading.Event(), threading.Event(), threading.Event()

    def item(number: int) -> int:
        if threading.current_thread().name == "helper":
            taken.set()
            assert release.wait(PATIENCE_S)
        else:
            begun.set()
            assert taken.wait(PATIENCE_S)
            release.set()
        return number

    def help_once_begun() -> None:
        assert begun.wait(PATIENCE_S)
        work.join()

    helper = threading.Thread(target=help_once_begun, name="helper")
    helper.start()
    assert work.map(item, [0, 1]) == [0, 1]
    helper.join()


def test_a_failure_reaches_who_asked_once_all_is_done() -> None:
    work, done = SharedWork(), []

    def item(number: int) -> None:
        done.append(number)
        if number == 1:
            raise ValueError("item 1 failed")

    with pytest.raises(ValueError, match="item 1 failed"):
        work.map(item, range(3))
    assert done == [0, 1, 2]
