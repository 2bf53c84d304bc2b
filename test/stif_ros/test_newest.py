import threading
import time

from stif_ros.newest import NewestWorker


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_a_slow_worker_takes_the_newest_and_counts_the_replaced():
    done, may_go_on = [], threading.Event()

    def work(item, replaced):
        done.append((item, replaced))
        may_go_on.wait(5)

    worker = NewestWorker(work)
    worker.put(1)
    wait_until(lambda: done)
    for item in (2, 3, 4):
        worker.put(item)
    may_go_on.set()
    wait_until(lambda: len(done) == 2)
    worker.stop()
    assert done == [(1, 0), (4, 2)]


def test_wake_calls_without_an_item():
    done = []
    worker = NewestWorker(lambda item, replaced: done.append((item, replaced)))
    worker.wake()
    wait_until(lambda: done)
    worker.stop()
    assert done == [(None, 0)]


def test_stop_waits_for_the_item_in_work():
    begun, finished = threading.Event(), []

    def work(item, replaced):
        begun.set()
        time.sleep(0.1)
        finished.append(item)

    worker = NewestWorker(work)
    worker.put("image")
    begun.wait(5)
    worker.stop()
    assert finished == ["image"]
