"""Plays a clip on the topic ``image``: one message for every frame, at the clip's rate."""

import argparse
import sys
import time

import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from demo.clips import open_clip
from stif_core.allocator import keep_freed_memory
from stif_ros.messages import image_message

WAIT_FOR_TRACKER = 20.0  # seconds


def main() -> int:
    """Says "ready" once the tracker listens, then reads the stamp of the first frame from standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seq")
    parser.add_argument("--video")
    parser.add_argument("--box")
    args = parser.parse_args()
    clip = open_clip(args.seq, args.video, args.box)

    keep_freed_memory()
    rclpy.init()
    node = rclpy.create_node("player")
    publisher = node.create_publisher(Image, "image", qos_profile_sensor_data)
    deadline = time.monotonic() + WAIT_FOR_TRACKER
    while publisher.get_subscription_count() == 0:
        if time.monotonic() > deadline:
            print("error: no tracker subscribes to the topic image", file=sys.stderr)
            return 1
        time.sleep(0.05)
    print("ready", flush=True)
    start_ns = int(sys.stdin.readline())
    sent = 0
    for i, image in enumerate(clip.images):
        stamp_ns = start_ns + round(i * 1e9 / clip.fps)
        header = Header(stamp=Time(nanoseconds=stamp_ns).to_msg(), frame_id="camera")
        message = image_message(header, image)
        time.sleep(max(0.0, (stamp_ns - time.time_ns()) / 1e9))
        publisher.publish(message)
        sent += 1
    print(sent, flush=True)
    time.sleep(0.5)  # the last frames leave before the process ends
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:  # an image that cannot be decoded
        sys.exit(f"error: {error}")
