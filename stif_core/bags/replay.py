"""A bag's images through the tracker: every image once, or in real time with skipping.

Real time is simulated, nothing waits. An image arrives when it was recorded; the tracker is busy for as long as
decoding and tracking really take here; when it is done, it takes the newest image that has arrived, and skips those
before, as the node does. An image that a box was given for is never skipped.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from stif_core.bags.images import BagFrame
from stif_core.bags.targets import Targets
from stif_core.tracking import Tracker, TrackResult, TrackState

LONGEST_LATENCY_MS = 60_000.0  # beyond it stamps and recording times come from different clocks
NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Step:
    """What happened to one image.

    Attributes:
        frame: The image's message.
        image: (H, W, 3) BGR; None where it was skipped or refused.
        result: None where there was no target, or no image.
        target_id: Empty while there is no target.
        initialised: Whether a box was given for this image.
        unseen_ns: Time since the stamp of the last image in which the target was seen.
        skipped_before: Images skipped since the last one that was not.
        done_ns: Bag time at which the result would have been published; without real time that of the image.
        latency_ms: From the image's stamp to ``done_ns``; NaN without real time, or where the clocks differ.
        decode_ms: Time that decoding took.
        track_ms: Time that the tracker took.
        problem: Why the image or its box was refused; else empty.
        was_skipped: Whether a newer image had arrived before the tracker was free.
    """

    frame: BagFrame
    image: NDArray[np.uint8] | None
    result: TrackResult | None
    target_id: str
    initialised: bool = False
    unseen_ns: int = 0
    skipped_before: int = 0
    done_ns: int = 0
    latency_ms: float = NAN
    decode_ms: float = NAN
    track_ms: float = NAN
    problem: str = ""
    was_skipped: bool = False

    @property
    def state(self) -> str:
        """SKIPPED, REFUSED, IDLE, TRACKING, UNCERTAIN or LOST."""
        if self.was_skipped:
            return "SKIPPED"
        if self.image is None:
            return "REFUSED"
        return "IDLE" if self.result is None else self.result.state.name


def replay(frames: Iterable[BagFrame], tracker: Tracker, targets: Targets, realtime: bool) -> Iterator[Step]:
    """One step for every image.

    Raises:
        ValueError: A box from the command line does not fit its image.
    """
    target_id, seen_ns = "", 0
    free_ns, skipped = 0, 0  # when the tracker is done with the image before; images skipped since then
    for frame, following in pairwise(chain(frames, [None])):
        assert frame is not None
        request = targets.take(frame)
        begin_ns = max(free_ns, frame.time_ns)
        if realtime and request is None and following is not None and following.time_ns <= begin_ns:
            skipped += 1
            yield Step(frame, None, None, target_id, was_skipped=True)
            continue
        begin = time.perf_counter_ns()
        result, problem, initialised, image, decoded = None, "", False, None, begin
        try:
            image = frame.image()
            decoded = time.perf_counter_ns()
            if request is not None:
                result = tracker.init(image, request.pixels(image.shape[1], image.shape[0]))
                target_id, initialised = request.target_id, True
        except ValueError as error:
            if request is not None and request.required:
                raise ValueError(f"--init at image {frame.index}: {error}") from None
            problem = str(error)
        if image is not None and target_id and not initialised:
            result = tracker.track(image)
        end = time.perf_counter_ns()
        free_ns = begin_ns + end - begin if realtime else frame.time_ns
        if result is not None and result.state == TrackState.TRACKING:
            seen_ns = frame.stamp_ns
        yield Step(
            frame,
            image,
            result,
            target_id,
            initialised,
            unseen_ns=max(0, frame.stamp_ns - seen_ns) if result else 0,
            skipped_before=skipped,
            done_ns=free_ns,
            latency_ms=_latency_ms(free_ns - frame.stamp_ns) if realtime else NAN,
            decode_ms=(decoded - begin) / 1e6 if image is not None else NAN,
            track_ms=(end - decoded) / 1e6 if result is not None else NAN,
            problem=problem,
        )
        if image is not None:
            skipped = 0


def _latency_ms(age_ns: int) -> float:
    age_ms = age_ns / 1e6
    return age_ms if 0 <= age_ms < LONGEST_LATENCY_MS else NAN
