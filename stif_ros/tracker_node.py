"""The lifecycle node ``tracker``: images and a target in, tracked boxes out."""

import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from stif_core.io.drawing import draw_track
from stif_core.tracking import Tracker
from stif_ros import parameters
from stif_ros.diagnostics import diagnostic_array
from stif_ros.images import decompress, to_bgr
from stif_ros.messages import image_message, track_message
from stif_ros.msg import TargetInit, Track, TrackArray
from stif_ros.pipeline import Outcome, PipelineSettings, TrackingPipeline
from stif_ros.srv import SetTarget
from stif_ros.target import read_request

REPLAY_MS = 60_000.0  # an image older than this comes from a recording: its latency means nothing
PROBLEM_PERIOD = 2.0  # seconds between two log lines about images that cannot be used


class TrackerNode(LifecycleNode):
    """Translates between ROS and the tracking pipeline; see README for topics, services and parameters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("tracker", **kwargs)
        parameters.declare(self)
        self._pipeline: TrackingPipeline | None = None
        self._image_subscription: Subscription | None = None
        self._release: list[Callable[[], Any]] = []  # undoes what on_configure made
        self._last_problem = ""
        self._told: dict[str, float] = {}  # when a kind of problem was logged last, monotonic seconds

    # -- life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            tracker = Tracker.load(self._value("model"), self._value("backend"), self._value("threads"))
            self._backend = tracker.backend.name
            self._pipeline = TrackingPipeline(
                tracker, self._convert, self._publish, self._problem, self._pipeline_settings
            )
            self._create_interfaces()
        except ValueError as error:
            self.get_logger().error(str(error))
        except Exception:  # rclpy drops it without a word
            self.get_logger().error(f"cannot be configured, please report it:\n{traceback.format_exc()}")
        else:
            self.get_logger().info(f"model {self._value('model')} on {self._backend}")
            return TransitionCallbackReturn.SUCCESS
        self._release_all()
        return TransitionCallbackReturn.FAILURE

    def _create_interfaces(self) -> None:
        self._track_publisher = self.create_lifecycle_publisher(Track, "track", 10)
        self._tracks_publisher = self.create_lifecycle_publisher(TrackArray, "tracks", 10)
        self._drawn_publisher = self.create_lifecycle_publisher(Image, "track/image", 1)
        for publisher in (self._track_publisher, self._tracks_publisher, self._drawn_publisher):
            self._release.append(partial(self.destroy_lifecycle_publisher, publisher))
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._release.append(partial(self.destroy_publisher, self._diagnostics_publisher))
        subscription = self.create_subscription(TargetInit, "target_init", self._on_target_init, 10)
        self._release.append(partial(self.destroy_subscription, subscription))
        for kind, name, callback in (
            (SetTarget, "~/set_target", self._on_set_target),
            (Trigger, "~/reset", self._on_reset),
        ):
            self._release.append(partial(self.destroy_service, self.create_service(kind, name, callback)))
        timer = self.create_timer(self._value("diagnostics_period"), self._publish_diagnostics)
        self._release.append(partial(self.destroy_timer, timer))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._pipeline is not None
        try:
            super().on_activate(state)  # enables the publishers before the first outcome
            self._pipeline.start()
            self._image_subscription = self._subscribe_to_images(self._pipeline)
        except Exception:  # rclpy drops it without a word
            self.get_logger().error(f"cannot be activated, please report it:\n{traceback.format_exc()}")
            self.stop()
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f"active, images from {self._image_subscription.topic_name}")
        return TransitionCallbackReturn.SUCCESS

    def _subscribe_to_images(self, pipeline: TrackingPipeline) -> Subscription:
        compressed = self._value("image_transport") == "compressed"
        reliable = self._value("image_reliability") == "reliable"
        return self.create_subscription(
            CompressedImage if compressed else Image,
            "image/compressed" if compressed else "image",
            pipeline.add_image,
            QoSProfile(
                depth=self._value("image_depth"),
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            ),
        )

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release_all()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release_all()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release_all()
        return TransitionCallbackReturn.SUCCESS

    def stop(self) -> None:
        """Ends the worker and the image subscription; the target stays."""
        if self._image_subscription is not None:
            self.destroy_subscription(self._image_subscription)
            self._image_subscription = None
        if self._pipeline is not None:
            self._pipeline.stop()

    def _release_all(self) -> None:
        """Back to what the node was before it was configured."""
        self.stop()
        while self._release:
            self._release.pop()()
        self._pipeline = None

    # -- in

    def _on_target_init(self, message: TargetInit) -> None:
        assert self._pipeline is not None
        try:
            target_id, text = self._pipeline.set_target(read_request(message))
        except ValueError as error:
            self._problem("target", f"target_init refused: {error}")
        else:
            self.get_logger().info(f"target_init '{target_id}': {text}")

    def _on_set_target(self, request: SetTarget.Request, response: SetTarget.Response) -> SetTarget.Response:
        assert self._pipeline is not None
        try:
            response.target_id, response.message = self._pipeline.set_target(read_request(request.target))
            response.success = True
        except ValueError as error:
            response.success, response.message = False, str(error)
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        assert self._pipeline is not None
        self._pipeline.reset()
        response.success, response.message = True, "the target is forgotten"
        return response

    def _convert(self, message: Image | CompressedImage) -> NDArray[np.uint8]:
        percentiles = (self._value("stretch_low"), self._value("stretch_high"))
        if isinstance(message, CompressedImage):
            return decompress(message, percentiles=percentiles)
        return to_bgr(message, percentiles=percentiles)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _pipeline_settings(self) -> PipelineSettings:
        return PipelineSettings(
            self._value("history_seconds"), self._value("history_megabytes"), self._value("catch_up_seconds")
        )

    # -- out, in the worker's thread

    def _publish(self, outcome: Outcome) -> None:
        assert self._pipeline is not None
        if not self.context.ok():  # on the way out, the worker may be a moment behind
            return
        header = outcome.message.header
        height, width = outcome.image.shape[:2]
        track = track_message(header, (width, height), outcome.result, outcome.target_id, outcome.unseen_ns)
        track.frames_skipped = outcome.skipped
        now = self.get_clock().now()
        track.latency_ms = self._latency_ms(now, header)
        self._track_publisher.publish(track)
        self._tracks_publisher.publish(TrackArray(header=header, tracks=[track] if outcome.result else []))
        self._pipeline.counters.published(track.latency_ms)
        if self._drawn_publisher.get_subscription_count():
            result = outcome.result
            drawn = draw_track(outcome.image, result.box, result.score, result.state.name) if result else outcome.image
            self._drawn_publisher.publish(image_message(header, drawn))

    def _latency_ms(self, now: Time, header: Header) -> float:
        """Age of the image, ms; NaN where it was not stamped by this clock."""
        age = (now.nanoseconds - Time.from_msg(header.stamp).nanoseconds) / 1e6
        return age if 0 <= age < REPLAY_MS and not self._value("use_sim_time") else float("nan")

    def _problem(self, kind: str, text: str) -> None:
        """Logs a problem; one that may come with every image is logged every few seconds."""
        self._last_problem = text
        now = time.monotonic()
        if kind in ("image", "time") and now - self._told.get(kind, -PROBLEM_PERIOD) < PROBLEM_PERIOD:
            return
        self._told[kind] = now
        self.get_logger().warning(text)

    def _publish_diagnostics(self) -> None:
        assert self._pipeline is not None
        now, name = self.get_clock().now().to_msg(), self.get_fully_qualified_name()
        message = diagnostic_array(now, name, self._pipeline, self._backend, self._last_problem)
        self._diagnostics_publisher.publish(message)


def main(args: list[str] | None = None) -> int:
    """Runs the node until it is asked to stop."""
    rclpy.init(args=args)
    try:
        node = TrackerNode()
    except (ValueError, ParameterException) as error:
        print(f"error: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.stop()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
