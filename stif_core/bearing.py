"""Bearings: the direction of a pixel in the camera's optical frame, from a calibration with distortion.

The optical frame is x right, y down, z forward. Azimuth is positive to the right of the optical axis, elevation
positive above it, both in radians. Pixels are continuous, pixel c covers [c, c + 1); calibrations put 0 at the centre
of the first pixel (OpenCV, ROS), half a pixel further.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike

from stif_core.geometry import FloatArray

RADIAL_MODELS = ("plumb_bob", "rational_polynomial")  # OpenCV's projectPoints
FISHEYE_MODELS = ("equidistant", "fisheye")  # OpenCV's fisheye module; ROS says equidistant
RADIAL_COUNTS = (0, 4, 5, 8, 12, 14)
ASPECT_TOLERANCE = 0.02  # relative; drivers round the sides of a binned or resized image
NEWTON_STEPS = 20
CONVERGED = 1e-10  # largest error of a distorted point, in focal lengths


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera.

    Attributes:
        width, height: Of the image that was calibrated, pixels.
        matrix: (3, 3), focal lengths and principal point in pixels of the calibrated image.
        model: Distortion model of sensor_msgs/CameraInfo; anything where there are no coefficients.
        distortion: The model's coefficients in OpenCV's order.
        binning: Calibrated pixels to one pixel of the image, in x and y.
        roi: x, y, width, height of what the image shows, in calibrated pixels.
    """

    width: int
    height: int
    matrix: FloatArray
    model: str
    distortion: FloatArray
    binning: tuple[int, int]
    roi: tuple[int, int, int, int]

    @classmethod
    def from_info(
        cls,
        width: int,
        height: int,
        matrix: Sequence[float],
        model: str = "",
        distortion: Sequence[float] = (),
        binning: tuple[int, int] = (0, 0),
        roi: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> "Camera":
        """A camera from values with the conventions of CameraInfo: binning 0 is 1, a region of no size the whole image.

        Raises:
            ValueError: The camera is not calibrated, contradicts itself, or has a distortion unknown here; says which.
        """
        k, d = np.asarray(matrix, dtype=np.float64), np.asarray(distortion, dtype=np.float64)
        if not (np.isfinite(k).all() and np.isfinite(d).all()):
            raise ValueError("camera_info holds a value that is not a finite number")
        if k.size != 9 or k[0] == 0:
            raise ValueError("camera_info says that the camera is not calibrated (its focal length is 0): calibrate it")
        if k[0] < 0 or k[4] <= 0 or k[8] != 1 or k[[3, 6, 7]].any():
            raise ValueError(f"camera_info has no camera matrix: {k.tolist()}")
        if width < 1 or height < 1:
            raise ValueError(f"camera_info has an image size of {width}x{height}")
        _check_distortion(model, d)
        x, y, w, h = roi
        roi = (x, y, w or width - x, h or height - y)
        if min(roi[2:]) < 1 or x + roi[2] > width or y + roi[3] > height:
            raise ValueError(f"camera_info has the region of interest {roi} in an image of {width}x{height}")
        return cls(width, height, k.reshape(3, 3), model, d, (max(1, binning[0]), max(1, binning[1])), roi)

    def rays(self, points: ArrayLike, image_width: int, image_height: int) -> FloatArray:
        """Unit vectors (N, 3) in the optical frame to pixels (N, 2) of an image; NaN where the lens shows none.

        The image may be the camera's, or resized without a change of its shape.

        Raises:
            ValueError: The image has another shape than the camera's.
        """
        self._check_shape(image_width, image_height)
        x, y, w, h = self.roi
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        calibrated = points * (w / image_width, h / image_height) + (x, y) - 0.5
        inverse = np.linalg.inv(self.matrix)
        distorted = calibrated @ inverse[:2, :2].T + inverse[:2, 2]
        if self.model in FISHEYE_MODELS:
            return self._fisheye_rays(distorted)
        plane = self._undistorted(distorted) if self.distortion.any() else distorted
        directions = np.column_stack([plane, np.ones(len(plane))])
        directions /= np.abs(directions).max(axis=1, keepdims=True)  # the squares of far pixels would overflow
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def _check_shape(self, image_width: int, image_height: int) -> None:
        shown_width, shown_height = self.roi[2] / self.binning[0], self.roi[3] / self.binning[1]
        stretch = image_width / image_height * shown_height / shown_width
        if abs(stretch - 1) > ASPECT_TOLERANCE:
            raise ValueError(
                f"the image of {image_width}x{image_height} has another shape than camera_info's "
                f"{shown_width:g}x{shown_height:g}: it was cropped, or camera_info belongs to another camera"
            )

    def _undistorted(self, distorted: FloatArray) -> FloatArray:
        """Points (N, 2) of the image plane at distance 1 without distortion, by Newton's method.

        OpenCV's own inverse stops after five steps of a slower one, and says nothing where it did not arrive.
        """
        plane = cv2.undistortPoints(distorted[:, None], np.eye(3), self.distortion)[:, 0]
        plane = np.where(np.isfinite(plane).all(axis=1, keepdims=True), plane, distorted)
        for _ in range(NEWTON_STEPS):
            error, jacobian, determinant = self._linearised(plane, distorted)
            if np.abs(error).max(initial=0) < CONVERGED:
                break
            safe = np.where(np.abs(determinant) > 1e-6, determinant, np.inf)[:, None]
            (a, b), (c, d) = jacobian
            step = np.column_stack([d * error[:, 0] - b * error[:, 1], a * error[:, 1] - c * error[:, 0]]) / safe
            plane = plane - step
        error, _, determinant = self._linearised(plane, distorted)
        # A negative determinant: the other side of a fold, where the polynomial turns back. No lens does.
        arrived = (np.abs(error).max(axis=1) < 10 * CONVERGED) & (determinant > 0)
        return np.where(arrived[:, None], plane, np.nan)

    def _linearised(
        self, plane: FloatArray, distorted: FloatArray
    ) -> tuple[FloatArray, tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]], FloatArray]:
        """Error of the distortion of ``plane``, its Jacobian ((dx/dx, dx/dy), (dy/dx, dy/dy)) and determinant."""
        e = 1e-5
        shifts = np.array([[0, 0], [e, 0], [-e, 0], [0, e], [0, -e]])
        points = np.concatenate([(plane + shift) for shift in shifts])
        solid = np.column_stack([points, np.ones(len(points))])
        zero = np.zeros(3)
        projected, _ = cv2.projectPoints(solid[:, None], zero, zero, np.eye(3), self.distortion)
        at, right, left, down, up = projected.reshape(5, -1, 2)
        by_x, by_y = (right - left) / (2 * e), (down - up) / (2 * e)
        determinant = by_x[:, 0] * by_y[:, 1] - by_y[:, 0] * by_x[:, 1]
        return at - distorted, ((by_x[:, 0], by_y[:, 0]), (by_x[:, 1], by_y[:, 1])), determinant

    @cached_property
    def _fisheye_table(self) -> tuple[FloatArray, FloatArray]:
        """Angles from the axis, from 0 to where the lens polynomial turns back, and their distorted values."""
        theta = np.linspace(0, np.pi, 4096)
        distorted = _fisheye_polynomial(theta, self.distortion)
        end = np.flatnonzero(np.diff(distorted) <= 0)
        count = end[0] + 1 if len(end) else len(theta)
        return theta[:count], distorted[:count]

    def _fisheye_rays(self, distorted: FloatArray) -> FloatArray:
        """The angle from the axis solves theta_d = theta (1 + k1 theta^2 + ... + k4 theta^8); may exceed 90 degrees."""
        radius = np.hypot(*distorted.T)  # does not overflow
        angles, values = self._fisheye_table
        theta = np.interp(radius, values, angles)
        for _ in range(4):
            slope = _fisheye_slope(theta, self.distortion)
            error = _fisheye_polynomial(theta, self.distortion) - radius
            theta = theta - error / np.where(slope > 1e-6, slope, np.inf)
        theta = np.where(radius <= values[-1], theta, np.nan)
        across = distorted / np.where(radius > 0, radius, 1)[:, None]
        return np.column_stack([across * np.sin(theta)[:, None], np.cos(theta)])


def azimuth_elevation(rays: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Azimuth to the right and elevation above the optical axis, rad, of directions (..., 3) in the optical frame."""
    x, y, z = np.moveaxis(np.asarray(rays, dtype=np.float64), -1, 0)
    return np.arctan2(x, z), np.arctan2(-y, np.hypot(x, z))


def _check_distortion(model: str, coefficients: FloatArray) -> None:
    count = coefficients.size
    if model in FISHEYE_MODELS:
        if count != 4:
            raise ValueError(f"camera_info has {count} coefficients for the model {model}, expected 4")
    elif model in RADIAL_MODELS:
        if count not in RADIAL_COUNTS:
            raise ValueError(f"camera_info has {count} coefficients for the model {model}, expected 4, 5, 8, 12 or 14")
    elif coefficients.any():
        known = ", ".join(RADIAL_MODELS + FISHEYE_MODELS)
        raise ValueError(
            f"camera_info has the distortion model '{model}', known are {known}: track rectified images instead "
            "(parameter image_rectified)"
        )


def _fisheye_polynomial(theta: FloatArray, coefficients: FloatArray) -> FloatArray:
    k1, k2, k3, k4 = coefficients
    square = theta * theta
    return theta * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))


def _fisheye_slope(theta: FloatArray, coefficients: FloatArray) -> FloatArray:
    k1, k2, k3, k4 = coefficients
    square = theta * theta
    return 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))
