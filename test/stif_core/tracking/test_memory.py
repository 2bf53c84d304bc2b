import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stif_core.tracking.memory import MemoryBank, MemoryFrame


def feature(value: float) -> np.ndarray:
    return np.full((1, 2, 1, 1), value, np.float32)


def indices(selected: np.ndarray) -> list[int]:
    return [int(value) for value in selected[0, :, 0, 0, 0]]


def bank_of(frames, capacity=8) -> MemoryBank:
    bank = MemoryBank(feature(0), capacity)
    for index in frames:
        bank.add(MemoryFrame(index, feature(index)))
    return bank


def test_new_bank_repeats_the_initial_frame():
    selected = bank_of([]).select(3)
    assert selected.shape == (1, 3, 2, 1, 1)
    assert indices(selected) == [0, 0, 0]


def test_selection_is_the_initial_one_in_between_and_the_newest():
    assert indices(bank_of([10, 20, 30, 40]).select(3)) == [0, 20, 40]


@given(st.integers(1, 10), st.lists(st.integers(1, 9), max_size=60), st.integers(1, 4))
def test_bank_is_bounded_and_keeps_the_initial_and_the_newest(capacity, gaps, count):
    frames = list(np.cumsum(gaps)) if gaps else []
    bank = bank_of([int(frame) for frame in frames], capacity)
    assert len(bank) <= capacity
    selected = indices(bank.select(count))
    assert len(selected) == count
    assert selected[0] == 0
    assert selected == sorted(selected)
    if frames and capacity > 1:
        assert bank.newest == frames[-1]
        if count > 1:
            assert selected[-1] == frames[-1]


def test_full_bank_keeps_a_spread_over_time():
    bank = bank_of(range(10, 1000, 10), capacity=8)
    kept = indices(bank.select(8))
    gaps = np.diff(kept)
    assert kept[0] == 0
    assert kept[-1] == 990
    assert gaps.max() <= 8 * gaps[gaps > 0].min() * 4  # no crowd at either end
    assert kept[4] < 990 - 100
