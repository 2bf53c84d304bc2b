import cv2
import numpy as np
import pytest

pytest.importorskip("cachetools")

from stif_core.data.images import ImageReader


@pytest.fixture
def pictures(tmp_path):
    paths = []
    for i in range(4):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), np.full((10, 10, 3), 10 * i, np.uint8))
    return paths


def test_memory_is_bounded_in_bytes(pictures):
    reader = ImageReader(kept_bytes=700)  # two pictures of 300 bytes
    first = [reader.image(path) for path in pictures]
    assert reader.image(pictures[3]) is first[3]
    assert reader.image(pictures[2]) is first[2]
    again = reader.image(pictures[0])
    assert again is not first[0]
    np.testing.assert_array_equal(again, first[0])


def test_picture_larger_than_the_bound_is_read_but_not_kept(pictures):
    reader = ImageReader(kept_bytes=100)
    assert reader.image(pictures[1])[0, 0, 0] == 10
    assert reader.image(pictures[1]) is not reader.image(pictures[1])


def test_mask_is_0_or_255(pictures):
    assert ImageReader(0).mask(pictures[0]).max() == 0
    assert ImageReader(0).mask(pictures[1]).min() == 255


def test_missing_image_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.jpg"):
        ImageReader(0).image(tmp_path / "gone.jpg")


def test_read_ahead_keeps_images_and_masks_up_to_the_bound(pictures):
    reader = ImageReader(kept_bytes=900)  # an image of 300 bytes, its mask of 100, and another image
    read = list(reader.read_ahead([(pictures[0], pictures[1]), (pictures[2], None), (pictures[3], None)]))
    assert len(read) == 2
    for path in pictures:
        path.unlink()
    assert reader.image(pictures[0])[0, 0, 0] == 0
    assert reader.mask(pictures[1]).min() == 255
    assert reader.image(pictures[2])[0, 0, 0] == 20
    with pytest.raises(ValueError, match=r"3\.png"):
        reader.image(pictures[3])


def test_read_ahead_names_a_broken_picture(pictures):
    pictures[1].write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1\.png"):
        list(ImageReader(10**6).read_ahead([(path, None) for path in pictures]))
