"""A small world seen by a camera on a moving base: a round hall papered with photographs, a floor, and a target.

For closed loops: what is seen depends on how the base moved. Every true direction and box is known exactly. Lengths are
in metres; the hall's frame and the base's are x forward, y left, z up (REP 103), heading is positive to the left.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.bearing import Camera
from stif_core.data.cutouts import Cutout
from stif_core.evaluation.rendered_clip import FACE, Image, photograph
from stif_core.geometry import FloatArray

WIDTH, HEIGHT = 640, 480
FOCAL = 520.0
DISTORTION = (-0.25, 0.08, 0.0006, -0.0004, 0.0)  # k1, k2, p1, p2, k3
HALL_RADIUS, HALL_HEIGHT = 20.0, 10.0
CAMERA_HEIGHT = 0.8
TARGET_WIDTH, TARGET_HEIGHT = 0.6, 0.875  # of the cut-out picture; the head in it is an ellipse that touches its sides
TARGET_CENTRE = 1.0  # above the floor
WALLPAPER = ("motorcycle_left.png", "coffee.png", "rocket.jpg", "chelsea.png", "motorcycle_right.png")
PANEL = 512  # pixels of one photograph on the wall
FLOOR_TILE = 2.0  # metres
FLOOR_FADES = 12.0  # metres at which the floor is plain: farther, its grains would only flicker
RESPONSE = 0.15  # seconds in which the base reaches 63 % of a commanded speed
WIDEST = math.radians(60)  # off the axis; beyond, the lens polynomial means nothing
GRID = 8  # pixels between the directions that are computed; those between are interpolated


@dataclass(frozen=True)
class Pose:
    """Of the base, on the floor: m, m, rad."""

    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0


@dataclass(frozen=True)
class View:
    """What is true of the target in one image.

    Attributes:
        box: xywh pixels of the whole head, NaN where it is behind the camera.
        visible: Share of that box inside the image, 0 to 1.
        azimuth, elevation: Of its centre in the optical frame, rad, positive to the right and up.
        distance: From the base, over the floor.
    """

    box: FloatArray
    visible: float
    azimuth: float
    elevation: float
    distance: float


class MovingBase:
    """A base that drives forward and turns, each a little behind the command."""

    def __init__(self, pose: Pose | None = None) -> None:
        self.pose = pose or Pose()
        self.speed = 0.0
        self.yaw_rate = 0.0

    def move(self, forward: float, yaw_rate: float, seconds: float) -> None:
        """Drives for a time under one command, m/s and rad/s to the left."""
        steps = max(1, round(seconds / 0.005))
        dt = seconds / steps
        share = 1 - math.exp(-dt / RESPONSE)
        for _ in range(steps):
            self.speed += share * (forward - self.speed)
            self.yaw_rate += share * (yaw_rate - self.yaw_rate)
            middle = self.pose.heading + self.yaw_rate * dt / 2
            self.pose = Pose(
                self.pose.x + self.speed * math.cos(middle) * dt,
                self.pose.y + self.speed * math.sin(middle) * dt,
                self.pose.heading + self.yaw_rate * dt,
            )


def walk(time: float) -> tuple[float, float]:
    """Where the target is at a time, s: it starts 4 m ahead, and wanders through the hall at about 1 m/s at most."""
    x = 4.0 + 3.0 * (1 - math.cos(0.22 * time))
    y = 2.2 * math.sin(0.31 * time) + 0.25 * math.sin(1.1 * time)
    return x, y


class RenderedWorld:
    """Renders the hall; the same in every run."""

    camera = Camera.from_info(
        WIDTH, HEIGHT, (FOCAL, 0, 0.49 * WIDTH, 0, FOCAL, 0.51 * HEIGHT, 0, 0, 1), "plumb_bob", DISTORTION
    )

    def render(self, pose: Pose, target: tuple[float, float] | None) -> Image:
        """The image (H, W, 3) BGR from a pose inside the hall, with the target at (x, y) or without one."""
        image = self._hall(pose)
        if target is not None:
            self._draw_target(image, pose, target)
        return image

    def view(self, pose: Pose, target: tuple[float, float]) -> View:
        """The truth about a target at (x, y)."""
        ahead, left = _in_base_frame(pose, target)
        up = TARGET_CENTRE - CAMERA_HEIGHT
        azimuth, elevation = math.atan2(-left, ahead), math.atan2(up, math.hypot(ahead, left))
        box = self._box(pose, target) if abs(azimuth) < WIDEST else np.full(4, np.nan)
        inside = np.clip(box[:2] + box[2:], 0, (WIDTH, HEIGHT)) - np.clip(box[:2], 0, (WIDTH, HEIGHT))
        visible = float(np.nan_to_num(inside.prod() / box[2:].prod()))
        return View(box, visible, azimuth, elevation, math.hypot(ahead, left))

    # -- the hall

    @cached_property
    def _rays(self) -> NDArray[np.float32]:
        """(H, W, 3): direction of every pixel, forward, left, up."""
        columns, rows = np.arange(-GRID, WIDTH + 2 * GRID, GRID), np.arange(-GRID, HEIGHT + 2 * GRID, GRID)
        points = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        rays = self.camera.rays(points, WIDTH, HEIGHT).reshape(len(rows), len(columns), 3)
        x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
        map_x, map_y = ((axis / GRID + 1).astype(np.float32) for axis in (x, y))
        optical = cv2.remap(rays.astype(np.float32), map_x, map_y, cv2.INTER_CUBIC)
        return np.stack([optical[..., 2], -optical[..., 0], -optical[..., 1]], axis=-1)

    @cached_property
    def _slopes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Angle to the left and rise over one metre of floor, of every pixel's direction."""
        forward, left, up = np.moveaxis(self._rays, -1, 0)
        return np.arctan2(left, forward), up / np.hypot(forward, left)

    @cached_property
    def _wall(self) -> Image:
        panels = [cv2.resize(photograph(name), (PANEL, PANEL), interpolation=cv2.INTER_AREA) for name in WALLPAPER]
        return np.hstack([panel for picture in panels for panel in (picture, picture[:, ::-1])])

    @cached_property
    def _floor(self) -> Image:
        return cv2.resize(photograph("gravel.png"), (256, 256), interpolation=cv2.INTER_AREA)

    def _hall(self, pose: Pose) -> Image:
        turned, rise = self._slopes
        angle = turned + np.float32(pose.heading)
        along_x, along_y = np.cos(angle), np.sin(angle)
        towards = pose.x * along_x + pose.y * along_y
        to_wall = np.sqrt(towards**2 + (HALL_RADIUS**2 - pose.x**2 - pose.y**2)) - towards
        up_wall = CAMERA_HEIGHT + to_wall * rise
        around = np.arctan2(pose.y + to_wall * along_y, pose.x + to_wall * along_x) / (2 * np.pi) + 0.5
        height, width = self._wall.shape[:2]
        image = cv2.remap(
            self._wall,
            (1 - around) * width,
            (1 - up_wall / HALL_HEIGHT) * height,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        rows, columns = np.nonzero(up_wall < 0)
        to_floor = np.minimum(-CAMERA_HEIGHT / rise[rows, columns], HALL_RADIUS * 2)
        tile = self._floor.shape[0] / FLOOR_TILE
        x = (pose.x + to_floor * along_x[rows, columns]) * tile
        y = (pose.y + to_floor * along_y[rows, columns]) * tile
        grains = self._floor[y.astype(int) % len(self._floor), x.astype(int) % len(self._floor)].astype(np.float32)
        plain = np.clip(to_floor / FLOOR_FADES, 0, 1)[:, None]
        image[rows, columns] = (grains * (1 - plain) + self._floor.mean(axis=(0, 1)) * plain).astype(np.uint8)
        return image

    # -- the target

    @cached_property
    def _target(self) -> Cutout:
        x, y, w, h = FACE
        image = photograph("astronaut.png")[y : y + h, x : x + w]
        across, down = np.meshgrid((np.arange(w) + 0.5) / (w / 2) - 1, (np.arange(h) + 0.5) / (h / 2) - 1)
        edge = (1 - np.hypot(across, down)) * w / 2  # pixels inside the outline, roughly
        return Cutout(image, np.clip(edge + 0.5, 0, 1).astype(np.float32))

    def _box(self, pose: Pose, target: tuple[float, float]) -> FloatArray:
        """The head's outline through the lens, by OpenCV."""
        around = np.linspace(0, 2 * np.pi, 180)
        along, up = TARGET_WIDTH / 2 * np.cos(around), TARGET_HEIGHT / 2 * np.sin(around)
        ahead, left = _in_base_frame(pose, target)
        distance = math.hypot(ahead, left)
        to_left = np.array([-left, ahead]) / distance  # along the picture, which faces the camera
        points = np.column_stack([
            -(left + along * to_left[1]),
            CAMERA_HEIGHT - TARGET_CENTRE - up,
            ahead + along * to_left[0],
        ])  # fmt: skip
        zero = np.zeros(3)
        pixels, _ = cv2.projectPoints(points[:, None], zero, zero, self.camera.matrix, self.camera.distortion)
        low, high = pixels[:, 0].min(axis=0) + 0.5, pixels[:, 0].max(axis=0) + 0.5
        return np.concatenate([low, high - low])

    def _draw_target(self, image: Image, pose: Pose, target: tuple[float, float]) -> None:
        box = self.view(pose, target).box
        if not np.isfinite(box).all():
            return
        left, top = np.clip(np.floor(box[:2]).astype(int) - 1, 0, (WIDTH, HEIGHT))
        right, bottom = np.clip(np.ceil(box[:2] + box[2:]).astype(int) + 1, 0, (WIDTH, HEIGHT))
        if right <= left or bottom <= top:
            return
        window = np.s_[top:bottom, left:right]
        forward, to_left, up = np.moveaxis(self._rays[window], -1, 0)
        ahead, side = _in_base_frame(pose, target)
        distance = math.hypot(ahead, side)
        far = distance / ((forward * ahead + to_left * side) / distance)  # how far along its ray each pixel meets it
        along = far * (to_left * ahead - forward * side) / distance / TARGET_WIDTH
        above = (far * up + CAMERA_HEIGHT - TARGET_CENTRE) / TARGET_HEIGHT
        picture, alpha = self._scaled_target(box[3])
        height, width = alpha.shape
        map_x = ((0.5 - along) * width - 0.5).astype(np.float32)
        map_y = ((0.5 - above) * height - 0.5).astype(np.float32)
        colour = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.remap(alpha, map_x, map_y, cv2.INTER_LINEAR)[..., None]
        image[window] = (colour * opacity + image[window] * (1 - opacity)).astype(np.uint8)

    def _scaled_target(self, height: float) -> tuple[Image, NDArray[np.float32]]:
        """The picture at about the size at which it is drawn: sampling alone would alias."""
        picture, alpha = self._target.image, self._target.alpha
        scale = min(1.0, height / alpha.shape[0])
        size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
        return (
            cv2.resize(picture, size, interpolation=cv2.INTER_AREA),
            cv2.resize(alpha, size, interpolation=cv2.INTER_AREA),
        )


def _in_base_frame(pose: Pose, point: tuple[float, float]) -> tuple[float, float]:
    """How far a point of the floor is ahead and to the left."""
    x, y = point[0] - pose.x, point[1] - pose.y
    cosine, sine = math.cos(pose.heading), math.sin(pose.heading)
    return cosine * x + sine * y, cosine * y - sine * x
