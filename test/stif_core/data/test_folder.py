import json

import numpy as np
import pytest

from stif_core.data.folder import read_clip_list, read_folder


def test_everything_but_the_held_out_clips_is_read(data_root):
    data = read_folder(data_root, {"source/held"})
    assert data.stills.groups == ["masked", "plain"]
    assert len(data.stills.video_frames) == 8  # every still is a video of one frame
    assert len(data.stills.boxes) == 16
    assert data.stills.path(0) == data_root / "stills" / "masked" / "0.jpg"
    assert data.stills.mask_path(0) == data_root / "stills" / "masked" / "0.mask.png"
    assert data.stills.mask_path(4) is None
    assert len(data.backgrounds) == 2


def test_clip_is_one_track_per_id_over_its_frames(data_root):
    videos = read_folder(data_root, {"source/held"}).videos
    assert len(videos.video_frames) == 1
    frames, boxes = videos.track(0)
    assert [videos.path(frame).name for frame in frames] == [f"{i}.jpg" for i in range(5)]
    np.testing.assert_allclose(boxes, [[20 + 5 * i, 30, 40, 40] for i in range(5)])


def test_frame_without_an_id_and_box_without_area_are_no_rows(data_root):
    index = data_root / "videos" / "source" / "walk" / "tracks.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    lines[1]["boxes"] = {"other": [1, 2, 30, 40]}
    lines[2]["boxes"]["0"] = [10, 10, 0, 20]
    index.write_text("\n".join(json.dumps(line) for line in lines))
    videos = read_folder(data_root, {"source/held"}).videos
    assert [len(videos.track(track)[0]) for track in videos.tracks_of_video(0)] == [3, 1]
    assert list(videos.boxes_in_frame(0, 1)) == [1]


def test_missing_folder_names_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match=r"expected the folder .*stills"):
        read_folder(tmp_path, set())


def test_held_out_clip_that_is_not_there_is_an_error(data_root):
    with pytest.raises(ValueError, match="held-out clip source/gone is not in"):
        read_folder(data_root, {"source/gone"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file": "x.jpg"', "Expecting"),
        ("[1, 2]", "expected an object"),
        ('{"file": "x.jpg"}', "no 'boxes'"),
        ('{"boxes": [[1, 2, 3, 4]]}', "no 'file'"),
        ('{"file": "x.jpg", "boxes": [[1, 2, 3]]}', r"expected a box \[x, y, w, h\], got \[1, 2, 3\]"),
        ('{"file": "x.jpg", "boxes": [[1, 2, NaN, 4]]}', "expected a box"),
        ('{"file": "x.jpg", "boxes": [["a", 2, 3, 4]]}', "expected a box"),
    ],
)
def test_broken_line_is_named(data_root, line, message):
    with (data_root / "stills" / "plain" / "boxes.jsonl").open("a") as index:
        index.write("\n" + line)
    with pytest.raises(ValueError, match=r"boxes\.jsonl line 5: .*" + message):
        read_folder(data_root, set())


def test_committed_validation_clips_exist(shared_data, repository):
    clips = read_clip_list(repository / "config" / "train" / "validation_clips.txt")
    assert len(clips) >= 20
    assert all((shared_data / "train" / "videos" / clip / "tracks.jsonl").is_file() for clip in clips)
