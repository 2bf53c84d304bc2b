"""The demo: node and player as processes of their own, real DDS between them, a target given once."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.time import Time
from stif_ros.msg import TargetInit, Track

from demo.clips import Clip, open_clip
from demo.report import Summary, TrackedFrame, print_summary, summarise, write_results

ROOT = Path(__file__).resolve().parents[1]
STATES = {Track.IDLE: "IDLE", Track.TRACKING: "TRACKING", Track.UNCERTAIN: "UNCERTAIN", Track.LOST: "LOST"}
LEAD = 1.0  # seconds from sending the target to the first frame: it waits for its image
SERVICE_TIMEOUT = 30.0
LEAST_TRACKED = 0.95
LEAST_IOU = 0.6


class Observer(Node):
    """Drives the tracker's life cycle, sets the target, and collects what the tracker says."""

    def __init__(self, clip: Clip) -> None:
        super().__init__("demo")
        self._clip = clip
        self._start_ns = 0
        self.tracked: dict[int, TrackedFrame] = {}
        self.node_counts: dict[str, int] = {}
        self._target = self.create_publisher(TargetInit, "target_init", 10)
        self.create_subscription(Track, "track", self._on_track, 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._change_state = self.create_client(ChangeState, "tracker/change_state")

    def bring_up(self) -> None:
        """Configures and activates the tracker. Raises RuntimeError when it does not answer or refuses."""
        if not self._change_state.wait_for_service(SERVICE_TIMEOUT):
            raise RuntimeError("the tracker node did not come up")
        for name, transition in (
            ("configure", Transition.TRANSITION_CONFIGURE),
            ("activate", Transition.TRANSITION_ACTIVATE),
        ):
            future = self._change_state.call_async(ChangeState.Request(transition=Transition(id=transition)))
            rclpy.spin_until_future_complete(self, future, timeout_sec=SERVICE_TIMEOUT)
            answer = future.result()
            if answer is None or not answer.success:
                raise RuntimeError(f"the tracker node did not {name}; its log tells why")

    def set_target(self, start_ns: int) -> None:
        """Sends the box of the first frame, by the stamp that the frame will have."""
        self._start_ns = start_ns
        deadline = time.monotonic() + SERVICE_TIMEOUT
        while self._target.get_subscription_count() == 0:
            if time.monotonic() > deadline:
                raise RuntimeError("the tracker node does not listen to target_init")
            rclpy.spin_once(self, timeout_sec=0.05)
        x, y, width, height = self._clip.box.tolist()
        message = TargetInit(target_id="demo", x=x, y=y, width=width, height=height)
        message.header.stamp = Time(nanoseconds=start_ns).to_msg()
        self._target.publish(message)

    def spin_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.02)

    def _on_track(self, message: Track) -> None:
        received_ns = time.time_ns()
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        box = np.array([
            message.center_x - message.size_x / 2,
            message.center_y - message.size_y / 2,
            message.size_x,
            message.size_y,
        ])  # fmt: skip
        self.tracked[round((stamp_ns - self._start_ns) * self._clip.fps / 1e9)] = TrackedFrame(
            box, message.confidence, STATES[message.state], (received_ns - stamp_ns) / 1e6, message.frames_skipped
        )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith("tracker: tracking"):
                self.node_counts = {v.key: int(v.value) for v in status.values if v.key.startswith("frames_")}


def play(clip: Clip, arguments: list[str]) -> tuple[Summary, dict[int, TrackedFrame]]:
    """Runs the whole demo. Raises RuntimeError naming the part that failed."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    profile = str(ROOT / "config" / "fastdds_images.xml")
    camera = {"FASTRTPS_DEFAULT_PROFILES_FILE": profile, "FASTDDS_DEFAULT_PROFILES_FILE": profile}
    params = ["--ros-args", "--params-file", str(ROOT / "config" / "tracker.yaml")]
    tracker = subprocess.Popen([sys.executable, "-m", "stif_ros.tracker_node", *params])
    player = None
    rclpy.init()
    observer = Observer(clip)
    try:
        observer.bring_up()
        player = subprocess.Popen(
            [sys.executable, "-m", "demo.player", *arguments],
            env={**os.environ, **camera},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert player.stdin is not None
        assert player.stdout is not None
        if player.stdout.readline().strip() != "ready":
            raise RuntimeError("the player did not start")
        start_ns = time.time_ns() + int(LEAD * 1e9)
        observer.set_target(start_ns)
        player.stdin.write(f"{start_ns}\n")
        player.stdin.flush()
        observer.spin_for(LEAD)
        process, began = psutil.Process(tracker.pid), time.monotonic()
        before = process.cpu_times()
        while player.poll() is None:
            observer.spin_for(0.05)
            if tracker.poll() is not None:
                raise RuntimeError("the tracker node ended; its log tells why")
        after = process.cpu_times()
        cpu = (after.user + after.system - before.user - before.system) / (time.monotonic() - began)
        observer.spin_for(2.5)  # the last track, and diagnostics that count it
        sent = player.stdout.readline().strip()
        if player.returncode or not sent:
            raise RuntimeError("the player failed")
        if not observer.node_counts:
            raise RuntimeError("the tracker node sent no diagnostics")
        return summarise(clip, int(sent), observer.tracked, observer.node_counts, cpu), observer.tracked
    finally:
        for process in (player, tracker):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
        observer.destroy_node()
        rclpy.try_shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seq", help="sequence folder with img/ and groundtruth.txt")
    parser.add_argument("--video", help="video file")
    parser.add_argument("--box", help="target in the video's first image: x,y,w,h")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "demo", help="folder for the results")
    args = parser.parse_args()
    chosen = [f"--{name}={value}" for name in ("seq", "video", "box") if (value := getattr(args, name))]
    try:
        clip = open_clip(args.seq, args.video, args.box)
        summary, tracked = play(clip, chosen)
        write_results(args.out, clip, summary, tracked)
    except (ValueError, RuntimeError, OSError, psutil.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_summary(summary)
    print(f"written: {args.out}/summary.json, tracked.mp4, contact_sheet.png")
    share = summary.frames_tracked / max(1, summary.frames_sent)
    failures = []
    if not summary.adds_up:
        failures.append("the counts of frames do not add up")
    if share < LEAST_TRACKED:
        failures.append(f"the target was tracked in only {share:.0%} of the frames")
    if summary.mean_iou is not None and summary.mean_iou <= LEAST_IOU:
        failures.append(f"the mean IoU is not above {LEAST_IOU}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
