"""What a replay comes to: counts of images, gaps and states, skips, latency, accuracy."""

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from stif_core.bags.replay import Step
from stif_core.bags.truth import Score

PERCENTILES = (50, 95, 99)
PROBLEMS_KEPT = 20


class Statistics:
    """Counts steps as they come."""

    def __init__(self) -> None:
        self.frames = 0
        self.initialised = 0
        self.refused_boxes = 0
        self.problems: list[str] = []
        self.track_ms: list[float] = []
        self.decode_ms: list[float] = []
        self._states: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self._size_changes = 0
        self._size = ""
        self._stamps: list[int] = []
        self._latency_ms: list[float] = []
        self._skipped_in_a_row = [0]

    def add(self, step: Step) -> None:
        self.frames += 1
        self.initialised += step.initialised
        self.refused_boxes += bool(step.problem) and step.image is not None
        self._states[step.state] += 1
        self._stamps.append(step.frame.stamp_ns)
        self._skipped_in_a_row.append(step.skipped_before)
        if step.problem and len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(f"image {step.frame.index}: {step.problem}")
        if step.image is not None:
            size = f"{step.image.shape[1]}x{step.image.shape[0]}"
            self._size_changes += bool(self._size) and size != self._size
            self._size = size
            self._sizes[size] += 1
            self.decode_ms.append(step.decode_ms)
        if step.result is not None and not step.initialised:
            self.track_ms.append(step.track_ms)
        if np.isfinite(step.latency_ms):
            self._latency_ms.append(step.latency_ms)

    def rate(self) -> float:
        """Images a second that the tracker does: one over the median time."""
        return 1000 / float(np.median(self.track_ms)) if self.track_ms else 0.0

    def summary(self, realtime: bool, score: Score | None, unused_boxes: int, damage: str) -> dict[str, Any]:
        """For summary.json. Without real time it says nothing of how long anything took: the same in every replay."""
        stamps = np.array(self._stamps, dtype=np.int64)
        gaps = stamps[1:] - stamps[:-1]
        forward = gaps[gaps > 0]
        period = float(np.median(forward)) if len(forward) else 0.0
        accuracy = score.accuracy() if score else None
        figures: dict[str, Any] = {
            "frames": self.frames,
            "states": dict(sorted(self._states.items())),
            "boxes_given": self.initialised,
            "boxes_refused": self.refused_boxes,
            "boxes_without_image": unused_boxes,
            "image_sizes": dict(self._sizes),
            "image_size_changes": self._size_changes,
            "period_ms": round(period / 1e6, 6) or None,
            # As the node infers them, from a steady rate of the camera.
            "frames_missing_by_stamps": int(np.maximum(np.round(forward / period) - 1, 0).sum()) if period else 0,
            "longest_gap_ms": round(float(forward.max()) / 1e6, 6) if len(forward) else None,
            "stamps_backwards": int((gaps < 0).sum()),
            "stamps_repeated": int((gaps == 0).sum()),
            "damage": damage,
            "problems": self.problems,
            "accuracy": asdict(accuracy) if accuracy else None,
        }
        if realtime:
            figures["realtime"] = {
                "frames_skipped": self._states["SKIPPED"],
                "skipped_share": self._states["SKIPPED"] / max(1, self.frames),
                "most_skipped_in_a_row": max(self._skipped_in_a_row),
                "latency_ms": percentiles(self._latency_ms),
                "decode_ms": percentiles(self.decode_ms),
                "track_ms": percentiles(self.track_ms),
            }
        return figures


def percentiles(values: list[float]) -> dict[str, float] | None:
    """``p50``, ``p95`` and ``p99``; None of no values."""
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in PERCENTILES} if values else None
