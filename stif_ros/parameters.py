"""Parameters of the tracker node: names, defaults, ranges, descriptions."""

from collections.abc import Mapping
from dataclasses import dataclass

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from stif_core.runtime.backend import BACKEND_NAMES
from stif_core.weights import DEFAULT_MODEL, shipped_models


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; without ``read_only`` a change takes effect with the next image."""

    default: str | int | float
    description: str
    read_only: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        if self.choices:
            descriptor.additional_constraints = f"one of: {', '.join(self.choices)}"
        if self.low is not None and self.high is not None:
            if isinstance(self.default, int):
                descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high), step=0)]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=self.low, to_value=self.high, step=0.0)
                ]
        return descriptor


PARAMETERS = {
    "model": Parameter(
        DEFAULT_MODEL,
        f"Shipped model ({', '.join(shipped_models())}) or the path of a model's JSON file.",
        read_only=True,
    ),
    "backend": Parameter(
        "auto",
        "What runs the network, and the precision of its graphs; auto takes the fastest that is installed.",
        read_only=True,
        choices=BACKEND_NAMES,
    ),
    "threads": Parameter(0, "CPU threads of one inference; 0: a core is left to others, four at most.", True, 0, 64),
    "max_targets": Parameter(
        1, "Targets followed at a time; with 1 a new target takes the place of the one before.", True, 1, 16
    ),
    "image_transport": Parameter(
        "raw", "raw subscribes to image, compressed to image/compressed.", True, choices=("raw", "compressed")
    ),
    "image_reliability": Parameter(
        "auto",
        "QoS reliability of the images: auto takes the publishers'; a best-effort camera does not match reliable.",
        True,
        choices=("auto", "best_effort", "reliable"),
    ),
    "image_depth": Parameter(5, "QoS depth of the image subscription.", True, 1, 1000),
    "image_timeout": Parameter(
        3.0, "Seconds without an image until a warning says what may be the reason.", low=0.5, high=600.0
    ),
    "image_rectified": Parameter(
        False, "The images are rectified: bearings come from P of camera_info, without distortion.", True
    ),
    "history_seconds": Parameter(
        2.0, "Images kept for a target_init with an old stamp, in seconds of their stamps.", low=0.0, high=60.0
    ),
    "history_megabytes": Parameter(256.0, "Bound on the memory of the images kept, in MB.", low=0.0, high=65536.0),
    "catch_up_seconds": Parameter(
        0.5,
        "Time that a target_init with an old stamp may spend on tracking up to now; beyond it images are left out.",
        low=0.0,
        high=10.0,
    ),
    "stretch_low": Parameter(1.0, "Percentile of a 16-bit image that becomes black.", low=0.0, high=50.0),
    "stretch_high": Parameter(99.0, "Percentile of a 16-bit image that becomes white.", low=50.0, high=100.0),
    "diagnostics_period": Parameter(1.0, "Seconds between two messages on /diagnostics.", True, 0.1, 60.0),
}


def declare(node: Node, parameters: Mapping[str, Parameter] = PARAMETERS) -> None:
    """Declares parameters, the tracker's unless others are given.

    Raises:
        ValueError: A given value is none of the choices.
    """
    for name, parameter in parameters.items():
        value = node.declare_parameter(name, parameter.default, parameter.descriptor()).value
        if parameter.choices and value not in parameter.choices:
            raise ValueError(f"parameter {name} is '{value}', expected one of: {', '.join(parameter.choices)}")
