"""One thread does what panels ask, in order, and ends when there is nothing to do."""

import threading
import time

import pytest

from gmnm_lib.live.worker import Worker


class Listener:
    def __init__(self):
        self.errors: list[BaseException] = []
        self.was_displaced = False

    def failed(self, error):
        self.errors.append(error)

    def displaced(self):
        self.was_displaced = True


@pytest.fixture
def worker(eventually):
    worker = Worker(linger=0.05)
    yield worker
    assert eventually(lambda: not worker.alive)


def test_a_call_gives_its_result_from_the_workers_own_thread(worker):
    assert worker.call(lambda: threading.current_thread().name) == "gmnm-live"


def test_a_call_raises_what_its_function_raised(worker):
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0)


def test_a_call_within_a_call_does_not_wait_for_itself(worker):
    assert worker.call(lambda: worker.call(lambda: 7)) == 7


def test_of_the_jobs_of_one_kind_that_wait_only_the_last_is_done(worker, eventually):
    gate, done = threading.Event(), []
    panel = Listener()
    worker.submit(panel, "block", gate.wait)
    assert eventually(lambda: not worker._jobs)  # the thread is inside the first job
    for move in range(500):
        worker.submit(panel, "draw", lambda move=move: done.append(move))
    gate.set()
    worker.call(lambda: None)
    assert done == [499]


def test_an_error_goes_to_the_panel_that_caused_it_and_the_worker_lives_on(worker):
    culprit, other = Listener(), Listener()
    done = []
    worker.submit(culprit, "draw", lambda: 1 / 0)
    worker.submit(culprit, "leave", lambda: (_ for _ in ()).throw(SystemExit))
    worker.submit(other, "draw", lambda: done.append(1))
    worker.call(lambda: None)
    assert [type(error) for error in culprit.errors] == [ZeroDivisionError, SystemExit]
    assert (other.errors, done) == ([], [1])


def test_jobs_are_done_between_the_slices_of_a_training(worker, eventually):
    panel, events = Listener(), []

    def slices():
        for step in range(50):
            events.append(step)
            time.sleep(0.002)
            yield

    worker.train(panel, slices())
    assert eventually(lambda: len(events) > 3)
    worker.submit(panel, "draw", lambda: events.append("draw"))
    assert eventually(lambda: not worker.trains(panel))
    assert events.index("draw") < len(events) - 1
    assert [event for event in events if event != "draw"] == list(range(50))


def test_a_second_training_takes_the_place_of_the_first(worker):
    first, second = Listener(), Listener()
    closed = threading.Event()

    def endless(event=None):
        try:
            while True:
                time.sleep(0.001)
                yield
        finally:
            if event:
                event.set()

    worker.train(first, endless(closed))
    worker.call(lambda: None)
    worker.train(second, endless())
    assert first.was_displaced
    assert closed.wait(5)
    assert worker.trains(second)
    worker.pause(second)
    assert not worker.trains(second)


def test_an_error_in_a_slice_ends_that_training_and_is_told(worker, eventually):
    panel = Listener()

    def slices():
        yield
        raise ArithmeticError("overflow")

    worker.train(panel, slices())
    assert eventually(lambda: panel.errors)
    assert isinstance(panel.errors[0], ArithmeticError)
    assert not worker.trains(panel)


def test_pausing_another_panel_changes_nothing(worker):
    panel = Listener()
    worker.train(panel, iter(lambda: time.sleep(0.001), 1))
    worker.pause(Listener())
    assert worker.trains(panel)
    worker.pause(panel)


def test_the_thread_ends_when_idle_and_starts_again_on_demand(worker, eventually, live_threads):
    worker.call(lambda: None)
    assert eventually(lambda: not worker.alive)
    assert worker.call(lambda: 3) == 3
    assert len([thread for thread in live_threads() if thread is worker._thread]) == 1
