from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.data.index_builder import IndexBuilder
from stif_core.data.sources import TrackSource

BOX = [10.0, 10.0, 30.0, 20.0]


def source(*videos, balance=1.0):
    """A source of videos given as (group, number of frames, ids)."""
    builder = IndexBuilder("test", Path("/data"))
    for i, (group, frames, ids) in enumerate(videos):
        names = [f"{i}/{t}.jpg" for t in range(frames)]
        builder.add_video(names, {name: (range(frames), [BOX] * frames) for name in ids}, group)
    return TrackSource(builder.build(), balance, smallest_side=6, largest_aspect=10)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 20), st.integers(0, 1000))
def test_memory_and_query_lie_within_the_window_on_both_sides(frames, memory_frames, window, seed):
    rng = np.random.default_rng(seed)
    memory, query = source(("a", frames, ["0"])).draw_frames(0, memory_frames, window, rng)
    positions = [place.frame for place in memory]
    assert len(positions) == memory_frames
    assert positions == sorted(positions)
    assert all(abs(position - query.frame) <= window for position in positions)
    if frames > 1:
        assert query.frame not in positions
    else:
        assert positions == [0] * memory_frames  # a still gives them all
    if min(window, frames - 1) >= memory_frames:
        assert len(set(positions)) == memory_frames


def test_nearest_frame_is_the_memory_where_none_lies_within_the_window():
    builder = IndexBuilder("test", Path("/data"))
    builder.add_video([f"{t}" for t in range(300)], {"0": ([0, 100, 299], [BOX] * 3)})
    sparse = TrackSource(builder.build(), 1.0, 6, 10)
    rng = np.random.default_rng(0)
    for _ in range(20):
        memory, query = sparse.draw_frames(0, 2, 60, rng)
        assert {place.frame for place in memory} == {{0: 100, 100: 0, 299: 100}[query.frame]}


def test_memory_comes_from_before_and_after_the_query():
    rng = np.random.default_rng(0)
    videos = source(("a", 100, ["0"]))
    before = [place.frame < query.frame for _ in range(50) for memory, query in [videos.draw_frames(0, 3, 30, rng)]
              for place in memory]  # fmt: skip
    assert 0.3 < np.mean(before) < 0.7


def hidden_in(absent, rows, frames=40):
    """A video whose object is labelled in the frames ``rows``, moving by a pixel a frame, and absent in others."""
    builder = IndexBuilder("test", Path("/data"))
    builder.add_video(["first.jpg"], {"0": ([0], [BOX])})
    boxes = [[float(row), 10.0, 30.0, 20.0] for row in rows]
    builder.add_video([f"{t}.jpg" for t in range(frames)], {"0": (rows, boxes)}, absent=absent)
    return TrackSource(builder.build(), 1.0, 6, 10)


@settings(deadline=None)
@given(st.sets(st.integers(0, 39), min_size=1, max_size=38), st.integers(1, 40), st.integers(1, 3), st.integers(0, 99))
def test_absent_frame_lies_within_the_window_of_every_memory_frame(absent, window, memory_frames, seed):
    rows = sorted(set(range(40)) - absent)
    drawn, rng = hidden_in(sorted(absent), rows), np.random.default_rng(seed)
    memory, query = drawn.draw_frames(1, memory_frames, window, rng)
    assert not {place.frame - 1 for place in [*memory, query]} & absent
    place = drawn.draw_absent(1, memory, window, rng)
    near = {t for t in absent if all(abs(t + 1 - memory_place.frame) <= window for memory_place in memory)}
    if not near:
        assert place is None
    else:
        assert place.frame - 1 in near
        nearest = min(abs(t - (place.frame - 1)) for t in rows)
        assert abs(place.box[0] - (place.frame - 1)) == nearest  # the box tells in which frame it was labelled


def test_frame_without_a_label_is_not_an_absent_one():
    drawn, rng = hidden_in([], [0, 1, 5]), np.random.default_rng(0)
    memory, _ = drawn.draw_frames(1, 1, 40, rng)
    state = rng.bit_generator.state
    assert drawn.draw_absent(1, memory, 40, rng) is None
    assert rng.bit_generator.state == state


def test_balance_weighs_groups():
    videos = [("large", 1, ["0"])] * 90 + [("small", 1, ["0"])] * 10
    rng = np.random.default_rng(0)
    for balance, expected in ((1.0, 0.1), (0.5, 0.25), (0.0, 0.5)):
        drawn = source(*videos, balance=balance)
        small = np.mean([drawn.draw_track(rng) >= 90 for _ in range(2000)])
        assert small == pytest.approx(expected, abs=0.04)


def test_boxes_that_are_too_small_or_too_long_are_never_drawn():
    builder = IndexBuilder("test", Path("/data"))
    boxes = [[0, 0, 30, 20], [0, 0, 5, 20], [0, 0, 200, 19]]
    builder.add_video(["a", "b", "c"], {"0": ([0, 1, 2], boxes)})
    builder.add_video(["d"], {"0": ([0], [[0, 0, 3, 3]])})
    drawn = TrackSource(builder.build(), 1.0, smallest_side=6, largest_aspect=10)
    rng = np.random.default_rng(0)
    for _ in range(30):
        assert drawn.draw_track(rng) == 0
        assert drawn.draw_frames(0, 1, 10, rng)[1].frame == 0
    with pytest.raises(ValueError, match="no box of test in /data is large enough"):
        TrackSource(builder.build(), 1.0, smallest_side=100, largest_aspect=10)


def test_look_alike_is_of_the_same_group_and_another_video():
    builder = IndexBuilder("test", Path("/data"))
    for group in ("cars", "cats"):
        for i in range(3):
            builder.add_video([f"{group}{i}"], {"0": ([0], [BOX])}, group, [f"{group}{i}.mask"])
    builder.add_video(["plain"], {"0": ([0], [BOX])}, "plain")
    drawn = TrackSource(builder.build(), 1.0, 6, 10)
    rng = np.random.default_rng(0)
    assert drawn.masked
    _, cat = drawn.draw_frames(4, 0, 1, rng)
    found = {drawn.index.path(drawn.draw_look_alike(cat, rng).frame).name for _ in range(50)}
    assert found == {"cats0", "cats2"}
    _, plain = drawn.draw_frames(6, 0, 1, rng)
    assert drawn.draw_look_alike(plain, rng) is None
    assert drawn.index.mask_path(drawn.draw_masked(rng).frame) is not None
