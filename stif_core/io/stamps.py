"""Stamps of messages as numbers; of rclpy's messages and of rosbags' alike."""

from typing import Any


def nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time or Duration."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def nanoseconds_or_none(stamp: Any) -> int | None:
    """Of the image that is meant; None for zero, which means the next one."""
    return nanoseconds(stamp) or None
