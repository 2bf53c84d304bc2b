"""ROS image messages to 8-bit BGR arrays, without cv_bridge for the encodings that cameras send.

Messages are duck typed, nothing here imports ROS. Encodings as of ``sensor_msgs/image_encodings.hpp``; its ``nv12`` and
``nv21`` (4:2:0, two planes) state the height of the *image*, a step of one byte a pixel, and carry ``height * 3 / 2``
rows: first ``height`` rows of Y, then ``height / 2`` rows of interleaved chroma with the same step.
YUV is taken as BT.601 limited range, what webcams send and what OpenCV converts.
"""

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

PERCENTILES = (1.0, 99.0)  # of a 16-bit image: the grey values that become black and white
MOST_PIXELS = 1 << 26  # of a compressed image (200 MB decoded): a few bytes can declare what no memory holds

# Bytes a pixel and the OpenCV conversion (None: already BGR) of the encodings with one 8-bit plane.
_PACKED: dict[str, tuple[int, int | None]] = {
    "bgr8": (3, None),
    "8UC3": (3, None),  # no colour order stated: taken as OpenCV's own
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR),
    "8UC1": (1, cv2.COLOR_GRAY2BGR),
    "yuyv": (2, cv2.COLOR_YUV2BGR_YUYV),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUYV),
    "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
    # ROS names the mosaic by its first 2 x 2 pixels, OpenCV's old constants (all that 4.5 is sure to have) by the 2 x 2
    # pixels that start at row 1, column 1.
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2BGR),
}
_PLANAR = {"nv12": cv2.COLOR_YUV2BGR_NV12, "nv21": cv2.COLOR_YUV2BGR_NV21}
_GREY16 = ("mono16", "16UC1")
_PAIRED = ("yuyv", "yuv422_yuy2", "uyvy", "yuv422")  # two pixels share their chroma

ENCODINGS = (*_PACKED, *_PLANAR, *_GREY16)

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class ImageMessage(Protocol):
    """What ``to_bgr`` reads of a sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any  # any buffer of bytes; rclpy hands over array.array("B")


class CompressedMessage(Protocol):
    """What ``decompress`` reads of a sensor_msgs/CompressedImage."""

    format: str
    data: Any  # any buffer of bytes


class ImageError(ValueError):
    """A message that cannot be turned into an image; the text says what came and what was expected."""


def to_bgr(message: ImageMessage, *, percentiles: tuple[float, float] = PERCENTILES) -> Image:
    """The image of a sensor_msgs/Image as BGR, (H, W, 3).

    ``bgr8`` and ``8UC3`` come back as a read-only view of the message's data (rows ``step`` bytes apart), without a
    copy; every other encoding gives an array of its own.

    Args:
        message: A sensor_msgs/Image, or anything with its fields; ``data`` is any buffer of bytes.
        percentiles: Of ``mono16`` and ``16UC1``, the percentiles of grey values that become 0 and 255, 0 to 100.

    Raises:
        ImageError: The message contradicts itself (data shorter than its header claims, a step shorter than a row, no
            pixels, an odd size where chroma is shared), or nothing here can read its encoding.
    """
    encoding = message.encoding
    if encoding in _PACKED:
        pixel_bytes, conversion = _PACKED[encoding]
        if encoding in _PAIRED and message.width % 2:
            raise ImageError(f"{_summary(message)}: two pixels share their chroma, the width must be even")
        if encoding.startswith("bayer") and 0 < min(message.width, message.height) < 3:
            raise ImageError(f"{_summary(message)}: too small to interpolate colours, expected at least 3x3")
        pixels = _rows(message, message.height, pixel_bytes, np.dtype(np.uint8))
        return pixels if conversion is None else _converted(pixels, conversion)
    if encoding in _PLANAR:
        if message.width % 2 or message.height % 2:
            raise ImageError(f"{_summary(message)}: four pixels share their chroma, width and height must be even")
        return _converted(_rows(message, message.height * 3 // 2, 1, np.dtype(np.uint8)), _PLANAR[encoding])
    if encoding in _GREY16:
        samples = np.dtype(">u2" if message.is_bigendian else "<u2")
        return _stretched(_rows(message, message.height, 1, samples), percentiles)
    return _through_cv_bridge(message)


def decompress(message: CompressedMessage, *, percentiles: tuple[float, float] = PERCENTILES) -> Image:
    """The image of a sensor_msgs/CompressedImage as BGR, (H, W, 3), with memory of its own.

    JPEG and PNG are told apart by their data: publishers write ``format`` in many ways. 16-bit grey is stretched as in
    ``to_bgr``, transparency is dropped, and an orientation tag is ignored: pixels stay where the camera has them.

    Raises:
        ImageError: The data are neither JPEG nor PNG, are cut off, or do not decode.
    """
    data = bytes(message.data)
    what = f"compressed image of {len(data)} bytes, format {message.format!r}"
    if data.startswith(_JPEG_START):
        # Decoders fill the missing part with grey and do not complain. The end marker must follow the last scan: an
        # embedded thumbnail has an end marker too.
        complete = data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    elif data.startswith(_PNG_START):
        complete = _PNG_END in data
    else:
        hint = " (compressedDepth is not supported)" if "compressedDepth" in message.format else ""
        raise ImageError(f"{what}: expected JPEG or PNG, the data start with {data[:8]!r}{hint}")
    if not complete:
        raise ImageError(f"{what}: the data are cut off, the end marker is missing")
    pixels = _declared_pixels(data)
    if pixels > MOST_PIXELS:
        raise ImageError(f"{what}: declares {pixels} pixels, at most {MOST_PIXELS} are decoded")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{what}: does not decode: {error}") from error
    if image is None:
        raise ImageError(f"{what}: does not decode, the data are damaged")
    if image.dtype == np.uint16:
        if image.ndim == 2:
            return _stretched(image.astype(np.uint16, copy=False), percentiles)
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    if image.ndim == 2:
        return _converted(image, cv2.COLOR_GRAY2BGR)
    return _converted(image, cv2.COLOR_BGRA2BGR) if image.shape[2] == 4 else image.astype(np.uint8, copy=False)


def _declared_pixels(data: bytes) -> int:
    """Width times height as the header of a PNG, or the largest frame of a JPEG, states them; 0 if it states none."""
    if data.startswith(_PNG_START):
        return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
    pixels, at = 0, 2
    while at + 9 <= len(data) and data[at] == 0xFF and data[at + 1] != _JPEG_SCAN[1]:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            pixels = max(pixels, height * width)
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return pixels


def _rows(message: ImageMessage, rows: int, samples: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A read-only view of the message's data as (rows, W) or (rows, W, samples) without the padding of its rows."""
    height, width, step = message.height, message.width, message.step
    if height < 1 or width < 1:
        raise ImageError(f"{_summary(message)}: has no pixels, height and width must be positive")
    row_bytes = width * samples * dtype.itemsize
    if step < row_bytes:
        raise ImageError(f"{_summary(message)}: step is shorter than a row of {row_bytes} bytes")
    data = np.frombuffer(message.data, np.uint8)
    if data.size < step * rows:
        raise ImageError(
            f"{_summary(message)}: data has {data.size} bytes, expected {rows} rows x {step} = {step * rows}"
        )
    shape = (rows, width) if samples == 1 else (rows, width, samples)
    strides = (step, dtype.itemsize) if samples == 1 else (step, samples, 1)
    view: NDArray[Any] = np.ndarray(shape, dtype, data.data, strides=strides)
    view.flags.writeable = False  # the message belongs to every subscriber of this process
    return view


def _converted(pixels: NDArray[Any], conversion: int) -> Image:
    return np.asarray(cv2.cvtColor(pixels, conversion), dtype=np.uint8)


def _stretched(grey: NDArray[np.uint16], percentiles: tuple[float, float]) -> Image:
    """16-bit grey (H, W), either byte order, to BGR: the two percentiles become 0 and 255, what lies beyond is clipped.

    An image of one value becomes black. The percentiles are those of a regular grid of at least 10,000 pixels, if there
    are as many: enough for two numbers, and sorting a whole frame would cost more than all the rest.
    """
    if not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise ValueError(f"percentiles {percentiles} must be two numbers from 0 to 100, the lower one first")
    stride = max(1, int((grey.size / 10_000) ** 0.5))
    lowest, highest = np.percentile(grey[::stride, ::stride], percentiles)
    low, high = int(lowest), int(np.ceil(highest))
    # Where both are the same, values above still show: a small hot target before a flat sky.
    scale = 255 / max(high - low, 1)
    raised = np.maximum(grey, np.uint16(low))  # convertScaleAbs would mirror values below instead of clipping them
    return _converted(cv2.convertScaleAbs(raised, alpha=scale, beta=-low * scale), cv2.COLOR_GRAY2BGR)


def _through_cv_bridge(message: ImageMessage) -> Image:
    known = ", ".join(ENCODINGS)
    try:
        from cv_bridge import CvBridge  # not on PyPI, and needed for rare encodings only
    except ImportError as error:
        raise ImageError(
            f"{_summary(message)}: unknown encoding, expected one of {known}; "
            "for others install cv_bridge (apt install ros-$ROS_DISTRO-cv-bridge)"
        ) from error
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding="bgr8"), dtype=np.uint8)
    except Exception as error:  # CvBridgeError, or whatever its C++ part raises
        raise ImageError(f"{_summary(message)}: expected one of {known}, and cv_bridge refuses it: {error}") from error


def _summary(message: ImageMessage) -> str:
    return f"image {message.width}x{message.height}, encoding {message.encoding!r}, step {message.step}"
