"""The web server of the picking page (aiohttp): the page, a websocket with the live picture, and two commands.

Nothing here imports ROS. Routes: ``GET /`` the page; ``GET /ws`` the websocket; ``POST /api/set_target`` and ``POST
/api/reset``, answered ``{"success", "message", "target_id"}``.

A viewer asks for pictures with the text ``next`` and has at most ``CREDITS`` of them under way, so a slow one is sent
fewer and never older ones. A picture is a binary message: stamp in ns (uint64), width and height of the camera's image
(uint32 each), little-endian, then a JPEG that may be smaller. Text messages to the viewer are JSON with ``images``
(tracks of one or several images) or ``status``.
"""

import asyncio
import contextlib
import functools
import hashlib
import json
import math
import struct
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from stif_ros.pick_access import Access

PAGE = Path(__file__).parent / "pick_page"
CREDITS = 2
MOST_VIEWERS = 8
MOST_COMMANDS = 4  # under way at once
LARGEST_BODY = 4096
LONGEST_ID = 100
TRACKS_KEPT = 100  # for a viewer that is slow to take them
STATUS_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
NUMBERS = ("x", "y", "width", "height")


@dataclass(frozen=True)
class Picture:
    """One image for the page; width and height are those of the camera's image."""

    stamp_ns: int
    width: int
    height: int
    jpeg: bytes

    def message(self) -> bytes:
        return struct.pack("<QII", self.stamp_ns, self.width, self.height) + self.jpeg


@dataclass(frozen=True)
class Selection:
    """A box (xywh, pixels of the camera's image) that a person drew on the image with this stamp."""

    stamp_ns: int
    x: float
    y: float
    width: float
    height: float
    target_id: str


@dataclass(frozen=True)
class Answer:
    """What came of a command."""

    success: bool
    message: str
    target_id: str = ""


class Operator(Protocol):
    """What carries out the page's wishes."""

    async def set_target(self, selection: Selection) -> Answer: ...

    async def reset(self) -> Answer: ...

    def status(self) -> dict[str, Any]:
        """What the page should know about the tracker and the camera, JSON."""

    def watched(self, viewers: int) -> None:
        """Told whenever a viewer comes or goes."""


def read_selection(text: str) -> Selection:
    """The body of ``/api/set_target``: JSON with stamp (a string of ns), x, y, width, height, target_id (optional).

    Raises:
        ValueError: It is anything else; the line says what.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("the request is not JSON") from None
    if not isinstance(data, dict):
        raise ValueError("the request is not a JSON object")
    unknown = set(data) - {*NUMBERS, "stamp", "target_id"}
    if unknown:
        raise ValueError(f"unknown field '{min(unknown)[:100]}'")
    stamp, target_id = data.get("stamp"), data.get("target_id", "")
    if not (isinstance(stamp, str) and stamp.isascii() and stamp.isdigit() and len(stamp) < 20):
        raise ValueError('stamp must be the image\'s time in ns, a string of digits ("0": the next image)')
    if not 0 <= int(stamp) < 2**31 * 10**9:
        raise ValueError("stamp is beyond what a ROS time can hold")
    if not isinstance(target_id, str) or len(target_id) > LONGEST_ID or not target_id.isprintable():
        raise ValueError(f"target_id must be a printable string of at most {LONGEST_ID} characters")
    x, y, width, height = (_finite(name, data.get(name)) for name in NUMBERS)
    return Selection(int(stamp), x, y, width, height, target_id)


def _finite(name: str, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
    raise ValueError(f"{name} must be a finite number")


class Viewer:
    """What waits to be sent to one browser: the newest picture, if it asked for one, and short messages."""

    def __init__(self) -> None:
        self.credits = 0
        self._picture: Picture | None = None
        self._images: deque[dict[str, Any]] = deque(maxlen=TRACKS_KEPT)
        self._status: dict[str, Any] | None = None
        self._wake = asyncio.Event()

    def ask(self) -> None:
        self.credits = min(self.credits + 1, CREDITS)

    def offer(self, picture: Picture) -> None:
        if self.credits:
            self._picture = picture
            self._wake.set()

    def tell(self, images: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> None:
        if images is not None:
            self._images.append(images)
        self._status = status or self._status
        self._wake.set()

    async def send_to(self, socket: web.WebSocketResponse) -> None:
        """Sends what comes until the connection breaks."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._status:
                status, self._status = self._status, None
                await socket.send_str(json.dumps({"status": status}))
            if self._images:
                images = list(self._images)
                self._images.clear()
                await socket.send_str(json.dumps({"images": images}, allow_nan=False))
            if self._picture:
                picture, self._picture = self._picture, None
                self.credits -= 1
                await socket.send_bytes(picture.message())


class PickServer:
    """The application and its viewers; runs in the thread of the event loop."""

    def __init__(self, operator: Operator, access: Access) -> None:
        self._operator = operator
        self._access = access
        self._viewers: dict[Viewer, web.WebSocketResponse] = {}
        self._commands = 0
        self._page, policy = _assembled_page()
        self._headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",  # the address may hold the token
            "X-Content-Type-Options": "nosniff",
        }
        self.app = web.Application(middlewares=[self._guard], client_max_size=LARGEST_BODY)
        self.app.router.add_get("/", self._send_page)
        self.app.router.add_get("/ws", self._serve_viewer)
        self.app.router.add_post("/api/set_target", self._set_target)
        self.app.router.add_post("/api/reset", self._reset)
        self.app.cleanup_ctx.append(self._report_status)
        self.app.on_shutdown.append(self._say_goodbye)

    @property
    def wants_picture(self) -> bool:
        """Whether some viewer waits for one; may be asked in any thread."""
        return any(viewer.credits for viewer in tuple(self._viewers))

    def show(self, picture: Picture) -> None:
        for viewer in self._viewers:
            viewer.offer(picture)

    def tell_tracks(self, images: dict[str, Any]) -> None:
        for viewer in self._viewers:
            viewer.tell(images=images)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[..., Awaitable[Any]]) -> web.StreamResponse:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        token = credentials.strip() if scheme.lower() == "bearer" else request.query.get("token", "")
        refusal = self._access.refusal(request.host, request.headers.get("Origin"), token)
        if refusal:
            return web.Response(status=refusal[0], text=refusal[1] + "\n", headers=self._headers)
        response: web.StreamResponse = await handler(request)
        return response

    async def _send_page(self, request: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html", headers=self._headers)

    # -- the live picture

    async def _serve_viewer(self, request: web.Request) -> web.StreamResponse:
        if len(self._viewers) >= MOST_VIEWERS:
            return web.Response(status=503, text=f"{MOST_VIEWERS} viewers are connected, no more fit\n")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=LARGEST_BODY, compress=False)
        await socket.prepare(request)
        viewer = Viewer()
        viewer.tell(status=self._operator.status())
        self._viewers[viewer] = socket
        self._operator.watched(len(self._viewers))
        sender = asyncio.ensure_future(viewer.send_to(socket))
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT or message.data != "next":
                    await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"expected the text next")
                    break
                viewer.ask()
        finally:
            del self._viewers[viewer]
            self._operator.watched(len(self._viewers))
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, RuntimeError):
                await sender  # a send into a closed connection is how it usually ends
        return socket

    async def _report_status(self, app: web.Application) -> Any:
        async def report() -> None:
            while True:
                await asyncio.sleep(STATUS_SECONDS)
                if self._viewers:
                    status = self._operator.status()
                    for viewer in self._viewers:
                        viewer.tell(status=status)

        task = asyncio.ensure_future(report())
        yield
        task.cancel()

    async def _say_goodbye(self, app: web.Application) -> None:
        closing = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._viewers.values()]
        await asyncio.gather(*closing, return_exceptions=True)

    # -- commands

    async def _set_target(self, request: web.Request) -> web.Response:
        # A form of another site can send plain text without asking first, never this type.
        if request.content_type != "application/json":
            return _answer(Answer(False, "expected content type application/json"), 415)
        try:
            selection = read_selection(await request.text())
        except ValueError as error:  # among them bytes that are no text
            return _answer(Answer(False, str(error)), 400)
        return await self._carried_out(functools.partial(self._operator.set_target, selection))

    async def _reset(self, request: web.Request) -> web.Response:
        return await self._carried_out(self._operator.reset)

    async def _carried_out(self, command: Callable[[], Awaitable[Answer]]) -> web.Response:
        if self._commands >= MOST_COMMANDS:
            return _answer(Answer(False, "earlier commands are not answered yet, try again"), 503)
        self._commands += 1
        try:
            return _answer(await command())
        finally:
            self._commands -= 1


def _answer(answer: Answer, status: int = 200) -> web.Response:
    return web.json_response(asdict(answer), status=status, headers={"Cache-Control": "no-store"})


def _assembled_page() -> tuple[str, str]:
    """The page with its style and script inside, so that one request (and one token) brings it, and its policy."""
    style, script = (PAGE / "pick.css").read_text("utf-8"), (PAGE / "pick.js").read_text("utf-8")
    page = (PAGE / "pick.html").read_text("utf-8")
    page = page.replace("<style></style>", f"<style>{style}</style>").replace(
        "<script></script>", f"<script>{script}</script>"
    )
    style_hash, script_hash = (b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script))
    policy = (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy
