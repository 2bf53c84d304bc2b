"""Messages of bags that say where a target is: stif_ros/Track, and a drawing of it for Foxglove."""

from typing import Any

import numpy as np

from stif_core.bags.typestore import MARKER, TRACK, new_message
from stif_core.geometry import FloatArray
from stif_core.io.drawing import STATE_COLOURS

IDLE, TRACKING, LOST = 0, 1, 3  # states of stif_ros/Track
LINE_STRIP, ADD, REMOVE = 1, 0, 1  # visualization_msgs/ImageMarker
NAN = float("nan")


def new_track(
    header: Any,
    image_size: tuple[int, int],
    box: FloatArray | None,
    state: int,
    target_id: str,
    confidence: float,
    unseen_ns: int = 0,
    **fields: Any,
) -> Any:
    """A stif_ros/Track without a bearing.

    Args:
        header: Of the image.
        image_size: (width, height).
        box: xywh; None or NaN where there is none.
        state: As in Track.msg.
        target_id: Empty while IDLE.
        confidence: 0 to 1; NaN while IDLE.
        unseen_ns: Time since the target was last seen.
        fields: Others of the message.
    """
    x, y, w, h = (NAN,) * 4 if box is None else (float(value) for value in box)
    unseen = new_message("builtin_interfaces/msg/Duration", sec=unseen_ns // 10**9, nanosec=unseen_ns % 10**9)
    return new_message(
        TRACK,
        unknown=NAN,
        header=header,
        target_id=target_id,
        state=state,
        box_valid=bool(np.isfinite((x, y, w, h)).all()),
        center_x=x + w / 2,
        center_y=y + h / 2,
        size_x=w,
        size_y=h,
        image_width=image_size[0],
        image_height=image_size[1],
        confidence=confidence,
        time_since_seen=unseen,
        **fields,
    )


def track_box(track: Any) -> FloatArray:
    """The box xywh of a stif_ros/Track; NaN where it has none."""
    if not track.box_valid:
        return np.full(4, np.nan)
    left, top = track.center_x - track.size_x / 2, track.center_y - track.size_y / 2
    return np.array([left, top, track.size_x, track.size_y])


def new_marker(header: Any, box: FloatArray | None, state: str) -> Any:
    """The box as a visualization_msgs/ImageMarker, which Foxglove draws over the image; removed where there is none."""
    if box is None or not np.isfinite(box).all():
        return new_message(MARKER, header=header, ns="track", type=LINE_STRIP, action=REMOVE)
    x, y, w, h = (float(value) for value in box)
    corners = ((x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y))
    blue, green, red = (value / 255 for value in STATE_COLOURS[state])
    return new_message(
        MARKER,
        header=header,
        ns="track",
        type=LINE_STRIP,
        action=ADD,
        scale=2.0,
        outline_color=new_message("std_msgs/msg/ColorRGBA", r=red, g=green, b=blue, a=1.0),
        points=[new_message("geometry_msgs/msg/Point", x=px, y=py) for px, py in corners],
    )
