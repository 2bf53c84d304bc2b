from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.data.index_builder import IndexBuilder

# Videos of 1 to 5 frames and up to 3 objects: the frames in which each is labelled, and the video's group.
video = st.tuples(st.integers(1, 5), st.lists(st.sets(st.integers(0, 4)), max_size=3), st.sampled_from("ab"))
videos = st.lists(video, max_size=4).map(lambda many: [*many, (1, [{0}], "a")])  # at least one box


def labelled_boxes(number, frames, tracks):
    """Boxes by frame of every object, all different."""
    return [
        {at: [number, name, at + 0.5, 1.0] for at in sorted(labelled) if at < frames}
        for name, labelled in enumerate(tracks)
    ]


def build(many):
    builder = IndexBuilder("drawn", Path("/data"))
    for number, (frames, tracks, group) in enumerate(many):
        boxes = labelled_boxes(number, frames, tracks)
        builder.add_video(
            [f"{number}/{frame}.jpg" for frame in range(frames)],
            {str(name): (list(track), list(track.values())) for name, track in enumerate(boxes)},
            group,
        )
    return builder.build()


@settings(deadline=None)
@given(videos)
def test_index_gives_back_what_was_added(many):
    index = build(many)
    drawn = [
        (number, frames, [track for track in labelled_boxes(number, frames, tracks) if track], group)
        for number, (frames, tracks, group) in enumerate(many)
    ]
    kept = [entry for entry in drawn if entry[2]]
    assert len(index.video_frames) == len(kept)
    for video_number, (number, frames, tracks, group) in enumerate(kept):
        first, end = index.video_frames[video_number]
        assert end - first == frames
        assert index.path(first) == Path(f"/data/{number}/0.jpg")
        assert index.groups[index.group_of_video[video_number]] == group
        numbers = index.tracks_of_video(video_number)
        assert len(numbers) == len(tracks)
        for track, boxes in zip(numbers, tracks, strict=True):
            at, found = index.track(track)
            assert at.tolist() == [first + position for position in boxes]
            np.testing.assert_array_equal(found, list(boxes.values()))


@settings(deadline=None)
@given(videos)
def test_boxes_in_a_frame_are_those_of_the_tracks_that_are_labelled_there(many):
    index = build(many)
    for video_number, (first, end) in enumerate(index.video_frames):
        for frame in range(first, end):
            expected = {
                track: boxes[at == frame][0].tolist()
                for track in index.tracks_of_video(video_number)
                for at, boxes in [index.track(track)]
                if (at == frame).any()
            }
            found = index.boxes_in_frame(video_number, frame)
            assert {track: box.tolist() for track, box in found.items()} == expected


def test_masks_are_kept_where_there_are_some():
    builder = IndexBuilder("masked", Path("/data"))
    builder.add_video(["a.jpg", "b.jpg"], {"0": ([1], [[1, 2, 3, 4]])}, masks=["", "b.png"])
    index = builder.build()
    assert index.mask_path(0) is None
    assert index.mask_path(1) == Path("/data/b.png")
    assert index.labelled(0).frame == 1
    assert index.labelled(0).box.tolist() == [1, 2, 3, 4]


def test_index_without_any_box_is_an_error():
    builder = IndexBuilder("empty", Path("/data"))
    builder.add_video(["a.jpg"], {"0": ([], [])})
    with pytest.raises(ValueError, match="no labelled box in /data"):
        builder.build()
