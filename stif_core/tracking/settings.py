"""Parameters of the online tracker."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class TrackerSettings:
    """Defaults are those of ``nano``, found on the validation clips; a model's JSON file may hold its own."""

    window: float = 0.4  # weight of the cosine window against the score
    penalty: float = 0.1  # k, strength of the penalty on a change of shape and scale
    size_rate: float = 0.45  # of the new size, at score and penalty 1
    memory_interval: int = 10  # a trusted frame enters the memory after so many frames
    memory_score: float = 0.7  # a frame is trusted from this score on
    memory_capacity: int = 8  # frames that the bank holds, the initial one included
    tracking_score: float = 0.5  # from here on the target is seen
    uncertain_score: float = 0.35  # below it, it is not: the state leaves TRACKING
    lost_after: int = 10  # frames in a row that were not TRACKING make the target LOST
    confirm_frames: int = 3  # frames in a row at tracking_score bring a LOST target back
    search_growth: float = 1.05  # of the search area's side, for every frame in LOST
    largest_search: float = 2.0  # bound of that growth

    def __post_init__(self) -> None:
        if not 0 <= self.uncertain_score <= self.tracking_score <= 1:
            raise ValueError(
                "expected 0 <= uncertain_score <= tracking_score <= 1, "
                f"got {self.uncertain_score} and {self.tracking_score}"
            )
        for name in ("memory_interval", "memory_capacity", "lost_after", "confirm_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrackerSettings":
        """Raises ValueError for a key that does not exist."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown tracking parameter {unknown[0]}; known: {', '.join(sorted(known))}")
        return cls(**values)
