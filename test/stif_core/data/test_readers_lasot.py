import shutil

import pytest

from stif_core.data.readers import lasot
from stif_core.data.readers.lasot import TEST_VIDEOS, read_lasot


def video(name, number):
    place = f"{name}/{name}-{number}"
    return {f"{place}/img/{frame:08d}.jpg": None for frame in (1, 2, 3, 4)} | {
        f"{place}/groundtruth.txt": "1,1,40,30\n3,4,40,30\n5,6,40,30\n0,0,0,0\n",
        f"{place}/full_occlusion.txt": "0,1,0,0",
        f"{place}/out_of_view.txt": "0,0,0,1",
        f"{place}/nlp.txt": "a cat on a mat",
    }


@pytest.fixture
def root(write_tree, monkeypatch):
    """Two of the classes, with their test videos."""
    monkeypatch.setattr(lasot, "TEST_VIDEOS", {name: TEST_VIDEOS[name] for name in ("airplane", "rubicCube")})
    files = {}
    for name in ("airplane", "rubicCube"):
        for number in range(1, 21):
            files |= video(name, number)
    return write_tree(files)


def test_the_official_split_has_1120_training_and_280_test_videos():
    assert len(TEST_VIDEOS) == 70
    assert all(len(set(numbers)) == 4 and 1 <= min(numbers) <= max(numbers) <= 20 for numbers in TEST_VIDEOS.values())


def test_test_videos_are_left_out(root, tracks_of):
    index = read_lasot(root)
    assert len(index.video_frames) == 32
    assert not {f"airplane/airplane-{number}/img/00000001.jpg" for number in (1, 9, 13, 15)} & set(tracks_of(index))
    assert index.groups == ["airplane", "rubicCube"]


def test_hidden_and_absent_frames_carry_no_row_and_boxes_count_from_zero(root, tracks_of):
    place = "airplane/airplane-2/img"
    assert tracks_of(read_lasot(root))[f"{place}/00000001.jpg"] == [
        {f"{place}/00000001.jpg": [0, 0, 40, 30], f"{place}/00000003.jpg": [4, 5, 40, 30]}
    ]


def test_hidden_and_absent_frames_are_known_as_such(root, write_tree):
    # A box without an area in a frame that is labelled as seen is a missing label, not an absence.
    write_tree({"airplane/airplane-2/out_of_view.txt": "0,0,0,0"})
    index = read_lasot(root)
    assert [index.frames[frame].decode() for frame in index.absent[:3]] == [
        "airplane/airplane-2/img/00000002.jpg",
        "airplane/airplane-3/img/00000002.jpg",
        "airplane/airplane-3/img/00000004.jpg",
    ]
    assert len(index.absent) == 1 + 31 * 2
    assert not set(index.absent) & set(index.row_frame)


@pytest.mark.parametrize("gone", ["airplane", "airplane/airplane-5", "airplane/airplane-5/img", "airplane/airplane-2"])
def test_missing_folder_is_named(root, gone):
    shutil.rmtree(root / gone)
    with pytest.raises(ValueError, match=f"LaSOT is missing or half extracted: expected the folder {root / gone}"):
        read_lasot(root)


def test_missing_test_video_does_not_matter(root):
    shutil.rmtree(root / "airplane" / "airplane-1")
    assert len(read_lasot(root).video_frames) == 32


def test_missing_label_file_is_named(root):
    (root / "airplane" / "airplane-2" / "out_of_view.txt").unlink()
    with pytest.raises(ValueError, match=r"expected the file .*airplane-2/out_of_view\.txt"):
        read_lasot(root)


def test_labels_that_do_not_go_with_the_images_are_an_error(root, write_tree):
    write_tree({"airplane/airplane-3/full_occlusion.txt": "0,1,0"})
    with pytest.raises(ValueError, match=r"airplane-3 is broken .* 4 images, 4 boxes, 3 full_occlusion_labels"):
        read_lasot(root)
