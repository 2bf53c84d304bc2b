import numpy as np
import pytest

from stif_core.data.folder import read_clip_list, read_folder, read_image


def test_everything_but_the_held_out_clips_is_read(data_root):
    data = read_folder(data_root, {"source/held"})
    assert {name: len(pictures) for name, pictures in data.stills.items()} == {"plain": 4, "masked": 4}
    assert list(data.clips) == ["source/walk"]
    assert len(data.backgrounds) == 2
    picture = data.stills["masked"][0]
    assert list(picture.boxes) == ["0"]  # the box of 2 px shows nothing
    assert picture.image().shape == (120, 160, 3)
    assert set(np.unique(picture.mask())) == {0, 255}


def test_missing_folder_names_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match=r"expected the folder .*stills"):
        read_folder(tmp_path, set())


def test_held_out_clip_that_is_not_there_is_an_error(data_root):
    with pytest.raises(ValueError, match="held-out clip source/gone is not in"):
        read_folder(data_root, {"source/gone"})


def test_broken_line_is_named(data_root):
    with (data_root / "stills" / "plain" / "boxes.jsonl").open("a") as index:
        index.write('\n{"file": "x.jpg"')
    with pytest.raises(ValueError, match=r"boxes\.jsonl line 5"):
        read_folder(data_root, set())


def test_missing_image_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.jpg"):
        read_image(tmp_path / "gone.jpg")


def test_committed_validation_clips_exist(shared_data, repository):
    clips = read_clip_list(repository / "config" / "train" / "validation_clips.txt")
    assert len(clips) >= 20
    assert all((shared_data / "train" / "videos" / clip / "tracks.jsonl").is_file() for clip in clips)
