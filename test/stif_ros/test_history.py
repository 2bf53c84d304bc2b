from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from stif_ros.history import Frame, FrameHistory


def frame(serial: int, stamp_ms: int, size: int = 1000) -> Frame:
    return Frame(serial, stamp_ms * 1_000_000, SimpleNamespace(data=bytes(size)))


def history_of(stamps_ms, seconds=10.0, megabytes=1.0) -> FrameHistory:
    history = FrameHistory(seconds, megabytes)
    for serial, stamp in enumerate(stamps_ms):
        history.add(frame(serial, stamp))
    return history


def test_frame_is_found_by_its_stamp_and_within_float_rounding():
    history = history_of([0, 33, 66])
    assert history.at(33_000_000).serial == 1
    assert history.at(33_000_400).serial == 1
    assert history.at(34_000_000) is None
    assert FrameHistory(1, 1).at(0) is None


def test_frames_after_one_are_in_order():
    history = history_of([0, 33, 66, 99])
    assert [f.serial for f in history.after(history.at(33_000_000))] == [2, 3]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=80), st.floats(0, 3), st.integers(1, 2000))
def test_ring_is_bounded_in_time_and_memory(gaps, seconds, size):
    history = FrameHistory(seconds, megabytes=0.005)
    stamp = 0
    for serial, gap in enumerate(gaps):
        stamp += gap
        history.add(frame(serial, stamp, size))
        assert history.newest_ns == stamp * 1_000_000
        if len(history) > 1:
            assert len(history) * size <= 5000
            assert history.newest_ns - history.oldest_ns <= seconds * 1e9
