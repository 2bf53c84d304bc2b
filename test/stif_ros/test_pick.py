"""The picking page's server over real HTTP, against the real tracker over DDS; the page in a browser: next file."""

import asyncio
import json
import os
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")

import aiohttp
import cv2
import numpy as np
from picking import FRAMES, SCRIPT, TRUTH, Camera, PickProcess
from robot import PERIOD_NS, Robot, box_of, header, use_own_domain, wait_until
from stif_ros.msg import Track

from stif_ros.messages import image_message
from stif_ros.pick_access import Access, is_loopback
from stif_ros.pick_server import CREDITS, MOST_VIEWERS, Picture, Selection, Viewer, read_selection

BOX = {"x": 10, "y": 10, "width": 50, "height": 40}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def own_domain():
    with pytest.MonkeyPatch.context() as patch:
        use_own_domain(patch)
        yield


@pytest.fixture(scope="module")
def robot(own_domain):
    robot = Robot().bring_up()
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def pick(robot):
    process = PickProcess(max_width=320, max_rate=50.0)
    yield process
    process.close()


def ask(method: str, url: str, **options) -> tuple[int, str, dict]:
    async def request():
        async with aiohttp.ClientSession() as session, session.request(method, url, **options) as response:
            return response.status, await response.text(), response.headers

    return asyncio.run(request())


def post(pick: PickProcess, path: str, body: dict | str) -> tuple[int, dict]:
    data = body if isinstance(body, str) else json.dumps(body)
    status, text, _ = ask("POST", pick.base + path, data=data, headers=JSON)
    return status, json.loads(text)


def in_page(url: str, script) -> object:
    """Runs ``script(socket)`` on a websocket to the server."""

    async def session():
        base, _, query = url.partition("?")
        async with aiohttp.ClientSession() as client, client.ws_connect(f"{base}ws?{query}") as socket:
            return await script(socket)

    return asyncio.run(session())


async def next_picture(socket) -> tuple[int, int, int, bytes]:
    while True:
        message = await socket.receive(20)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        if message.type == aiohttp.WSMsgType.BINARY:
            return (*struct.unpack("<QII", message.data[:16]), message.data[16:])


# -- who may come in


def test_page_comes_in_one_piece_and_may_load_nothing_else(pick):
    status, text, headers = ask("GET", pick.url)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "function connect()" in text and "--ground:" in text
    assert "<style></style>" not in text and "<script></script>" not in text


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "ws"), ("POST", "api/reset")])
@pytest.mark.parametrize("foreign", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}])
def test_pages_of_other_sites_are_refused(pick, method, path, foreign):
    status, _, headers = ask(method, pick.base + path, headers={**JSON, **foreign}, data=json.dumps(BOX))
    assert status == 403
    assert "Access-Control-Allow-Origin" not in headers


def test_permission_to_send_across_origins_is_not_given(pick):
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    status, _, headers = ask("OPTIONS", pick.base + "api/reset", headers=asked)
    assert status == 403
    assert not [name for name in headers if name.startswith("Access-Control")]


def test_any_other_address_needs_the_token_that_is_printed(own_domain):
    process = PickProcess(address="0.0.0.0", tracker="nobody")
    try:
        token = process.query.removeprefix("token=")
        assert len(token) == 24
        for path in ("", "ws", "api/reset"):
            method = "POST" if path.startswith("api") else "GET"
            assert ask(method, process.base + path)[0] == 401
            assert ask(method, process.base + path, params={"token": token[:-1]})[0] == 401
            assert ask(method, process.base + path, headers={"Authorization": "Bearer wrong"})[0] == 401
        assert ask("GET", process.url)[0] == 200
        # A robot is reached under any name; the token keeps out a foreign name that was bent to its address.
        bearer = {"Authorization": f"Bearer {token}", "Host": "robot.local"}
        assert ask("GET", process.base, headers=bearer)[0] == 200
        assert ask("GET", process.base, headers={**bearer, "Origin": "http://evil.example"})[0] == 403
        status, text, _ = ask("POST", process.base + "api/reset", headers=bearer)
        assert status == 200
        assert json.loads(text)["message"].startswith("no answer from /nobody/reset: is the tracker running")

        async def status_of(socket):
            return (await socket.receive_json())["status"]

        assert in_page(process.url, status_of)["tracker"] is False
    finally:
        process.close()
    assert sum(token in line for line in process.errors) == 1  # printed once, never logged with a request


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("token:=secret", "token has 6 characters, expected at least 8"),
        ("token:='with space'", "token may hold ASCII letters, digits and -_.~ only"),
        ("address:=256.1.1.1", "cannot listen on address 256.1.1.1, port 0: "),
        ("image_transport:=theora", "parameter image_transport is 'theora', expected one of: raw, compressed"),
    ],
)
def test_wrong_parameter_is_one_clear_line(own_domain, parameter, reason):
    command = [sys.executable, str(SCRIPT), "--ros-args", "-p", "port:=0", "-p", parameter]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_port_in_use_is_one_clear_line(pick):
    port = pick.base.rstrip("/").rpartition(":")[2]
    command = [sys.executable, str(SCRIPT), "--ros-args", "-p", f"port:={port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert f"cannot listen on address 127.0.0.1, port {port}: " in done.stderr
    assert "Traceback" not in done.stderr


@given(token=st.text("abcXYZ019-_", min_size=8), given_token=st.text())
def test_only_the_token_itself_opens(token, given_token):
    access = Access.to("192.168.0.1", token)
    assert (access.refusal("robot:8080", None, given_token) is None) == (given_token == token)


@given(host=st.text())
def test_without_a_token_only_loopback_names_open(host):
    access = Access.to("localhost", "")
    assert (access.refusal(host, None, "") or (403,))[0] == 403
    own = ("localhost:80", "127.0.0.1:8080", "[::1]")
    assert all(access.refusal(name, f"http://{name}", "") is None for name in own)
    assert access.refusal("localhost.evil.example", None, "") is not None


def test_loopback_is_recognised():
    assert [is_loopback(name) for name in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(name) for name in ("0.0.0.0", "::", "10.0.0.1", "robot", "")] == [False] * 5


# -- commands


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "the request is not JSON"),
        ("[" * 2000, "the request is not JSON"),
        ("[1, 2]", "the request is not a JSON object"),
        ({**BOX, "stamp": 5}, "stamp must be the image's time in ns, a string of digits"),
        ({**BOX, "stamp": "-1"}, "stamp must be"),
        ({**BOX, "stamp": "9" * 19}, "stamp is beyond what a ROS time can hold"),
        ({**BOX, "stamp": "0", "x": "10"}, "x must be a finite number"),
        ({**BOX, "stamp": "0", "x": True}, "x must be a finite number"),
        ({**BOX, "stamp": "0", "y": float("nan")}, "y must be a finite number"),
        ({**BOX, "stamp": "0", "width": 10**400}, "width must be a finite number"),
        ({"stamp": "0", "x": 1, "y": 1, "width": 1}, "height must be a finite number"),
        ({**BOX, "stamp": "0", "target_id": "a" * 101}, "target_id must be a printable string"),
        ({**BOX, "stamp": "0", "id": "a"}, "unknown field 'id'"),
    ],
)
def test_malformed_request_is_answered_with_its_reason(pick, body, reason):
    status, answer = post(pick, "api/set_target", body)
    assert (status, answer["success"]) == (400, False)
    assert answer["message"].startswith(reason)


def test_form_of_another_kind_and_a_huge_body_are_refused(pick):
    url = pick.base + "api/set_target"
    assert ask("POST", url, data=json.dumps({**BOX, "stamp": "0"}), headers={"Content-Type": "text/plain"})[0] == 415
    assert ask("POST", url, data="x" * 100_000, headers=JSON)[0] == 413
    assert ask("POST", url, data=b"\xff\xfe", headers=JSON)[0] == 400
    assert ask("GET", url)[0] == 405
    assert ask("GET", pick.base + "api/nothing")[0] == 404


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["stamp", "target_id", *BOX]), json_values) | json_values)
def test_whatever_comes_is_a_selection_of_finite_numbers_or_refused(value):
    try:
        selection = read_selection(json.dumps(value))
    except ValueError:
        return
    assert isinstance(selection, Selection)
    assert np.isfinite([selection.x, selection.y, selection.width, selection.height]).all()


def test_box_is_taken_up_in_the_image_that_it_was_drawn_on(robot, pick):
    robot.show(*(image_message(header(robot.stamp(i)), FRAMES[i]) for i in range(6)))
    x, y, width, height = TRUTH[2].tolist()
    wish = {"stamp": str(robot.stamp(2)), "x": x, "y": y, "width": width, "height": height, "target_id": "face"}
    status, answer = post(pick, "api/set_target", wish)
    assert (status, answer["success"], answer["target_id"]) == (200, True, "face")
    assert answer["message"] == "tracking starts from an image 0.099 s old"
    track = robot.show(image_message(header(robot.stamp(6)), FRAMES[6]))
    assert (track.state, track.target_id) == (Track.TRACKING, "face")
    np.testing.assert_allclose(box_of(track), TRUTH[6], atol=12)
    assert post(pick, "api/reset", {})[1]["message"] == "all targets are forgotten"
    assert robot.show(image_message(header(robot.stamp(7)), FRAMES[7])).state == Track.IDLE


@pytest.mark.parametrize(
    ("stamp_ns", "box", "reason"),
    [
        (lambda robot: robot.stamp(2) + PERIOD_NS // 2, BOX, "no image has this stamp"),
        (lambda robot: 1, BOX, "the image with this stamp is"),
        (lambda robot: robot.stamp(2), {**BOX, "x": 5000}, "box"),
        (lambda robot: robot.stamp(2), {**BOX, "width": -5}, "box"),
    ],
)
def test_refusal_comes_with_the_trackers_reason(robot, pick, stamp_ns, box, reason):
    robot.show(*(image_message(header(robot.stamp(i)), FRAMES[i]) for i in range(4)))
    status, answer = post(pick, "api/set_target", {**box, "stamp": str(stamp_ns(robot))})
    assert (status, answer["success"]) == (200, False)
    assert answer["message"].startswith(reason)


# -- the live picture


def test_pictures_are_shrunk_and_carry_the_stamp_and_size_of_their_image(robot, pick):
    camera = Camera(robot)
    try:

        async def one(socket):
            await socket.send_str("next")
            return await next_picture(socket)

        stamp_ns, width, height, jpeg = in_page(pick.url, one)
    finally:
        camera.stop()
    assert (width, height) == (640, 480)
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (240, 320, 3)
    shrunk = [cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA) for frame in FRAMES]
    distance = [np.abs(decoded.astype(int) - frame).mean() for frame in shrunk]
    assert np.argmin(distance) == camera.shown[stamp_ns]


def test_nothing_is_sent_unasked_and_a_slow_viewer_gets_the_newest(robot, pick):
    camera = Camera(robot, rate=30)
    try:

        async def slow(socket):
            end = time.monotonic() + 1.5
            while time.monotonic() < end:  # tracks and status come, pictures do not
                message = await socket.receive(5)
                assert message.type == aiohttp.WSMsgType.TEXT
            ages = []
            for _ in range(3):
                await asyncio.sleep(0.5)
                asked = time.time_ns()
                await socket.send_str("next")
                stamp_ns, *_ = await next_picture(socket)
                ages.append((asked - stamp_ns) / 1e9)
            return ages

        ages = in_page(pick.url, slow)
    finally:
        camera.stop()
    assert max(ages) < 0.1  # encoded when asked for, not kept since


def test_camera_is_subscribed_to_only_while_somebody_watches(robot, pick):
    subscriptions = robot.camera.get_subscription_count
    wait_until(lambda: subscriptions() == 1, "the last viewer's subscription to end")

    async def watch(socket):
        end = time.monotonic() + 15
        while subscriptions() < 2:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)

    in_page(pick.url, watch)
    wait_until(lambda: subscriptions() == 1, "the subscription to end")


def test_tracks_reach_the_page_with_their_stamp(robot, pick):
    camera = Camera(robot)
    try:
        x, y, width, height = TRUTH[0].tolist()
        wait_until(lambda: 0 in camera.shown.values(), "the first frame")
        stamp_ns = next(stamp for stamp, index in camera.shown.items() if index == 0)
        wish = {"stamp": str(stamp_ns), "x": x, "y": y, "width": width, "height": height}
        assert post(pick, "api/set_target", wish)[1]["success"]

        async def first_tracks(socket):
            async for message in socket:
                for image in json.loads(message.data).get("images", []):
                    if image["tracks"]:
                        return image

        image = in_page(pick.url, first_tracks)
    finally:
        camera.stop()
        post(pick, "api/reset", {})
    (track,) = image["tracks"]
    assert track["state"] == "TRACKING"
    assert 0.7 < track["confidence"] <= 1
    np.testing.assert_allclose(track["box"], TRUTH[camera.shown[int(image["stamp"])]], atol=12)


def test_viewer_that_talks_nonsense_is_sent_away_and_one_too_many_is_not_let_in(pick):
    async def nonsense(socket):
        await socket.send_str("give me all")
        while (message := await socket.receive(5)).type == aiohttp.WSMsgType.TEXT:
            pass
        return message.type, socket.close_code

    assert in_page(pick.url, nonsense) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.POLICY_VIOLATION)

    async def crowd():
        async with aiohttp.ClientSession() as client:
            sockets = [await client.ws_connect(pick.base + "ws") for _ in range(MOST_VIEWERS)]
            async with client.get(pick.base + "ws") as response:
                status = response.status
            for socket in sockets:
                await socket.close()
            return status

    assert asyncio.run(crowd()) == 503
    assert in_page(pick.url, lambda socket: socket.receive_json())["status"]["tracker"] is True


def test_viewer_is_never_owed_more_than_its_credits():
    async def talk():
        viewer = Viewer()
        viewer.offer(Picture(1, 4, 3, b"not asked for"))
        for _ in range(10):
            viewer.ask()
        assert viewer.credits == CREDITS
        viewer.offer(Picture(2, 4, 3, b"old"))
        viewer.offer(Picture(3, 4, 3, b"new"))
        sent = []

        class Socket:
            async def send_bytes(self, data):
                sent.append(data)

        task = asyncio.ensure_future(viewer.send_to(Socket()))
        await asyncio.sleep(0.01)
        task.cancel()
        return sent, viewer.credits

    sent, credits = asyncio.run(talk())
    assert sent == [struct.pack("<QII", 3, 4, 3) + b"new"]
    assert credits == CREDITS - 1


def test_ctrl_c_ends_it_at_once_while_somebody_watches(robot):
    process = PickProcess()
    camera = Camera(robot)

    async def watch(socket):
        await socket.send_str("next")
        await next_picture(socket)
        ended = asyncio.get_running_loop().run_in_executor(None, process.interrupt)
        while (message := await socket.receive(5)).type == aiohttp.WSMsgType.TEXT:
            pass
        return message.type, socket.close_code, await ended

    try:
        kind, close_code, (code, seconds) = in_page(process.url, watch)
    finally:
        camera.stop()
        process.close()
    assert (kind, close_code, code) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY, 0)
    assert seconds < 4  # a second at most on a machine that is not busy with other tests
    assert not [line for line in process.errors if "Traceback" in line]
