"""The lifecycle node ``tracker``: images and a target in, tracked boxes out."""

import faulthandler
import gc
import math
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from stif_core.allocator import keep_freed_memory
from stif_core.io.drawing import mark_track
from stif_core.io.ros_images import decompress, to_bgr
from stif_core.io.stamps import nanoseconds
from stif_core.tracking import Tracker
from stif_core.tracking.target_set import TargetSet
from stif_ros import parameters
from stif_ros.bearings import Bearings
from stif_ros.detections import Detections
from stif_ros.diagnostics import CpuShare, diagnostic_array
from stif_ros.image_subscription import ImageSubscription
from stif_ros.messages import image_message, track_message
from stif_ros.msg import TargetInit, Track, TrackArray
from stif_ros.pipeline import Outcome, PipelineSettings, TrackingPipeline
from stif_ros.problems import Problems
from stif_ros.srv import RemoveTarget, SelectDetection, SetTarget
from stif_ros.target import TargetRequest, read_request
from stif_ros.targets import TargetTrack

RCLError = rclpy_implementation.RCLError  # rclpy has no public name for it
SWITCH_SECONDS = 1e-4  # how long the executor may keep the interpreter from the worker, which has an image; else 5 ms
STOP_SECONDS = 0.2  # until a signal is noticed, at most
REPLAY_MS = 60_000.0  # an image older than this comes from a recording: its latency means nothing
WATCH_PERIOD = 1.0  # seconds between two looks at the images' publishers


class TrackerNode(LifecycleNode):
    """Translates between ROS and the tracking pipeline; see README for topics, services and parameters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("tracker", **kwargs)
        parameters.declare(self)
        self._pipeline: TrackingPipeline | None = None
        self._images: ImageSubscription | None = None
        self._release: list[Callable[[], Any]] = []  # undoes what on_configure made
        self._problem = Problems(self.get_logger())
        self._cpu_share = CpuShare()
        # With use_sim_time, timers of the node's own clock would stand still when a simulation pauses.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        # rclpy offers no other hold on this service.
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state

    # -- life cycle

    def _on_change_state(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        """Refuses a transition that the state does not have; rclpy lets it end the whole process."""
        try:
            return self._change_state(request, response)
        except RCLError as error:
            self.get_logger().warning(f"transition {request.transition.id} refused: {error}")
            response.success = False
            return response

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            tracker = Tracker.load(
                self._value("model"), self._value("backend"), self._value("threads"), self.get_logger().info
            )
            self._backend = f"{tracker.backend.name} in {tracker.backend.precision}"
            trackers = TargetSet(tracker.backend, tracker.settings)
            trackers.warm_up(self._value("max_targets"))
            self._pipeline = TrackingPipeline(
                trackers, self._convert, self._publish, self._problem, self._pipeline_settings
            )
            self._bearings = Bearings(self._value("image_rectified"), partial(self._problem, "camera_info"))
            self._detections = Detections()
            self._create_interfaces()
        except ValueError as error:
            self.get_logger().error(str(error))
        except Exception:  # rclpy drops it without a word
            self._say_why("configured")
        else:
            self.get_logger().info(f"model {self._value('model')} on {self._backend}")
            return TransitionCallbackReturn.SUCCESS
        self._release_all()
        return TransitionCallbackReturn.FAILURE

    def _say_why(self, what: str) -> None:
        """Logs the exception in work."""
        self.get_logger().error(f"cannot be {what}, please report it:\n{traceback.format_exc()}")

    def _create_interfaces(self) -> None:
        # Each policy can be overridden: qos_overrides./track.publisher.depth and so on.
        overridable = QoSOverridingOptions.with_default_policies()
        self._track_publisher, self._tracks_publisher, self._drawn_publisher = (
            self.create_lifecycle_publisher(kind, name, depth, qos_overriding_options=overridable)
            for kind, name, depth in ((Track, "track", 10), (TrackArray, "tracks", 10), (Image, "track/image", 1))
        )
        for publisher in (self._track_publisher, self._tracks_publisher, self._drawn_publisher):
            self._release.append(partial(self.destroy_lifecycle_publisher, publisher))
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._release.append(partial(self.destroy_publisher, self._diagnostics_publisher))
        subscription = self.create_subscription(
            TargetInit, "target_init", self._on_target_init, 10, qos_overriding_options=overridable
        )
        self._release.append(partial(self.destroy_subscription, subscription))
        for kind, name, callback in (
            (SetTarget, "~/set_target", self._on_set_target),
            (SelectDetection, "~/select_detection", self._on_select_detection),
            (RemoveTarget, "~/remove_target", self._on_remove_target),
            (Trigger, "~/reset", self._on_reset),
        ):
            self._release.append(partial(self.destroy_service, self.create_service(kind, name, callback)))
        for period, run in (
            (self._value("diagnostics_period"), self._publish_diagnostics),
            (WATCH_PERIOD, self._watch_images),
        ):
            timer = self.create_timer(period, run, clock=self._steady_clock)
            self._release.append(partial(self.destroy_timer, timer))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._pipeline is not None
        try:
            super().on_activate(state)  # enables the publishers before the first outcome
            self._pipeline.start()
            self._images = ImageSubscription(
                self,
                self._value("image_transport") == "compressed",
                self._value("image_reliability"),
                self._value("image_depth"),
                self._on_image,
                self._problem,
            )
            self._bearings.start(self, self._images.topic)
            self._detections.start(self)
        except Exception:  # rclpy drops it without a word
            self._say_why("activated")
            self.stop()
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f"active, images from {self._images.topic} ({self._images.qos})")
        return TransitionCallbackReturn.SUCCESS

    def _watch_images(self) -> None:
        if self._images is not None:
            self._images.watch(self._value("image_timeout"))

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
        if self._images is not None:
            self._bearings.stop(self)
            self._detections.stop(self)
            self._images.close()
            self._images = None
        if self._pipeline is not None:
            self._pipeline.stop()

    def _release_all(self) -> None:
        """Back to what the node was before it was configured."""
        self.stop()
        while self._release:
            self._release.pop()()
        self._pipeline = None
        # rclpy's subscriptions and their callbacks refer to each other; without this the network, its memory and its
        # threads would stay until Python happens to look at its oldest objects.
        gc.collect()

    # -- in

    def _on_image(self, message: Any, sequence: int | None, receive_ms: float) -> None:
        # Not the pipeline's own method: the executor holds the last callback for a while, and the network by it.
        if self._pipeline is not None:
            self._pipeline.add_image(message, sequence, receive_ms)

    def _on_target_init(self, message: TargetInit) -> None:
        assert self._pipeline is not None
        try:
            target_id, text = self._pipeline.set_target(read_request(message))
        except ValueError as error:
            self._problem("target", f"target_init refused: {error}")
        else:
            self.get_logger().info(f"target_init '{target_id}': {text}")

    def _on_set_target(self, request: SetTarget.Request, response: SetTarget.Response) -> SetTarget.Response:
        self._answer(response, lambda: read_request(request.target))
        return response

    def _on_select_detection(
        self, request: SelectDetection.Request, response: SelectDetection.Response
    ) -> SelectDetection.Response:
        assert self._pipeline is not None
        size = self._pipeline.image_size
        self._answer(response, lambda: self._detections.request(request.detection_id, request.target_id, size))
        return response

    def _answer(
        self, response: SetTarget.Response | SelectDetection.Response, read: Callable[[], TargetRequest]
    ) -> None:
        """Sets a target and tells the outcome."""
        assert self._pipeline is not None
        try:
            response.target_id, response.message = self._pipeline.set_target(read())
            response.success = True
        except ValueError as error:
            self._problem("target", f"target refused: {error}")
            response.success, response.message = False, str(error)

    def _on_remove_target(
        self, request: RemoveTarget.Request, response: RemoveTarget.Response
    ) -> RemoveTarget.Response:
        assert self._pipeline is not None
        try:
            self._pipeline.remove_target(request.target_id)
            response.success, response.message = True, f"'{request.target_id}' is forgotten"
        except ValueError as error:
            response.success, response.message = False, str(error)
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        assert self._pipeline is not None
        self._pipeline.reset()
        response.success, response.message = True, "all targets are forgotten"
        return response

    def _convert(self, message: Image | CompressedImage) -> NDArray[np.uint8]:
        percentiles = (self._value("stretch_low"), self._value("stretch_high"))
        if isinstance(message, CompressedImage):
            return decompress(message, percentiles=percentiles)
        return to_bgr(message, percentiles=percentiles)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _pipeline_settings(self) -> PipelineSettings:
        names = ("max_targets", "history_seconds", "history_megabytes", "catch_up_seconds")
        return PipelineSettings(*(self._value(name) for name in names))

    # -- out, in the worker's thread

    def _publish(self, outcome: Outcome) -> None:
        assert self._pipeline is not None
        header = outcome.message.header
        tracks = [self._track_message(outcome, target) for target in outcome.tracks]
        first = tracks[0] if tracks else self._track_message(outcome, None)
        self._track_publisher.publish(first)
        if self._tracks_publisher.get_subscription_count():
            self._tracks_publisher.publish(TrackArray(header=header, tracks=tracks))
        self._pipeline.counters.published(first.latency_ms)
        if self._drawn_publisher.get_subscription_count():
            drawn = outcome.image.copy()
            for line, target in enumerate(outcome.tracks):
                result, name = target.result, target.target_id if len(outcome.tracks) > 1 else ""
                mark_track(drawn, result.box, result.score, result.state.name, name, line)
            self._drawn_publisher.publish(image_message(header, drawn))

    def _track_message(self, outcome: Outcome, target: TargetTrack | None) -> Track:
        header = outcome.message.header
        height, width = outcome.image.shape[:2]
        track = track_message(header, (width, height), target)
        track.frames_skipped = outcome.skipped
        if target is not None:
            self._bearings.fill(track, target.setting)
        track.latency_ms = self._latency_ms(header)
        return track

    def _latency_ms(self, header: Header) -> float:
        """Age of the image, ms; NaN where it was not stamped by this clock."""
        age = (self.get_clock().now().nanoseconds - nanoseconds(header.stamp)) / 1e6
        return age if 0 <= age < REPLAY_MS and not self._value("use_sim_time") else math.nan

    def report_defect(self, text: str) -> None:
        self._problem("defect", f"internal error, please report it:\n{text}")

    def _publish_diagnostics(self) -> None:
        assert self._pipeline is not None
        now, name = self.get_clock().now().to_msg(), self.get_fully_qualified_name()
        message = diagnostic_array(
            now, name, self._pipeline, self._images, self._backend, self._problem, self._cpu_share.since_last()
        )
        message.status.append(self._bearings.status(name))
        self._diagnostics_publisher.publish(message)


def main(args: list[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM, in any state."""
    stopping = False

    def stop(*_: Any) -> None:
        nonlocal stopping
        stopping = True

    faulthandler.enable()  # a crash in a library tells at least which thread did what
    keep_freed_memory()
    sys.setswitchinterval(SWITCH_SECONDS)
    # Not rclpy's handlers: they take ROS away from under what is being made, loaded or published.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = TrackerNode()
    except (ValueError, ParameterException) as error:
        print(f"error: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stopping:
        try:
            executor.spin_once(timeout_sec=STOP_SECONDS)
        except Exception:  # of a callback: the node must outlive a defect
            node.report_defect(traceback.format_exc())
    executor.shutdown(timeout_sec=0)
    node.stop()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
