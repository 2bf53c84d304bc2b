"""Image messages of every encoding become the colours that were put in; contradictory ones are refused and say why."""

import sys
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.io.ros_images import ENCODINGS, ImageError, decompress, to_bgr

# Two rows of three blocks of 16 x 16 pixels (BGR): a swap of channels, rows or columns shows.
COLOURS = [[(40, 60, 200), (60, 180, 40), (210, 90, 30)], [(60, 200, 220), (128, 128, 128), (30, 20, 25)]]
BLOCKS = np.array(COLOURS, np.uint8).repeat(16, axis=0).repeat(16, axis=1)
YUV = ("yuyv", "yuv422_yuy2", "uyvy", "yuv422", "nv12", "nv21")
BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
GREY8 = ("mono8", "8UC1")
GREY16 = ("mono16", "16UC1")


def make_message(rows, encoding, width, height=None, padding=0, is_bigendian=0):
    """A message of the bytes of ``rows``, each followed by ``padding`` bytes of 0xA5; data as rclpy holds it."""
    rows = np.ascontiguousarray(rows)
    rows = rows.reshape(len(rows), -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    return SimpleNamespace(
        height=len(rows) if height is None else height,
        width=width,
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=padded.shape[1],
        data=array("B", padded.tobytes()),
    )


def to_yuv(bgr):
    """BT.601, limited range, by the standard's matrix; (H, W, 3) Y, U, V."""
    matrix = np.array([[0.098, 0.504, 0.257], [0.439, -0.291, -0.148], [-0.071, -0.368, 0.439]])
    return (bgr @ matrix.T + (16, 128, 128)).round().astype(np.uint8)


def send(bgr, encoding, padding=0):
    """The message that a camera of this encoding would send of ``bgr``."""
    height, width = bgr.shape[:2]
    y, u, v = np.moveaxis(to_yuv(bgr), 2, 0)
    u, v = u[:, ::2], v[:, ::2]
    if encoding in ("bgr8", "8UC3"):
        rows = bgr
    elif encoding == "rgb8":
        rows = bgr[..., ::-1]
    elif encoding in ("bgra8", "rgba8"):
        alpha = np.full((height, width, 1), 7, np.uint8)
        rows = np.concatenate([bgr if encoding == "bgra8" else bgr[..., ::-1], alpha], axis=2)
    elif encoding in GREY8:
        rows = bgr[..., 1]
    elif encoding in GREY16:
        rows = bgr[..., 1].astype("<u2") * 100 + 7000
    elif encoding in ("yuyv", "yuv422_yuy2"):
        rows = np.stack([y[:, ::2], u, y[:, 1::2], v], axis=2)
    elif encoding in ("uyvy", "yuv422"):
        rows = np.stack([u, y[:, ::2], v, y[:, 1::2]], axis=2)
    elif encoding in ("nv12", "nv21"):
        chroma = np.stack([u, v] if encoding == "nv12" else [v, u], axis=2)[::2]
        rows = np.concatenate([y, chroma.reshape(height // 2, width)])
    else:
        rows = np.empty((height, width), np.uint8)
        for index, letter in enumerate(encoding[6:10]):
            row, column = divmod(index, 2)
            rows[row::2, column::2] = bgr[row::2, column::2, "bgr".index(letter)]
    return make_message(rows, encoding, width, height, padding)


def expected_blocks(encoding):
    if encoding in GREY8:
        return BLOCKS[..., 1:2].repeat(3, axis=2)
    if encoding in GREY16:
        grey = BLOCKS[..., 1:2].repeat(3, axis=2).astype(float)
        return (grey - grey.min()) / np.ptp(grey) * 255
    return BLOCKS


@pytest.mark.parametrize("padding", [0, 1, 2, 13, 96])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_encoding_gives_back_the_colours_whatever_the_row_padding(encoding, padding):
    image = to_bgr(send(BLOCKS, encoding, padding), percentiles=(0, 100))
    assert image.shape == BLOCKS.shape
    assert image.dtype == np.uint8
    difference = np.abs(image.astype(float) - expected_blocks(encoding))
    if encoding in BAYER:  # interpolated: colours bleed over the borders of blocks
        difference = difference.reshape(2, 16, 3, 16, 3)[:, 2:-2, :, 2:-2]
    assert difference.max() <= (3 if encoding in YUV else 1 if encoding in GREY16 else 0)


@pytest.mark.parametrize("encoding", [e for e in ENCODINGS if e not in BAYER])
def test_the_smallest_images_convert(encoding):
    assert to_bgr(send(BLOCKS[:2, :2], encoding)).shape == (2, 2, 3)


@settings(deadline=None)  # the first call of OpenCV on a busy machine takes longer than the default allows
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.sampled_from(["bgr8", "rgb8", "mono8"]), st.data())
def test_any_size_and_padding_equals_the_reference(height, width, padding, encoding, data):
    noise = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))).integers(0, 256, (height, width, 3), np.uint8)
    reference = noise[..., 1:2].repeat(3, axis=2) if encoding == "mono8" else noise
    np.testing.assert_array_equal(to_bgr(send(noise, encoding, padding)), reference)


@pytest.mark.parametrize("padding", [0, 5])
def test_bgr8_is_a_read_only_view_of_the_data(padding):
    message = send(BLOCKS, "bgr8", padding)
    image = to_bgr(message)
    assert np.shares_memory(image, np.frombuffer(message.data, np.uint8))
    message.data[0] = 99
    assert image[0, 0, 0] == 99
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1
    assert cv2.warpAffine(image, np.eye(2, 3), (8, 8)).shape == (8, 8, 3)  # OpenCV reads it all the same


@pytest.mark.parametrize("encoding", [e for e in ENCODINGS if e not in ("bgr8", "8UC3")])
def test_other_encodings_own_their_memory(encoding):
    message = send(BLOCKS, encoding)
    image = to_bgr(message)
    assert image.flags.writeable
    assert not np.shares_memory(image, np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(bytes(data)), lambda data: np.array(data)])
def test_any_buffer_will_do(kind):
    message = send(BLOCKS, "rgb8", 3)
    message.data = kind(message.data)
    np.testing.assert_array_equal(to_bgr(message), BLOCKS)


def test_data_longer_than_the_header_claims_is_accepted():
    message = send(BLOCKS, "bgr8")
    message.data.extend(b"surplus")
    np.testing.assert_array_equal(to_bgr(message), BLOCKS)


@pytest.mark.parametrize("encoding", GREY16)
@pytest.mark.parametrize("padding", [0, 3])
def test_big_endian_reads_the_same(encoding, padding):
    grey = np.arange(0, 48_000, 100).reshape(20, 24)
    little = make_message(grey.astype("<u2"), encoding, 24, padding=padding)
    big = make_message(grey.astype(">u2"), encoding, 24, padding=padding, is_bigendian=1)
    np.testing.assert_array_equal(to_bgr(big), to_bgr(little))
    assert np.all(np.diff(to_bgr(big)[..., 0].ravel().astype(int)) >= 0)


def test_percentiles_of_a_thermal_image_become_black_and_white():
    grey = np.random.default_rng(0).integers(20_000, 22_000, (512, 640)).astype("<u2")
    grey[0, 0], grey[0, 1] = 0, 65_535  # a dead and a saturated pixel must not flatten the rest
    image = to_bgr(make_message(grey, "16UC1", 640), percentiles=(10, 90))[..., 0]
    assert image[0, 0] == 0
    assert image[0, 1] == 255
    assert np.mean(image == 0) == pytest.approx(0.10, abs=0.02)
    assert np.mean(image == 255) == pytest.approx(0.10, abs=0.02)
    assert np.mean(image) == pytest.approx(127.5, abs=3)


@pytest.mark.parametrize("value", [0, 1, 30_000, 65_535])
def test_a_flat_thermal_image_is_black(value):
    assert not to_bgr(make_message(np.full((8, 9), value, "<u2"), "16UC1", 9)).any()


def test_a_hot_spot_on_a_flat_background_shows():
    grey = np.full((480, 640), 30_000, "<u2")
    grey[100:103, 200:203] = 30_400
    image = to_bgr(make_message(grey, "mono16", 640))
    assert image[101, 201].tolist() == [255, 255, 255]
    assert image.any(axis=2).sum() == 9


@pytest.mark.parametrize("percentiles", [(99, 1), (50, 50), (-1, 99), (1, 101), (float("nan"), 99)])
def test_impossible_percentiles_are_refused(percentiles):
    with pytest.raises(ValueError, match="percentiles"):
        to_bgr(send(BLOCKS, "mono16"), percentiles=percentiles)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_truncated_data_are_refused_with_both_sizes(encoding):
    message = send(BLOCKS, encoding, 4)
    claimed = len(message.data)
    message.data.pop()
    with pytest.raises(ImageError, match=f"data has {claimed - 1} bytes, expected .* = {claimed}"):
        to_bgr(message)
    message.data = array("B")
    with pytest.raises(ImageError, match="data has 0 bytes"):
        to_bgr(message)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_step_shorter_than_a_row_is_refused(encoding):
    message = send(BLOCKS, encoding)
    row = message.step
    message.step = row - 1
    with pytest.raises(ImageError, match=f"48x32.*{encoding}.*step {row - 1}.*shorter than a row of {row} bytes"):
        to_bgr(message)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("side", ["height", "width"])
def test_images_without_pixels_are_refused(encoding, side):
    message = send(BLOCKS, encoding)
    setattr(message, side, 0)
    with pytest.raises(ImageError, match="has no pixels"):
        to_bgr(message)


@pytest.mark.parametrize("encoding", BAYER)
@pytest.mark.parametrize("shape", [(2, 16), (16, 2)])
def test_a_mosaic_too_small_to_interpolate_is_refused(encoding, shape):
    with pytest.raises(ImageError, match="at least 3x3"):
        to_bgr(send(BLOCKS[: shape[0], : shape[1]], encoding))


@pytest.mark.parametrize("encoding", YUV)
def test_odd_sizes_are_refused_where_chroma_is_shared(encoding):
    message = send(BLOCKS, encoding)
    message.width = 47
    with pytest.raises(ImageError, match=r"47x32.*must be even"):
        to_bgr(message)


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_odd_heights_are_refused_where_rows_share_chroma(encoding):
    message = send(BLOCKS, encoding)
    message.height = 31
    with pytest.raises(ImageError, match=r"48x31.*must be even"):
        to_bgr(message)


def test_an_unknown_encoding_names_the_known_ones_and_cv_bridge(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv_bridge", None)  # an import of it fails
    message = make_message(np.zeros((2, 2), np.float32), "32FC1", 2)
    with pytest.raises(ImageError, match=r"'32FC1'.*expected one of bgr8, .*16UC1.*install cv_bridge"):
        to_bgr(message)


def test_other_encodings_go_through_cv_bridge_where_it_is_installed(monkeypatch):
    class CvBridge:
        def imgmsg_to_cv2(self, message, desired_encoding):
            if message.encoding == "broken":
                raise RuntimeError("[broken] is not a color format")
            return np.full((message.height, message.width, 3), len(desired_encoding), np.uint8)

    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=CvBridge))
    message = make_message(np.zeros((2, 3), np.float32), "32FC1", 3)
    assert to_bgr(message).tolist() == np.full((2, 3, 3), len("bgr8")).tolist()
    message.encoding = "broken"
    with pytest.raises(ImageError, match=r"cv_bridge refuses it: .*not a color format"):
        to_bgr(message)


def test_real_messages_convert_without_a_copy():
    messages = pytest.importorskip("sensor_msgs.msg")
    fields = vars(send(BLOCKS, "bgr8", 6))
    message = messages.Image(**fields)
    image = to_bgr(message)
    assert isinstance(message.data, array)
    np.testing.assert_array_equal(image, BLOCKS)
    assert np.shares_memory(image, np.frombuffer(message.data, np.uint8))
    packed = messages.CompressedImage(format="bgr8; png compressed bgr8", data=encoded(BLOCKS, ".png").data)
    np.testing.assert_array_equal(decompress(packed), BLOCKS)


def encoded(image, suffix):
    """A CompressedImage of ``image``; data as rclpy holds it."""
    ok, data = cv2.imencode(suffix, image)
    assert ok
    return SimpleNamespace(format=suffix[1:], data=array("B", data.tobytes()))


def test_png_gives_back_every_pixel_and_drops_transparency():
    np.testing.assert_array_equal(decompress(encoded(BLOCKS, ".png")), BLOCKS)
    transparent = np.dstack([BLOCKS, np.full(BLOCKS.shape[:2], 9, np.uint8)])
    np.testing.assert_array_equal(decompress(encoded(transparent, ".png")), BLOCKS)


def test_jpeg_gives_back_the_colours():
    image = decompress(encoded(BLOCKS, ".jpg"))
    difference = np.abs(image.astype(int) - BLOCKS).reshape(2, 16, 3, 16, 3)[:, 2:-2, :, 2:-2]
    assert image.shape == BLOCKS.shape
    assert difference.max() <= 12


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_grey_becomes_three_equal_channels(suffix):
    image = decompress(encoded(BLOCKS[..., 1], suffix))
    assert image.shape == BLOCKS.shape
    assert np.all(np.ptp(image, axis=2) == 0)
    assert np.abs(image[8, 8].astype(int) - BLOCKS[8, 8, 1]).max() <= 3


def test_16_bit_png_is_stretched_like_the_raw_message():
    grey = np.arange(20_000, 20_480, dtype=np.uint16).reshape(20, 24)
    image = decompress(encoded(grey, ".png"), percentiles=(5, 95))
    np.testing.assert_array_equal(image, to_bgr(make_message(grey, "16UC1", 24), percentiles=(5, 95)))
    assert image.min() == 0
    assert image.max() == 255


def test_16_bit_colour_png_keeps_its_colours():
    np.testing.assert_array_equal(decompress(encoded(BLOCKS.astype(np.uint16) * 257, ".png")), BLOCKS)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.999])
def test_cut_off_compressed_data_are_refused(suffix, part):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    message = encoded(noise, suffix)
    message.data = message.data[: int(len(message.data) * part)]
    with pytest.raises(ImageError, match=f"{len(message.data)} bytes.*cut off"):
        decompress(message)


def test_jpeg_with_a_thumbnail_cut_off_after_it_is_refused():
    thumbnail, main = encoded(BLOCKS[:16, :16], ".jpg").data.tobytes(), encoded(BLOCKS, ".jpg").data.tobytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = main[:2] + segment + main[2:]
    assert decompress(SimpleNamespace(format="jpeg", data=whole)).shape == BLOCKS.shape
    with pytest.raises(ImageError, match="cut off"):
        decompress(SimpleNamespace(format="jpeg", data=whole[:-20]))


def test_bytes_after_the_end_of_a_jpeg_do_no_harm():
    message = encoded(BLOCKS, ".jpg")
    message.data.extend(bytes(500))  # cameras send their whole buffer
    assert decompress(message).shape == BLOCKS.shape


@pytest.mark.parametrize("data", [b"", b"GIF89a", bytes(100)])
def test_data_that_are_neither_jpeg_nor_png_are_refused(data):
    with pytest.raises(ImageError, match="expected JPEG or PNG"):
        decompress(SimpleNamespace(format="jpeg", data=data))


def test_compressed_depth_is_refused_by_name():
    with pytest.raises(ImageError, match="compressedDepth is not supported"):
        decompress(SimpleNamespace(format="16UC1; compressedDepth png", data=bytes(12)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xd8garbage\xff\xd9", "does not decode"),
        # What stands where a PNG has its size is read before anything is decoded.
        (b"\x89PNG\r\n\x1a\ngarbageIEND\xaeB`\x82", r"declares \d+ pixels, at most 67108864 are decoded"),
    ],
    ids=["jpeg", "png"],
)
def test_damaged_data_are_refused(data, reason):
    with pytest.raises(ImageError, match=reason):
        decompress(SimpleNamespace(format="jpeg", data=data))
