"""Closes the loop: rendered camera -> tracker node -> follower node -> base that moves the camera, over DDS."""

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import rclpy
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from stif_ros.msg import TargetInit, Track
from stif_ros.srv import SetTarget

from stif_core.evaluation.rendered_world import MovingBase, Pose, RenderedWorld, View
from stif_ros.messages import image_message

FPS = 15.0
FRAME_ID = "camera_optical"
# Keeps apart two loops that happen to run in the same ROS domain.
NAMESPACE = f"/loop_{os.getpid()}"
SERVICE_TIMEOUT = 30.0
ANSWER_TIMEOUT = 5.0  # a client's first call may go without an answer
PATIENCE = 30.0  # seconds that a message may take on a loaded machine
SENDINGS = 4  # of one image within that time
LAST_TRACKS = 0.5  # seconds that the tracks of the last images may take
# Stamps of a stepped loop: long past, so that no node takes its own pace for latency.
STEPPED_START_NS = 1_000_000_000_000

Place = tuple[float, float]


@dataclass(frozen=True)
class Step:
    """One image of the loop.

    Attributes:
        time: Since the first image, s.
        pose, speed, yaw_rate: Of the base when the image was taken.
        target: Where it is, or None while it is gone.
        view: What is true of it in the image; None while it is gone.
        track: What the tracker said about this image; None where it skipped it, in real time.
        command: Forward speed and yaw rate that the base was driven with from here on.
    """

    time: float
    pose: Pose
    speed: float
    yaw_rate: float
    target: Place | None
    view: View | None
    track: Track | None
    command: tuple[float, float]


@dataclass(frozen=True)
class Processes:
    """The two nodes under test, each a process of its own."""

    tracker: subprocess.Popen[bytes]
    follower: subprocess.Popen[bytes]


@contextmanager
def running_nodes(*follower_parameters: str) -> Iterator[Processes]:
    """Starts tracker and follower, and ends them; parameters as ``name:=value``."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    namespace = ["--ros-args", "-r", f"__ns:={NAMESPACE}"]
    given = [word for parameter in follower_parameters for word in ("-p", parameter)]
    processes = Processes(
        subprocess.Popen([sys.executable, "-m", "stif_ros.tracker_node", *namespace]),
        subprocess.Popen([sys.executable, "-m", "stif_ros.follower_node", *namespace, *given]),
    )
    try:
        yield processes
    finally:
        for process in (processes.tracker, processes.follower):
            if process.poll() is None:
                process.terminate()
        for process in (processes.tracker, processes.follower):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class ClosedLoop(Node):
    """The world's side: publishes what the camera sees, and moves the base as ``cmd_vel`` says.

    ``step`` waits for the answer to every image: the same on a fast and on a slow machine. ``run`` goes by the clock.
    """

    def __init__(self, path: Callable[[float], Place | None], pose: Pose | None = None, delay_steps: int = 1) -> None:
        """
        Args:
            path: Where the target is at a time, s; None: it is gone.
            pose: Of the base at the start.
            delay_steps: Images between the one that a command answers and the one from which on it drives the base.
        """
        super().__init__("world", namespace=NAMESPACE)
        self.base = MovingBase(pose)
        self.steps: list[Step] = []
        self.commands: list[TwistStamped] = []
        self._path = path
        self._world = RenderedWorld()
        self._pending = deque([(0.0, 0.0)] * delay_steps)
        self._tracks: dict[int, Track] = {}
        self._armed = False
        self._images = self.create_publisher(Image, "image", 10)
        self._infos = self.create_publisher(CameraInfo, "camera_info", 10)
        self.create_subscription(Track, "track", self._on_track, 100)
        self.create_subscription(TwistStamped, "cmd_vel", self.commands.append, 100)
        self._change_state = self.create_client(ChangeState, "tracker/change_state")
        self._set_target = self.create_client(SetTarget, "tracker/set_target")
        self._arm = self.create_client(SetBool, "follower/arm")

    def _on_track(self, track: Track) -> None:
        self._tracks[Time.from_msg(track.header.stamp).nanoseconds] = track

    @property
    def last_command(self) -> tuple[float, float]:
        """Forward speed and yaw rate last received."""
        if not self.commands:
            return 0.0, 0.0
        twist = self.commands[-1].twist
        return twist.linear.x, twist.angular.z

    # -- before the loop

    def bring_up(self) -> None:
        """Activates the tracker and waits for everybody. Raises RuntimeError where something is missing."""
        for name, transition in (
            ("configure", Transition.TRANSITION_CONFIGURE),
            ("activate", Transition.TRANSITION_ACTIVATE),
        ):
            request = ChangeState.Request(transition=Transition(id=transition))
            # Asked once: the second answer to a transition that was made would be a refusal.
            if not self._call(self._change_state, request, tries=1).success:
                raise RuntimeError(f"the tracker node did not {name}; its log tells why")
        publishers = (self._images, self._infos)
        self.wait(lambda: all(p.get_subscription_count() for p in publishers), "the tracker's subscriptions")
        # This node and the follower.
        self.wait(lambda: self.count_subscribers("track") >= 2, "the subscriptions to track")
        self.wait(lambda: self.count_publishers("cmd_vel") > 0, "the publisher of cmd_vel")

    def set_target(self) -> None:
        """Gives the true box of the next image. Raises RuntimeError when it is refused."""
        target = self._path(self._time)
        assert target is not None
        x, y, width, height = (float(value) for value in self._world.view(self.base.pose, target).box)
        request = SetTarget.Request(target=TargetInit(target_id="head", x=x, y=y, width=width, height=height))
        answer = self._call(self._set_target, request)
        if not answer.success:
            raise RuntimeError(f"the tracker refused the target: {answer.message}")

    def arm(self, value: bool = True) -> SetBool.Response:
        """Arms or disarms the follower; its answer."""
        answer: SetBool.Response = self._call(self._arm, SetBool.Request(data=value))
        self._armed = value and answer.success
        return answer

    def _call(self, client: Any, request: Any, tries: int = 5) -> Any:
        if not client.wait_for_service(SERVICE_TIMEOUT):
            raise RuntimeError(f"no service {client.srv_name}: the node did not come up")
        timeout = SERVICE_TIMEOUT if tries == 1 else ANSWER_TIMEOUT
        for _ in range(tries):
            future = client.call_async(request)
            rclpy.spin_until_future_complete(self, future, timeout_sec=timeout)
            if future.done():
                return future.result()
        raise RuntimeError(f"no answer from {client.srv_name}")

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> float:
        """Lets messages in until a condition holds; the seconds it took. Raises RuntimeError when it never does."""
        begin = time.monotonic()
        if not self._comes_true(condition, seconds):
            raise RuntimeError(f"waited {seconds:g} s for {what}")
        return time.monotonic() - begin

    def _comes_true(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            rclpy.spin_once(self, timeout_sec=0.01)
        return True

    # -- the loop

    @property
    def _time(self) -> float:
        return len(self.steps) / FPS

    def step(self) -> Step:
        """One image, its track, its command, and the base's motion until the next image."""
        stamp_ns = STEPPED_START_NS + round(self._time * 1e9)
        known = len(self.commands)

        def answered() -> bool:
            return stamp_ns in self._tracks and (not self._armed or len(self.commands) > known)

        # Sent again where the answer got lost: on a starved machine DDS gives up on a peer that still lives.
        for _ in range(SENDINGS):
            view, target = self._show(self._time, stamp_ns)
            if self._comes_true(answered, PATIENCE / SENDINGS):
                break
        else:
            raise RuntimeError(f"no track, or no command of the armed follower, for an image sent {SENDINGS} times")
        self._pending.append(self.last_command)
        command = self._pending.popleft()
        track, base = self._tracks.pop(stamp_ns), self.base
        step = Step(self._time, base.pose, base.speed, base.yaw_rate, target, view, track, command)
        self.steps.append(step)
        base.move(*command, 1 / FPS)
        return step

    def run(self, seconds: float) -> None:
        """Goes by the clock: the base drives on whatever was commanded last, whether answers come in time or not.

        A machine that cannot render ``FPS`` images a second sees fewer.
        """
        executor = SingleThreadedExecutor()
        executor.add_node(self)
        thread = threading.Thread(target=executor.spin, daemon=True)
        thread.start()
        stamps, first, start = [], len(self.steps), self._time
        begin = moved = due = time.monotonic()
        command = self.last_command
        while moved < begin + seconds:
            now, base = time.monotonic(), self.base
            base.move(*command, now - moved)
            moved, command = now, self.last_command
            if now < due:
                time.sleep(0.005)
                continue
            due = max(due + 1 / FPS, now)
            at = start + now - begin
            stamps.append(time.time_ns())
            view, target = self._show(at, stamps[-1])
            self.steps.append(Step(at, base.pose, base.speed, base.yaw_rate, target, view, None, command))
        time.sleep(LAST_TRACKS)
        executor.shutdown()
        thread.join()
        tracked = [replace(step, track=self._tracks.get(t)) for t, step in zip(stamps, self.steps[first:], strict=True)]
        self.steps[first:] = tracked

    def _show(self, at: float, stamp_ns: int) -> tuple[View | None, Place | None]:
        target = self._path(at)
        header = Header(stamp=Time(nanoseconds=stamp_ns).to_msg(), frame_id=FRAME_ID)
        self._infos.publish(self._camera_info(header))
        self._images.publish(image_message(header, self._world.render(self.base.pose, target)))
        return (self._world.view(self.base.pose, target) if target is not None else None), target

    def _camera_info(self, header: Header) -> CameraInfo:
        camera = self._world.camera
        return CameraInfo(
            header=header,
            width=camera.width,
            height=camera.height,
            distortion_model=camera.model,
            d=camera.distortion.tolist(),
            k=camera.matrix.ravel().tolist(),
        )
