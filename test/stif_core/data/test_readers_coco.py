import json
import shutil

import pytest

from stif_core.data.readers.coco import ANNOTATIONS, read_coco

BOXES = [
    {"id": 1, "image_id": 9, "category_id": 1, "iscrowd": 0, "bbox": [1.08, 187.69, 611.59, 285.84]},
    {"id": 2, "image_id": 9, "category_id": 3, "iscrowd": 0, "bbox": [0.0, 0.0, 10.5, 20.25]},
    {"id": 3, "image_id": 9, "category_id": 1, "iscrowd": 1, "bbox": [5, 5, 300, 300]},
    {"id": 4, "image_id": 25, "category_id": 1, "iscrowd": 1, "bbox": [5, 5, 300, 300]},
    {"id": 5, "image_id": 30, "category_id": 1, "iscrowd": 0, "bbox": [5, 5, 30, 0]},
    {"id": 6, "image_id": 34, "category_id": 1, "iscrowd": 0, "bbox": [5, 6, 30, 40]},
]


def tree(boxes):
    images = [{"id": number, "file_name": f"{number:012d}.jpg"} for number in (34, 9, 25, 30, 36)]
    outlines = [{"segmentation": [[1.0, 2.0, 3.0, 4.0]], "area": 5.0, **box} for box in boxes]
    content = {"info": {}, "images": images, "annotations": outlines, "categories": [{"id": 1, "name": "person"}]}
    return {ANNOTATIONS: json.dumps(content)} | {f"train2017/{image['file_name']}": None for image in images}


def test_crowds_and_boxes_without_area_are_left_out(write_tree, tracks_of):
    calls = []
    index = read_coco(write_tree(tree(BOXES)), lambda: calls.append(1))
    found = tracks_of(index)
    assert list(found) == ["000000000009.jpg", "000000000034.jpg"]
    boxes = [next(iter(track.values())) for track in found["000000000009.jpg"]]
    assert boxes[0] == pytest.approx([1.08, 187.69, 611.59, 285.84], abs=1e-4)
    assert boxes[1] == [0, 0, 10.5, 20.25]
    assert index.groups == [""]
    assert index.path(0).is_file()
    assert len(calls) == 3


@pytest.mark.parametrize("gone", [ANNOTATIONS, "train2017", "train2017/000000000034.jpg"])
def test_what_is_missing_is_named(write_tree, gone):
    path = write_tree(tree(BOXES)) / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=f"COCO 2017 is missing or half extracted: expected the .* {path}"):
        read_coco(path.parents[1] if "/" in gone else path.parent)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "JSONDecodeError"),
        ('{"images": []}', "KeyError 'annotations'"),
        (json.dumps({"images": [], "annotations": BOXES}), "KeyError 9"),
        ("[]", "TypeError"),
    ],
)
def test_broken_file_is_named(write_tree, text, message):
    root = write_tree(tree(BOXES) | {ANNOTATIONS: text})
    with pytest.raises(ValueError, match=rf"instances_train2017\.json is broken: {message}"):
        read_coco(root)
