import shutil

import pytest

from stif_core.data.readers.trackingnet import read_trackingnet

VIDEO = "-3TIfnTSM6c_2"


def chunk(number, video=VIDEO, frames=11):
    return {f"TRAIN_{number}/frames/{video}/{frame}.jpg": None for frame in range(frames)} | {
        f"TRAIN_{number}/anno/{video}.txt": "1.00,102.00,245.00,174.00\r\n" + "-4.07,96.34,236.30,172.80\r\n" * 10,
        f"TRAIN_{number}/zips/{video}.zip": "zip",
    }


def test_frames_are_in_order_of_their_numbers_and_boxes_count_from_zero(write_tree):
    index = read_trackingnet(write_tree(chunk(0) | chunk(11)))
    assert [index.frames[i].decode() for i in (1, 2, 10)] == [
        f"TRAIN_0/frames/{VIDEO}/{number}.jpg" for number in (1, 2, 10)
    ]
    assert index.frames[11].decode() == f"TRAIN_11/frames/{VIDEO}/0.jpg"
    frames, boxes = index.track(0)
    assert frames.tolist() == list(range(11))
    assert boxes[0].tolist() == [0, 101, 245, 174]
    assert boxes[10].tolist() == pytest.approx([-5.07, 95.34, 236.3, 172.8], abs=1e-4)
    assert index.groups == [""]


def test_chunks_can_be_chosen(write_tree, tracks_of):
    root = write_tree(chunk(0) | chunk(1) | chunk(2))
    assert list(tracks_of(read_trackingnet(root, chunks=[2, 0]))) == [
        f"TRAIN_{number}/frames/{VIDEO}/0.jpg" for number in (2, 0)
    ]
    with pytest.raises(ValueError, match=r"expected the folder .*TRAIN_3/anno"):
        read_trackingnet(root, chunks=range(4))


def test_no_chunk_at_all_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=rf"TrackingNet is missing .*: expected the folder {tmp_path}/TRAIN_0/anno"):
        read_trackingnet(tmp_path)


def test_zip_that_was_not_extracted_is_named(write_tree):
    root = write_tree(chunk(0))
    frames = root / "TRAIN_0" / "frames" / VIDEO
    shutil.rmtree(frames)
    with pytest.raises(ValueError, match=rf"expected the folder {frames} \(extract {root}/TRAIN_0/zips/{VIDEO}\.zip"):
        read_trackingnet(root)


def test_missing_frames_without_a_zip_are_named(write_tree):
    root = write_tree(chunk(0))
    shutil.rmtree(root / "TRAIN_0" / "frames")
    shutil.rmtree(root / "TRAIN_0" / "zips")
    with pytest.raises(ValueError, match=rf"expected the folder {root}/TRAIN_0/frames/{VIDEO}$"):
        read_trackingnet(root)


def test_zip_that_was_extracted_in_part_is_a_mismatch(write_tree):
    root = write_tree(chunk(0))
    (root / "TRAIN_0" / "frames" / VIDEO / "5.jpg").unlink()
    with pytest.raises(ValueError, match=f"{VIDEO} is broken or half extracted: it has 10 images, 11 boxes"):
        read_trackingnet(root)


def test_malformed_line_is_named(write_tree):
    root = write_tree(chunk(0) | {f"TRAIN_0/anno/{VIDEO}.txt": "1,2,3,4\n1,2,3,4,5\n"})
    with pytest.raises(ValueError, match=rf"{VIDEO}\.txt line 2: expected x,y,w,h"):
        read_trackingnet(root)
