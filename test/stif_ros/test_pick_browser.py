"""The picking page in a headless browser: a box dragged on the live picture, to the tracking node over DDS and back."""

import os
import re
import shutil
import time

import numpy as np
import pytest

if not os.environ.get("STIF_REQUIRE_ROS"):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    pytest.importorskip("stif_ros.msg", reason="the messages are not built: run colcon build")
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")

pytest.importorskip("playwright", reason="playwright is not installed")

from picking import TRUTH, Camera, PickProcess
from playwright.sync_api import sync_playwright
from rclpy.parameter import Parameter
from robot import Robot, use_own_domain, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH")
SIZE = (640, 480)
RATE = 8.0  # images a second; the browser paints without a GPU


# The stamp and size of the picture on the screen, and where it lies in the window, CSS pixels.
PLACE = """() => {
  const scale = devicePixelRatio, area = overlay.getBoundingClientRect(), {zoom, left, top} = placement();
  return {stamp: shown.stamp.toString(), width: shown.width, zoom: zoom / scale,
          left: area.left + left / scale, top: area.top + top / scale};
}"""
# The stamp of the picture and the box that is painted over it in a colour, read from the canvas, pixels of the image.
PAINTED = """(colour) => {
  const {data, width, height} = overlay.getContext("2d").getImageData(0, 0, overlay.width, overlay.height);
  let [x0, y0, x1, y1] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const i = 4 * (y * width + x);
    if (data[i + 3] < 200 || colour.some((value, k) => Math.abs(data[i + k] - value) > 12)) continue;
    [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + 1), Math.max(y1, y + 1)];
  }
  const {zoom, left, top} = placement(), line = devicePixelRatio;
  const exact = tracksByStamp.has(shown.stamp.toString()) && !painting;  // the track of this image, and painted
  return {stamp: shown.stamp.toString(), exact, box: x1 < 0 ? null :
    [(x0 + line - left) / zoom, (y0 + line - top) / zoom, (x1 - x0 - 2 * line) / zoom, (y1 - y0 - 2 * line) / zoom]};
}"""
GREEN, BLUE = [80, 220, 60], [106, 176, 255]


@pytest.fixture(scope="module")
def robot():
    with pytest.MonkeyPatch.context() as patch:
        use_own_domain(patch)
        robot = Robot(history_seconds=30.0).bring_up()  # a busy machine draws slowly
        yield robot
        robot.close()


@pytest.fixture(scope="module")
def pick(robot):
    process = PickProcess()
    yield process
    process.close()


@pytest.fixture(scope="module")
def browser():
    # The libraries of ROS are not for the browser.
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], env=environment)
        yield browser
        browser.close()


@pytest.fixture
def context(browser):
    """A window of a desktop computer."""
    with browser.new_context(viewport={"width": 1180, "height": 820}) as context:
        yield context


@pytest.fixture
def tablet(browser):
    with browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True, device_scale_factor=2) as context:
        yield context


@pytest.fixture
def camera(robot):
    camera = Camera(robot, RATE)
    yield camera
    camera.stop()


def open_page(context, pick):
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.goto(pick.url)
    wait_for(page, "shown !== null")
    return page


def wait_for(page, condition: str, seconds: float = 60) -> None:
    """Playwright's own wait_for_function would need an `eval` that the page's policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"waited {seconds} s for {condition}; the page says {page.inner_text('body')!r}"
        page.wait_for_timeout(50)


def hold(page, camera) -> None:
    """Makes the camera show one frame again and again, so that a box fits whichever of them is on the screen."""
    camera.still = True
    wait_for(page, f"shown.stamp > {time.time_ns()}n")


def corners(page, camera) -> tuple[dict, np.ndarray]:
    """Where the true box of the picture that stands still lies in the window, CSS pixels, xywh."""
    place = page.evaluate(PLACE)
    x, y, width, height = TRUTH[camera.shown[int(place["stamp"])]] * place["zoom"]
    return place, np.array([place["left"] + x, place["top"] + y, width, height])


def picture(keep: str, page) -> None:
    if folder := os.environ.get("STIF_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{keep}.png")


def test_box_drawn_with_the_mouse_is_tracked_and_painted(context, pick, camera):
    page = open_page(context, pick)
    wait_for(page, 'document.getElementById("link").className === "live"')
    hold(page, camera)
    place, (x, y, width, height) = corners(page, camera)
    page.mouse.move(x, y)
    page.mouse.down()
    camera.still = False
    page.mouse.move(x + width, y + height, steps=3)
    page.wait_for_timeout(300)
    drawn = page.evaluate(PAINTED, BLUE)
    assert int(drawn["stamp"]) >= int(place["stamp"])
    np.testing.assert_allclose(drawn["box"], TRUTH[camera.shown[int(drawn["stamp"])]], atol=2)
    later = page.evaluate(PAINTED, BLUE)  # the picture stands still, though the track of its image may have come since
    assert (later["stamp"], later["box"]) == (drawn["stamp"], drawn["box"])
    picture("drawing", page)
    page.mouse.up()
    wait_for(page, 'document.getElementById("answer").className === "good"')
    answer = page.inner_text("#answer")
    assert answer.startswith("Tracking starts from an image ")
    wait_for(page, 'document.getElementById("state").textContent === "TRACKING"')
    assert float(page.inner_text("#confidence")) > 0.7

    page.wait_for_timeout(2000)
    fitting, end = 0, time.monotonic() + 60
    while fitting < 3:
        assert time.monotonic() < end, "the tracks of the pictures shown do not come"
        page.wait_for_timeout(100)
        painted = page.evaluate(PAINTED, GREEN)
        if painted["exact"]:
            np.testing.assert_allclose(painted["box"], TRUTH[camera.shown[int(painted["stamp"])]], atol=16)
            fitting += 1
    picture("tracking", page)

    page.click("#reset")
    wait_for(page, 'document.getElementById("state").textContent === "IDLE"')
    wait_for(page, "tracksShown().length === 0")
    assert page.evaluate(PAINTED, GREEN)["box"] is None
    assert page.problems == []


def test_box_drawn_with_a_finger_on_a_tablet_is_sent(tablet, pick, camera):
    page = open_page(tablet, pick)
    hold(page, camera)
    place, box = corners(page, camera)
    x, y, width, height = (float(value) for value in box)
    session = tablet.new_cdp_session(page)

    def touch(kind, *points):
        where = [{"x": px, "y": py, "id": identity} for identity, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    touch("touchStart", (x, y))
    camera.still = False
    touch("touchMove", (x + width / 2, y + height / 2))
    touch("touchStart", (x + width / 2, y + height / 2), (x + width, y))  # a second finger changes nothing
    touch("touchMove", (x + width, y + height), (x + width, y))
    wait_for(page, f"dragged().width > {0.9 * width / place['zoom']}")  # moves come with the next frame painted
    box = page.evaluate("dragged()")
    stamp = page.evaluate("shown.stamp.toString()")
    touch("touchEnd")
    wait_for(page, 'document.getElementById("answer").className !== ""')
    assert page.inner_text("#answer").startswith("Tracking starts from an image ")
    np.testing.assert_allclose(list(box.values()), TRUTH[camera.shown[int(stamp)]], atol=2)
    wait_for(page, 'document.getElementById("state").textContent === "TRACKING"')
    page.wait_for_timeout(1000)
    picture("tablet", page)
    page.click("#reset")
    wait_for(page, 'document.getElementById("answer").textContent === "All targets are forgotten"')
    assert page.problems == []


def test_refusal_is_shown_with_its_reason_and_a_tap_sends_nothing(context, pick, robot, camera):
    page = open_page(context, pick)
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    place = page.evaluate(PLACE)
    middle = [place["left"] + SIZE[0] * place["zoom"] / 2, place["top"] + SIZE[1] * place["zoom"] / 2]
    page.mouse.click(*middle)
    assert page.inner_text("#answer") == "Drag a box around the target."
    assert sent == []
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 60)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert page.inner_text("#answer") == "The box was not sent."
    assert sent == []
    # Drawn for longer than the tracker keeps images.
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 60)
    robot.tracker.set_parameters([Parameter("history_seconds", value=0.3)])
    page.wait_for_timeout(1000)
    page.mouse.up()
    wait_for(page, 'document.getElementById("answer").className === "bad"')
    robot.tracker.set_parameters([Parameter("history_seconds", value=30.0)])
    assert page.inner_text("#answer").startswith("Refused: the image with this stamp is ")
    picture("refused", page)


def test_page_says_when_images_stop_and_when_the_server_is_gone(context, robot):
    process = PickProcess()
    camera = Camera(robot, RATE)
    try:
        page = open_page(context, process)
        wait_for(page, 'document.getElementById("link").className === "live"')
        assert page.is_hidden("#alarm")
        camera.stop()
        wait_for(page, 'document.getElementById("link").className === "stalled"')
        wait_for(page, 'document.getElementById("alarm").textContent.includes("publishes it, but sends nothing")')
        assert re.match(r"No image on /image for \d+ s: /robot ", page.inner_text("#alarm"))
        picture("stalled", page)
    finally:
        camera.stop()
        process.close()
    wait_for(page, 'document.getElementById("link").className === "off"')
    assert page.inner_text("#alarm") == "Disconnected from the robot, trying again"
    assert page.inner_text("#state") == "…"


def test_two_viewers_see_the_same_and_a_closed_page_costs_nothing(context, pick, robot, camera):
    pages = [open_page(context, pick) for _ in range(2)]
    assert all(page.evaluate(PLACE)["width"] == 640 for page in pages)
    for page in pages:
        page.close()
    wait_until(lambda: robot.camera.get_subscription_count() == 1, "the page's subscription to end")
