import shutil

import cv2
import pytest

from stif_core.data.readers.imagenet_det import read_imagenet_det
from stif_core.data.readers.imagenet_vid import read_imagenet_vid

SNIPPET = "ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000"


def xml(*objects):
    """Objects (track or None, class, xmin, ymin, xmax, ymax), written as in the data set: the maxima come first."""
    text = "<annotation>\n\t<folder>f</folder>\n\t<filename>000000</filename>\n\t<size><width>1280</width></size>\n"
    for track, name, x_min, y_min, x_max, y_max in objects:
        track_id = "" if track is None else f"<trackid>{track}</trackid>"
        text += (
            f"\t<object>\n\t\t{track_id}<name>{name}</name>\n\t\t<bndbox>\n\t\t\t<xmax>{x_max}</xmax>"
            f"<xmin>{x_min}</xmin><ymax>{y_max}</ymax><ymin>{y_min}</ymin>\n\t\t</bndbox>\n\t\t"
            "<occluded>1</occluded><generated>0</generated>\n\t</object>\n"
        )
    return text + "</annotation>\n"


def snippet(place, *frames):
    files = {}
    for number, content in enumerate(frames):
        files[f"Annotations/VID/train/{place}/{number:06d}.xml"] = content
        files[f"Data/VID/train/{place}/{number:06d}.JPEG"] = None
    return files


def vid():
    cat = xml((0, "n02121808", 0, 5, 9, 24))
    files = snippet(
        SNIPPET,
        xml((0, "n02121808", 0, 5, 9, 24), (1, "n02084071", 10, 10, 19, 19)),
        xml((1, "n02084071", 11, 10, 20, 19)),
        xml((0, "n02121808", 2, 5, 11, 24), (1, "n02084071", 5, 5, 4, 9)),
        xml(),
    )
    for number in (1, 2, 3):
        files |= snippet(f"ILSVRC2015_VID_train_000{number}/ILSVRC2015_train_0000000{number}", cat)
    return files


@pytest.mark.parametrize("home", ["", "ILSVRC2015/", "ILSVRC/"])
def test_every_object_of_a_snippet_is_a_track(write_tree, tracks_of, home):
    index = read_imagenet_vid(write_tree({home + path: text for path, text in vid().items()}))
    at = [f"{SNIPPET}/{number:06d}.JPEG" for number in range(4)]
    assert tracks_of(index)[at[0]] == [
        {at[0]: [0, 5, 10, 20], at[2]: [2, 5, 10, 20]},
        {at[0]: [10, 10, 10, 10], at[1]: [11, 10, 10, 10]},  # without the one that has no area
    ]
    assert index.video_frames.tolist() == [[0, 4], [4, 5], [5, 6], [6, 7]]
    assert index.boxes_in_frame(0, 0).keys() == {0, 1}
    assert [index.groups[group] for group in index.group_of_video] == ["", "n02121808", "n02121808", "n02121808"]
    assert cv2.imread(str(index.path(0))).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "gone",
    [
        "Annotations/VID/train",
        "Data/VID/train",
        "Annotations/VID/train/ILSVRC2015_VID_train_0003",
        f"Data/VID/train/{SNIPPET}",
    ],
)
def test_missing_folder_of_vid_is_named(write_tree, gone):
    root = write_tree(vid())
    shutil.rmtree(root / gone)
    with pytest.raises(
        ValueError, match=rf"ILSVRC VID is missing or half extracted: expected the folder {root / gone}"
    ):
        read_imagenet_vid(root)


def test_missing_root_names_the_folder_below_it(tmp_path):
    with pytest.raises(ValueError, match=rf"expected the folder {tmp_path}/gone/Annotations/VID/train"):
        read_imagenet_vid(tmp_path / "gone")


def test_missing_frame_is_a_mismatch(write_tree):
    root = write_tree(vid())
    (root / f"Data/VID/train/{SNIPPET}/000002.JPEG").unlink()
    with pytest.raises(ValueError, match=rf"{SNIPPET} is broken .* its 3 images do not go with the 4 XML files"):
        read_imagenet_vid(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>\n<object>\n", r"000001\.xml: no element found: line 3"),
        (xml((0, "n0", 1, 2, 3, "")), r"000001\.xml: object 1 has no bndbox with numbers xmin"),
        ("<annotation><object><name>n0</name></object></annotation>", r"000001\.xml: object 1 has no bndbox"),
    ],
)
def test_broken_xml_is_named(write_tree, text, message):
    root = write_tree(vid() | {f"Annotations/VID/train/{SNIPPET}/000001.xml": text})
    with pytest.raises(ValueError, match=message):
        read_imagenet_vid(root)


def det():
    files = {}
    for place, content in {
        "ILSVRC2013_train/n00007846/n00007846_103856": xml(
            (None, "n00007846", 1, 2, 10, 21), (None, "n03001627", 0, 0, 4, 4), (None, "n03001627", 7, 7, 6, 9)
        ),
        "ILSVRC2013_train/n00007846/n00007846_2": xml(),
        **{f"ILSVRC2014_train_000{i}/ILSVRC2014_train_0000000{i}": xml((None, "n0", 0, 0, 9, 9)) for i in range(7)},
    }.items():
        files |= {f"Annotations/DET/train/{place}.xml": content, f"Data/DET/train/{place}.JPEG": None}
    files["Data/DET/train/ILSVRC2013_train/n00007846/n00007846_3.JPEG"] = None
    files["Data/DET/train/ILSVRC2013_train_extra0/ILSVRC2013_train_00000001.JPEG"] = None
    return files


@pytest.mark.parametrize("home", ["", "ILSVRC2015/", "ILSVRC/"])
def test_every_object_of_an_image_is_a_track_of_one_frame(write_tree, tracks_of, home):
    index = read_imagenet_det(write_tree({home + path: text for path, text in det().items()}))
    image = "ILSVRC2013_train/n00007846/n00007846_103856.JPEG"
    found = tracks_of(index)
    assert found[image] == [{image: [1, 2, 10, 20]}, {image: [0, 0, 5, 5]}]
    assert len(found) == 8  # the two images without objects, and the extra one, are left out
    assert index.path(0).is_file()
    assert index.groups == [""]


@pytest.mark.parametrize("part", ["Annotations", "Data"])
@pytest.mark.parametrize("gone", ["ILSVRC2013_train", "ILSVRC2014_train_0006"])
def test_missing_folder_of_det_is_named(write_tree, part, gone):
    root = write_tree(det())
    path = root / part / "DET" / "train" / gone
    shutil.rmtree(path)
    with pytest.raises(ValueError, match=f"ILSVRC DET is missing or half extracted: expected the folder {path}"):
        read_imagenet_det(root)


def test_missing_image_of_det_is_named(write_tree):
    root = write_tree(det())
    path = root / "Data/DET/train/ILSVRC2014_train_0004/ILSVRC2014_train_00000004.JPEG"
    path.unlink()
    with pytest.raises(ValueError, match=f"expected the file {path}"):
        read_imagenet_det(root)
