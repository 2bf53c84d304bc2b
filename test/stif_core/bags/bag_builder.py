"""Bags with whatever a test wants in them, and the command line."""

from contextlib import closing

import numpy as np
from typer.testing import CliRunner

from stif_core.bags.typestore import COMPRESSED_IMAGE, IMAGE, TARGET_INIT, new_header, new_message
from stif_core.bags.writing import BagWriter
from stif_core.cli import app
from stif_core.evaluation.rendered_clip import RenderedClip

CLIP = RenderedClip(frames=16, width=320, height=240)
START_NS = 5 * 10**9
PERIOD_NS = 40_000_000


def stif(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def stamp(index: int) -> int:
    return START_NS + index * PERIOD_NS


def image(index: int, stamp_ns: int | None = None, pixels=None, **fields):
    pixels = CLIP.render(index)[0] if pixels is None else pixels
    height, width = pixels.shape[:2]
    values = {
        "header": new_header(stamp(index) if stamp_ns is None else stamp_ns, "eye"),
        "height": height,
        "width": width,
        "encoding": "bgr8",
        "step": 3 * width,
        "data": pixels.reshape(-1),
    }
    return new_message(IMAGE, **{**values, **fields})


def packed(index: int, data: bytes):
    return new_message(
        COMPRESSED_IMAGE, header=new_header(stamp(index), "eye"), format="jpeg", data=np.frombuffer(data, np.uint8)
    )


def target(box, stamp_ns: int = 0, **fields):
    x, y, w, h = (float(value) for value in box)
    return new_message(TARGET_INIT, header=new_header(stamp_ns, ""), x=x, y=y, width=w, height=h, **fields)


def write_bag(path, messages, storage="mcap"):
    """Messages are (topic, bag time in ns, message or bytes); bytes only where a message came before."""
    with closing(BagWriter(path, storage)) as bag:
        for topic, time_ns, message in messages:
            if isinstance(message, bytes):
                bag.write_bytes(topic, time_ns, message)
            else:
                bag.write(topic, time_ns, message)
    return path
