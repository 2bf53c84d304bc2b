"""Message types without ROS: those of ROS 2, and ours as ``msg/*.msg`` defines them."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Connection, MessageDefinitionFormat, Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TARGET_INIT = "stif_ros/msg/TargetInit"
TRACK = "stif_ros/msg/Track"
MARKER = "visualization_msgs/msg/ImageMarker"

# Inside an installed package (setup.py, CMakeLists.txt), or at the root of a checkout.
_FOLDERS = (Path(__file__).parent / "msg", Path(__file__).resolve().parents[2] / "msg")


@cache
def typestore() -> Typestore:
    """The types of ROS 2 Jazzy (those used here are the same since Humble) and ``stif_ros/msg/*``.

    Raises:
        ValueError: Our definitions are not where they are installed.
    """
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    if folder is None:
        raise ValueError(f"no message definitions in {_FOLDERS[0]}: install stif_core again")
    types: dict[str, Any] = {}
    for path in sorted(folder.glob("*.msg")):
        types.update(get_types_from_msg(path.read_text(), f"stif_ros/msg/{path.stem}"))
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(types)
    return store


def store_for(connection: Connection) -> Typestore:
    """Types to read a topic with: for messages of ours the definition that the bag carries, if it does.

    An older recording may hold other fields than today's messages.
    """
    if connection.msgtype.startswith("stif_ros/") and connection.msgdef.format == MessageDefinitionFormat.MSG:
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        return store
    return typestore()


def new_message(typename: str, unknown: float = 0.0, **fields: Any) -> Any:
    """A message with these fields; the others are empty, zero, or (floating-point numbers) ``unknown``."""
    store = typestore()
    values = {name: _empty(store, kind, unknown) for name, kind in store.fielddefs[typename][1]}
    return store.types[typename](**{**values, **fields})


def _empty(store: Typestore, kind: Any, unknown: float) -> Any:
    node, detail = kind
    if node == Nodetype.NAME:
        return new_message(detail, unknown)
    if node == Nodetype.BASE:
        base = detail[0]
        return "" if base == "string" else False if base == "bool" else unknown if base.startswith("float") else 0
    (inner, what), count = detail
    length = count if node == Nodetype.ARRAY else 0
    if inner == Nodetype.BASE and what[0] != "string":
        return np.full(length, unknown if what[0].startswith("float") else 0, dtype=what[0])
    return [_empty(store, (inner, what), unknown) for _ in range(length)]


def new_header(stamp_ns: int, frame_id: str) -> Any:
    """A std_msgs/Header."""
    stamp = new_message("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return new_message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)
