"""Parameters of the online tracker."""

from dataclasses import dataclass, fields
from typing import Any

from stif_core.tracking.calibration import Calibration


@dataclass(frozen=True)
class TrackerSettings:
    """Defaults for any model; the section ``tracking`` of a model's JSON file holds what was found for it."""

    window: float = 0.4  # weight of the cosine window against the score
    penalty: float = 0.1  # k, strength of the penalty on a change of shape and scale
    size_rate: float = 0.45  # of the new size, at score and penalty 1
    memory_interval: int = 10  # a trusted frame enters the memory after so many frames
    memory_probability: float = 0.9  # a frame is trusted from this probability on
    memory_capacity: int = 8  # frames that the bank holds, the initial one included
    calibration: Calibration = Calibration()  # from the score to the probability that the box is right
    # The usual score of a target is a running mean of the frames in TRACKING, within these bounds.
    usual_rate: float = 0.1
    usual_low: float = 0.6
    usual_high: float = 0.9
    uncertain_probability: float = 0.5  # below it the state leaves TRACKING
    tracking_probability: float = 0.7  # from here on the target is seen again
    lost_after: int = 30  # frames in a row that were not TRACKING make the target LOST
    absent_probability: float = 0.2  # below it the target is clearly not where it was
    absent_after: int = 20  # frames in a row below it make the target LOST, too
    reacquire: bool = True  # a LOST target is searched in the whole image; off: only around its last place
    distractors: bool = True  # others that look like the target are followed beside it
    confirm_frames: int = 3  # frames in a row at tracking_probability bring a LOST target back
    search_windows: int = 2  # windows looked into in one image while LOST
    search_step: float = 0.5  # distance of neighbouring windows, in their sides
    search_scales: tuple[float, ...] = (1.0, 0.7, 1.4)  # sizes of the target that are looked for, in the last one

    def __post_init__(self) -> None:
        for low, high in (("uncertain_probability", "tracking_probability"), ("usual_low", "usual_high")):
            if not 0 <= getattr(self, low) <= getattr(self, high):
                raise ValueError(f"expected 0 <= {low} <= {high}, got {getattr(self, low)} and {getattr(self, high)}")
        if not 0 < self.search_step <= 1:
            raise ValueError(f"expected 0 < search_step <= 1, got {self.search_step}")
        if not self.search_scales or min(self.search_scales) <= 0:
            raise ValueError(f"search_scales must be positive, got {self.search_scales}")
        for name in (
            "memory_interval",
            "memory_capacity",
            "lost_after",
            "absent_after",
            "confirm_frames",
            "search_windows",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrackerSettings":
        """Raises ValueError for a key that does not exist."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown tracking parameter {unknown[0]}; known: {', '.join(sorted(known))}")
        if isinstance(values.get("calibration"), dict):
            try:
                values = {**values, "calibration": Calibration(**values["calibration"])}
            except TypeError as error:
                raise ValueError(f"tracking parameter calibration: {error}") from None
        if isinstance(values.get("search_scales"), list):  # JSON has no tuples
            values = {**values, "search_scales": tuple(values["search_scales"])}
        return cls(**values)
