"""What the node's benchmark and soak test share: the node as a process, and a robot's side of its interface."""

import os
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from stif_ros.msg import TargetInit, Track
from stif_ros.srv import SetTarget

from stif_core.allocator import keep_freed_memory

ROOT = Path(__file__).resolve().parents[1]
PARAMS = ROOT / "config" / "tracker.yaml"
IMAGES_PROFILE = ROOT / "config" / "fastdds_images.xml"
ANSWER_SECONDS = 20.0  # a model loads within it on a busy machine too: what is asked again is done again
GOALS = {1: "inactive", 2: "unconfigured", 3: "active", 4: "inactive"}  # of transitions
TRIES = 20  # a service just found may lose the first request
DIAGNOSTICS_PERIOD = 0.1


def isolate(profile: Path | None) -> None:
    """Keeps this process and its children to themselves in DDS, and makes this one a camera that is set up well."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if profile is not None:
        os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(profile)
    keep_freed_memory()


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.005)


def image_of(pixels: np.ndarray, encoding: str = "bgr8") -> Image:
    """An image message without a stamp; (H, W) or (H, W, C) uint8."""
    row_bytes = pixels[0].size
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=row_bytes)
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    message.data = data
    return message


def stamped(message: Any, stamp_ns: int) -> Any:
    message.header = Header(stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id="camera")
    return message


class Rig:
    """The tracker node in its own process; camera, operator and listener in this one."""

    def __init__(self, *parameters: str, log: Path | None = None) -> None:
        """
        Args:
            parameters: ``name:=value`` of the tracker node.
            log: File that the node's output is added to; None: it is shown.
        """
        options = [f"diagnostics_period:={DIAGNOSTICS_PERIOD}", *parameters]
        command = [sys.executable, "-m", "stif_ros.tracker_node", "--ros-args", "--params-file", str(PARAMS)]
        command += [part for option in options for part in ("-p", option)]
        # The profile is for the camera alone.
        environment = {k: v for k, v in os.environ.items() if not k.endswith("DEFAULT_PROFILES_FILE")}
        with open(log, "a") if log else open(os.dup(2), "w") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        rclpy.init()
        self.node = rclpy.create_node("rig")
        self.tracks: list[tuple[Track, int]] = []  # with the time of arrival, ns
        self.diagnostics: dict[str, str] = {}
        self.diagnostics_count = 0
        many = QoSProfile(depth=1000)
        self.node.create_subscription(Track, "track", lambda m: self.tracks.append((m, time.time_ns())), many)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, many)
        self.operator = self.node.create_publisher(TargetInit, "target_init", 10)
        self._clients = {
            GetState: self.node.create_client(GetState, "tracker/get_state"),
            ChangeState: self.node.create_client(ChangeState, "tracker/change_state"),
            SetTarget: self.node.create_client(SetTarget, "tracker/set_target"),
            Trigger: self.node.create_client(Trigger, "tracker/reset"),
        }
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        status = message.status[0]
        self.diagnostics = {"message": status.message} | {value.key: value.value for value in status.values}
        self.diagnostics_count += 1

    def count(self, key: str) -> int:
        return int(self.diagnostics.get(key, 0))

    def fresh_diagnostics(self) -> dict[str, str]:
        """Of a message that was made after this call."""
        seen = self.diagnostics_count
        wait_until(lambda: self.diagnostics_count > seen + 1, "diagnostics")
        return self.diagnostics

    def camera(self, kind: type = Image, reliable: bool = False, topic: str = "image") -> Publisher:
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        return self.node.create_publisher(kind, topic, QoSProfile(depth=5, reliability=policy))

    def call(self, request: Any) -> Any:
        """Calls one of the node's services, by the type of its request. Raises RuntimeError without an answer."""
        kind = next(kind for kind in self._clients if isinstance(request, kind.Request))
        client = self._clients[kind]
        for _ in range(TRIES):
            client.wait_for_service(ANSWER_SECONDS)
            future = client.call_async(request)
            end = time.monotonic() + ANSWER_SECONDS
            while not future.done() and time.monotonic() < end:
                if self.process.poll() is not None:
                    raise RuntimeError(f"the tracker node ended with {self.process.returncode}")
                time.sleep(0.002)
            if future.done():
                return future.result()
        raise RuntimeError(f"no answer from {client.srv_name}")

    def change(self, *transitions: int) -> bool:
        """Carries out transitions up to the first that fails."""
        return all(self._change(transition) for transition in transitions)

    def _change(self, transition: int) -> bool:
        success = self.call(ChangeState.Request(transition=Transition(id=transition))).success
        # Asked again because the first answer was lost or late, the node refuses what it has already done.
        return success or self.call(GetState.Request()).current_state.label == GOALS.get(transition)

    def bring_up(self) -> None:
        if not self.change(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            raise RuntimeError("the tracker node cannot be activated; its log tells why")

    def set_target(self, box: Any, stamp_ns: int = 0) -> SetTarget.Response:
        x, y, width, height = (float(value) for value in box)
        target = stamped(TargetInit(target_id="target", x=x, y=y, width=width, height=height), stamp_ns)
        return self.call(SetTarget.Request(target=target))

    def close(self) -> int:
        """Ends the node with SIGINT; returns its exit code, -9 when it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(2)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._executor.shutdown()
        self._thread.join(10)
        self.node.destroy_node()
        rclpy.try_shutdown()
        return self.process.returncode
