"""The node ``pick``: a web page on which a person draws a box around the target.

Three threads. The main one runs the web server's event loop; one runs the executor and with it everything that touches
ROS; one turns images into JPEG. The server's thread reaches ROS through ``_in_executor``, the others reach the server
through ``call_soon_threadsafe``. While nobody has the page open, nothing is subscribed to; while nobody asks for a
picture, none is encoded.
"""

import asyncio
import contextlib
import functools
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import rclpy
from aiohttp import web
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.client import Client
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from stif_core.io.ros_images import decompress, to_bgr
from stif_core.io.stamps import nanoseconds
from stif_ros.image_subscription import ImageSubscription
from stif_ros.msg import TargetInit, Track, TrackArray
from stif_ros.newest import NewestWorker
from stif_ros.parameters import Parameter, declare
from stif_ros.pick_access import Access
from stif_ros.pick_server import Answer, PickServer, Picture, Selection
from stif_ros.srv import SetTarget

PARAMETERS = {
    "address": Parameter("127.0.0.1", "Address to listen on; any but the loopback address needs a token.", True),
    "port": Parameter(8080, "TCP port to listen on; 0: any that is free.", True, 0, 65535),
    "token": Parameter("", "Secret that the page's address must carry; empty: generated where needed.", True),
    "tracker": Parameter("tracker", "Name of the tracker node that the box is sent to.", True),
    "image_transport": Parameter(
        "raw", "raw subscribes to image, compressed to image/compressed.", True, choices=("raw", "compressed")
    ),
    "image_reliability": Parameter(
        "auto",
        "QoS reliability of the image subscription; auto: the camera's.",
        True,
        choices=("auto", "best_effort", "reliable"),
    ),
    "max_width": Parameter(960, "Wider images are shrunk to this width for the page, px.", low=64, high=3840),
    "jpeg_quality": Parameter(80, "Of the pictures sent to the page.", low=10, high=100),
    "max_rate": Parameter(15.0, "Pictures a second sent to the page at most.", low=0.5, high=60.0),
}
STATES = {Track.IDLE: "IDLE", Track.TRACKING: "TRACKING", Track.UNCERTAIN: "UNCERTAIN", Track.LOST: "LOST"}
TRIES, TRY_SECONDS = 3, 2.0  # the answer to the first call of a service just found may get lost
CLOSE_SECONDS = 0.5
SILENCE_SECONDS = 2.0  # without an image, before the page says why
WATCH_SECONDS = 0.5


class PickNode(Node):
    """The ``Operator`` of the page's server, by the tracker's services and topics."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__("pick", **kwargs)
        declare(self, PARAMETERS)
        self._loop = loop
        self.access = Access.to(self.value("address"), self.value("token"))
        self.server = PickServer(self, self.access)
        self._actions: deque[Callable[[], Any]] = deque()
        self._wake = self.create_guard_condition(self._run_actions)
        self._tracker = self.resolve_service_name(self.value("tracker"))
        self._set_target = self.create_client(SetTarget, f"{self._tracker}/set_target")
        self._reset = self.create_client(Trigger, f"{self._tracker}/reset")
        self._images: ImageSubscription | None = None  # while somebody watches
        self._tracks: Subscription | None = None
        self.create_timer(WATCH_SECONDS, self._watch)
        self._encoder = NewestWorker(self._encode)
        self._next_picture = 0.0  # monotonic, s
        self._problem = ""

    def value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def close(self) -> None:
        self._encoder.stop()
        self.destroy_node()

    # -- the page's wishes, in the server's thread

    async def set_target(self, selection: Selection) -> Answer:
        """Asks the tracker; an answer that does not come is an answer, too."""
        sec, nanosec = divmod(selection.stamp_ns, 10**9)
        target = TargetInit(
            header=Header(stamp=Time(sec=sec, nanosec=nanosec)),
            target_id=selection.target_id,
            x=selection.x,
            y=selection.y,
            width=selection.width,
            height=selection.height,
        )
        answer = await self._called(self._set_target, SetTarget.Request(target=target))
        if isinstance(answer, Answer):
            return answer
        return Answer(answer.success, answer.message, answer.target_id)

    async def reset(self) -> Answer:
        answer = await self._called(self._reset, Trigger.Request())
        return answer if isinstance(answer, Answer) else Answer(answer.success, answer.message)

    def status(self) -> dict[str, Any]:
        images = self._images
        return {
            "tracker": self._set_target.service_is_ready(),
            "tracker_name": self._tracker,
            "problem": self._problem or (images.silence if images is not None else ""),
        }

    def watched(self, viewers: int) -> None:
        self._in_executor(functools.partial(self._follow, viewers > 0))

    async def _called(self, client: Client, request: Any) -> Any:
        """The service's response, or an Answer that says why there is none. A request may be sent several times."""
        for _ in range(TRIES):
            if not client.service_is_ready():
                break
            response = self._loop.create_future()
            sent = client.call_async(request)
            sent.add_done_callback(lambda done, waiting=response: self._hand_over(done, waiting))
            try:
                return await asyncio.wait_for(response, TRY_SECONDS)
            except asyncio.TimeoutError:
                client.remove_pending_request(sent)
        return Answer(False, f"no answer from {client.srv_name}: is the tracker running, configured and active?")

    # -- ROS, in the executor's thread

    def _hand_over(self, done: Future, waiting: "asyncio.Future[Any]") -> None:
        def settle() -> None:
            if not waiting.done():  # else it was waited for in vain
                waiting.set_result(done.result())

        self._loop.call_soon_threadsafe(settle)

    def _in_executor(self, action: Callable[[], Any]) -> None:
        self._actions.append(action)
        self._wake.trigger()

    def _run_actions(self) -> None:
        while self._actions:
            self._actions.popleft()()

    def _follow(self, watched: bool) -> None:
        """Subscribes when the first viewer comes and unsubscribes when the last one has left."""
        if watched and self._images is None:
            compressed, reliability = self.value("image_transport") == "compressed", self.value("image_reliability")
            self._images = ImageSubscription(self, compressed, reliability, 1, self._on_image, self._report)
            self._tracks = self.create_subscription(TrackArray, "tracks", self._on_tracks, 10)
        elif not watched and self._images is not None:
            self._images.close()
            self.destroy_subscription(self._tracks)
            self._images = self._tracks = None

    def _watch(self) -> None:
        if self._images is not None:
            self._images.watch(SILENCE_SECONDS)

    def _report(self, kind: str, text: str) -> None:
        self.get_logger().warning(text)

    def _on_image(self, message: Image | CompressedImage, count: int | None, receive_ms: float) -> None:
        now = time.monotonic()
        if now < self._next_picture or not self.server.wants_picture:
            return
        period = 1.0 / self.value("max_rate")
        # Counted on from when this one was due, so that a camera slightly faster than the limit is not halved.
        self._next_picture = max(self._next_picture + period, now)
        self._encoder.put(message)

    def _on_tracks(self, message: TrackArray) -> None:
        images = {
            "stamp": str(nanoseconds(message.header.stamp)),
            "tracks": [track_fields(track) for track in message.tracks],
        }
        self._loop.call_soon_threadsafe(self.server.tell_tracks, images)

    # -- in the encoder's thread

    def _encode(self, message: Image | CompressedImage | None, replaced: int) -> None:
        if message is None:
            return
        try:
            image = decompress(message) if isinstance(message, CompressedImage) else to_bgr(message)
            jpeg = encode(image, self.value("max_width"), self.value("jpeg_quality"))
        except (ValueError, cv2.error) as error:
            if str(error) != self._problem:
                self.get_logger().warning(str(error))
            self._problem = str(error)
            return
        self._problem = ""
        height, width = image.shape[:2]
        picture = Picture(nanoseconds(message.header.stamp), width, height, jpeg)
        self._loop.call_soon_threadsafe(self.server.show, picture)


def track_fields(track: Track) -> dict[str, Any]:
    """What the page shows of a track; box xywh in pixels, None where a number is not known."""
    x, y = track.center_x - track.size_x / 2, track.center_y - track.size_y / 2
    box = [x, y, track.size_x, track.size_y]
    return {
        "id": track.target_id,
        "state": STATES.get(track.state, "?"),
        "box": box if track.box_valid and all(map(math.isfinite, box)) else None,
        "confidence": track.confidence if math.isfinite(track.confidence) else None,
        "latency_ms": track.latency_ms if math.isfinite(track.latency_ms) else None,
    }


def encode(image: NDArray[np.uint8], max_width: int, quality: int) -> bytes:
    """A BGR image as JPEG, shrunk to ``max_width`` if it is wider."""
    height, width = image.shape[:2]
    if width > max_width:
        size = (max_width, max(1, round(height * max_width / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


async def serve() -> None:
    """Runs the node and its server until SIGINT or SIGTERM.

    Raises:
        ValueError: A parameter cannot be used, or the address cannot be listened on.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    node = PickNode(loop)
    runner = web.AppRunner(node.server.app, access_log=None)  # the log would hold the token
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        await runner.setup()
        address, port = node.value("address"), node.value("port")
        try:
            await web.TCPSite(runner, address, port).start()
        except OSError as error:
            raise ValueError(f"cannot listen on address {address}, port {port}: {error.strerror}") from error
        node.get_logger().info(f"open {page_address(runner.addresses[0], node.access.token)}")
        spinning = asyncio.ensure_future(asyncio.to_thread(executor.spin))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({spinning, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        executor.shutdown()
        await spinning  # raises what ended it, if it was not asked to end
    finally:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(runner.cleanup(), CLOSE_SECONDS)
        node.close()


def page_address(listening: tuple[Any, ...], token: str) -> str:
    """The page's URL for a socket address (host, port, ...)."""
    host, port = str(listening[0]), listening[1]
    if host in ("0.0.0.0", "::"):
        host = "ROBOT"  # every address of this machine; which one a tablet reaches, it knows best
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


def main(args: list[str] | None = None) -> int:
    """Runs the node until it is asked to stop."""
    # Signals end the event loop, in order; rclpy's own handlers would pull ROS away from under it.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        asyncio.run(serve())
    except (ValueError, ParameterException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
