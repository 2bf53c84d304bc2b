import shutil

import cv2
import pytest

from stif_core.data.readers.got10k import read_got10k

A, B, C = (f"GOT-10k_Train_00000{number}" for number in (1, 2, 3))


def video(place, frames=4, boxes=None, absent="0\n0\n1\n0\n", cover="8\n0\n8\n3\n", group="ctenophore"):
    boxes = boxes or "347.0000,443.0000,429.0000,272.0000\n" * frames
    return {f"{place}/{number:08d}.jpg": None for number in range(1, frames + 1)} | {
        f"{place}/groundtruth.txt": boxes,
        f"{place}/absence.label": absent,
        f"{place}/cover.label": cover,
        f"{place}/cut_by_image.label": "0\n" * frames,
        f"{place}/meta_info.ini": "[METAINFO]\nurl: https://youtu.be/x\nbegin: 00:00:24\nend: 00:00:34\n"
        f"anno_fps: 10Hz\nobject_class: {group}\nmotion_class: swimming\nresolution: (1920, 1080)",
    }


@pytest.fixture
def root(write_tree):
    files = {"train/list.txt": f"{A}\n{B}\n{C}"}
    files |= video(f"train/{A}") | video(f"train/{B}", group="bear") | video(f"train/{C}")
    return write_tree(files)


def test_absent_and_hidden_frames_carry_no_row_and_boxes_count_from_zero(root, tracks_of):
    index = read_got10k(root)
    assert index.name == "got10k"
    first = f"train/{A}/00000001.jpg"
    last = f"train/{A}/00000004.jpg"
    assert tracks_of(index)[first] == [{first: [346, 442, 429, 272], last: [346, 442, 429, 272]}]
    assert len(index.frames) == 12
    assert index.absent.tolist() == [1, 2, 5, 6, 9, 10]  # hidden in the second frame of each video, absent in the third
    assert cv2.imread(str(index.path(11))).shape == (8, 8, 3)
    assert [index.groups[group] for group in index.group_of_video] == ["ctenophore", "bear", "ctenophore"]


def test_boxes_without_area_or_number_carry_no_row(write_tree, root, tracks_of):
    write_tree({f"train/{A}/groundtruth.txt": "1,1,0,5\n\n1,1,5,5\nnan,nan,nan,nan\n2,3,4,5\n"})
    index = read_got10k(root)
    assert next(iter(tracks_of(index).values())) == [{f"train/{A}/00000004.jpg": [1, 2, 4, 5]}]


def test_progress_counts_videos(root):
    calls = []
    read_got10k(root, lambda: calls.append(1))
    assert len(calls) == 3


def test_zips_extracted_into_folders_of_their_own_are_found(root):
    split = root / "train" / "GOT-10k_Train_split_01"
    split.mkdir()
    shutil.move(root / "train" / B, split / B)
    index = read_got10k(root)
    assert index.path(4) == split / B / "00000001.jpg"
    assert index.path(4).is_file()


def test_validation_set_is_read_on_request(root, write_tree):
    write_tree({"val/list.txt": "GOT-10k_Val_000001\n"} | video("val/GOT-10k_Val_000001"))
    assert read_got10k(root, split="val").frames[0] == b"val/GOT-10k_Val_000001/00000001.jpg"


def test_excluded_videos_are_left_out(root, tmp_path):
    (tmp_path / "exclude.txt").write_text(f"{A}\n{C}")
    assert read_got10k(root, exclude=tmp_path / "exclude.txt").frames[0].decode() == f"train/{B}/00000001.jpg"


def test_lists_hold_positions_too(root, tmp_path, tracks_of):
    (tmp_path / "split.txt").write_text("2\n0\n")
    (tmp_path / "exclude.txt").write_text(f"{A}\n")
    index = read_got10k(root, videos=tmp_path / "split.txt", exclude=tmp_path / "exclude.txt")
    assert list(tracks_of(index)) == [f"train/{C}/00000001.jpg"]


def test_missing_list_tells_where_to_get_it(root, tmp_path):
    with pytest.raises(ValueError, match=r"no list of videos .*gone\.txt: .*visionml/pytracking.*data_specs"):
        read_got10k(root, exclude=tmp_path / "gone.txt")


def test_list_of_something_else_is_an_error(root, tmp_path):
    (tmp_path / "exclude.txt").write_text(f"{A}\n7\n")
    with pytest.raises(ValueError, match=r"exclude\.txt line 2: '7' is no video"):
        read_got10k(root, exclude=tmp_path / "exclude.txt")


@pytest.mark.parametrize("gone", ["train/list.txt", f"train/{B}/cover.label", f"train/{B}/meta_info.ini", f"train/{B}"])
def test_what_is_missing_is_named(root, gone):
    path = root / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=f"GOT-10k is missing or half extracted: expected the .* {path}"):
        read_got10k(root)


def test_missing_image_is_a_mismatch(root):
    (root / "train" / B / "00000004.jpg").unlink()
    with pytest.raises(ValueError, match=f"{B} is broken or half extracted: it has 3 images, 4 boxes, 4 absence"):
        read_got10k(root)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("groundtruth.txt", "1,2,3,4\n1,2,3\n", r"groundtruth\.txt line 2: expected x,y,w,h, got '1,2,3'"),
        ("cover.label", "8\n8\nx\n8\n", r"cover\.label line 3: expected whole numbers"),
    ],
)
def test_malformed_line_is_named(root, write_tree, file, text, message):
    write_tree({f"train/{A}/{file}": text})
    with pytest.raises(ValueError, match=message):
        read_got10k(root)


def test_nothing_is_written_into_the_data_set(root):
    before = sorted(root.rglob("*"))
    read_got10k(root)
    assert sorted(root.rglob("*")) == before
