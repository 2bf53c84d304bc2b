"""Others that look like the target: followed beside it, so that none is taken for it, and a swap is noticed.

One pass of the network shows every place in the window that resembles the target. Short tracks of these and the
target's own are continued jointly, by the assignment that costs least (as KeepTrack, ICCV 2021, does with a learned
association). Where the target and another merge, both go on as they moved before until they part.
"""

from dataclasses import dataclass, replace
from itertools import product
from math import hypot, log

import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray, centre
from stif_core.tracking.appearance import Appearance
from stif_core.tracking.locator import Sighting
from stif_core.tracking.motion import move_box

FOLLOWED = 3  # others at most: more than three cost more to assign than they tell
WORTH = 0.5  # of the target's usual score from which on another is followed
KNOWN = 3  # sightings from which on another can hide the target, or be hidden by it
FORGOTTEN = 20  # frames unseen after which another is dropped
MERGED = 45  # the same while it is merged with the target: two that walk across each other need more than a second
VELOCITY_RATE = 0.1  # of the running velocity: ten frames, for boxes are pulled about just before they merge
CROWDED = 1.3  # distance in sides below which two boxes pull each other about; velocities stay as they are
SPREAD, SPREAD_RATE = 0.15, 0.01  # deviation of a place from its prediction, in sides; and more for a frame unseen
MISSED = 4.5  # cost of a track without a sighting: as one that is 3 deviations away
FARTHEST = 3 * MISSED  # cost from which on a sighting is no continuation at all
SCORE_WEIGHT = 2.0  # cost of a score that is e times lower
LOOKS_WEIGHT = 10.0  # cost of a likeness to the initial frame that is 1 lower
CLOSE_CALL = 2.0  # lead of an assignment up to which the looks are asked, and
CLOSE_CALL_UNSEEN = 5.0  # the same while the target was merged with another or hidden
MEETING, MEETING_ENDS = 1.0, 1.6  # distance in sides at which two merge, and up to which they stay so
SWAPPED = 5  # frames in a row in which network and looks prefer another until it is the target

Place = tuple[float, float, float, float]  # centre x, y, width, height


@dataclass
class Track:
    """The course of one object, in pixels and frames.

    Attributes:
        place: Where it was seen, or is expected.
        velocity: Of its centre.
        seen: Sightings.
        unseen: Frames since the last one.
        merged: It and the target are seen as one.
        preferred: Frames in a row in which the network prefers it to the target.
    """

    place: Place
    velocity: tuple[float, float] = (0.0, 0.0)
    seen: int = 1
    unseen: int = 0
    merged: bool = False
    preferred: int = 0

    @property
    def side(self) -> float:
        return _side(self.place)

    def advance(self) -> None:
        """To the next frame."""
        x, y, w, h = self.place
        self.place = (x + self.velocity[0], y + self.velocity[1], w, h)

    def see(self, place: Place, crowded: bool) -> None:
        """Takes a sighting; one among others says little about the velocity."""
        if not crowded:
            rate = max(VELOCITY_RATE, 1 / self.seen) / (1 + self.unseen)
            vx, vy = self.velocity
            self.velocity = (vx + rate * (place[0] - self.place[0]), vy + rate * (place[1] - self.place[1]))
        self.place = place
        self.seen, self.unseen, self.merged = self.seen + 1, 0, False

    def cost(self, place: Place) -> float:
        """Of being there: half the squared distance in deviations."""
        spread = (SPREAD + SPREAD_RATE * self.unseen) * 0.5 * (self.side + _side(place))
        return 0.5 * (_distance(self.place, place) / spread) ** 2

    def near(self, place: Place, merged: bool) -> bool:
        return _distance(self.place, place) < (MEETING_ENDS if merged else MEETING) * self.side


class Distractors:
    """The target's track and those of others, from frame to frame."""

    def __init__(self, box: FloatArray) -> None:
        """The target's box xywh; others are not known yet."""
        self._target = Track(_place(box))
        self.others: list[Track] = []

    def move(self, camera: FloatArray) -> None:
        """All places move with the image; ``camera`` is its motion since the frame before, (2, 3)."""
        for track in (self._target, *self.others):
            track.place = _place(move_box(camera, _box(track.place)))

    def choose(
        self, image: NDArray[np.uint8], best: Sighting, usual_score: float, appearance: Appearance
    ) -> tuple[Sighting, bool]:
        """What continues the target's track, and whether that is certain.

        Args:
            image: (H, W, 3) BGR.
            best: What the network takes for the target, with the others in the window.
            usual_score: Of the target.
            appearance: Of the target in the initial frame.

        Returns:
            The target, with score 0 where another hides it, and False where it is merged with another or hidden.
        """
        sightings = [best, *(other for other in best.others if other.score >= WORTH * usual_score)]
        places = [_place(sighting.box) for sighting in sightings]
        self._target.advance()
        if len(places) == 1 and not self.others:
            self._target.see(places[0], False)
            return best, True
        for other in self.others:
            other.advance()
        index, *rest = self._assign(image, sightings, places, appearance)
        index, merging = self._merging(places, index, rest)
        if index is None and not any(j == 0 and o.seen >= KNOWN for o, j in zip(self.others, rest, strict=True)):
            index = 0  # nobody else explains what the network takes for the target
        for other, j in zip(self.others, rest, strict=True):
            if other in merging or j is None or j == index:
                other.unseen += 1
                other.merged = other in merging
            else:
                other.see(places[j], _crowded(places, j))
        if index is None or merging:
            self._target.unseen += 1
            self.others = [o for o in self.others if o.unseen < (MERGED if o.merged else min(FORGOTTEN, 3 * o.seen))]
        else:
            index = self._noticed(image, sightings, index, rest, appearance)
            self._target.see(places[index], _crowded(places, index))
            self.others = [
                o
                for o, j in zip(self.others, rest, strict=True)
                if j != index and o.unseen < min(FORGOTTEN, 3 * o.seen)
            ]
        taken = {index, *rest}
        new = [Track(place) for j, place in enumerate(places) if j not in taken]
        self.others += new[: max(0, FOLLOWED - len(self.others))]
        if index is None:
            return replace(best, box=_box(self._target.place), score=0.0), False
        if merging:
            return replace(sightings[index], box=self._part_of(places[index])), False
        return sightings[index], True

    def _assign(
        self, image: NDArray[np.uint8], sightings: list[Sighting], places: list[Place], appearance: Appearance
    ) -> tuple[int | None, ...]:
        """Of each track, the target's first, the number of its sighting or None: the cheapest of all assignments."""
        costs = [[track.cost(place) for place in places] for track in (self._target, *self.others)]
        for i, sighting in enumerate(sightings):
            costs[0][i] += SCORE_WEIGHT * max(0.0, log(max(sightings[0].score, 1e-6) / max(sighting.score, 1e-6)))
        plans = _plans(costs)
        lead = next((cost - plans[0][0] for cost, plan in plans if plan[0] != plans[0][1][0]), np.inf)
        if len(places) > 1 and lead < (CLOSE_CALL_UNSEEN if self._target.unseen else CLOSE_CALL):
            likeness = [float(appearance.likeness(image, sighting.box).mean()) for sighting in sightings]
            for i, value in enumerate(likeness):
                costs[0][i] += LOOKS_WEIGHT * (max(likeness) - value)
            plans = _plans(costs)
        return plans[0][1]

    def _merging(
        self, places: list[Place], index: int | None, rest: list[int | None]
    ) -> tuple[int | None, list[Track]]:
        """The target's sighting, also where another one's track claimed it, and who is seen as one with the target."""
        merging = []
        for other, j in zip(self.others, rest, strict=True):
            if other.seen < KNOWN:
                continue
            if index is None:
                merged = j is not None and self._target.near(places[j], other.merged)
                index = j if merged else None
            elif j is None:
                merged = other.near(places[index], other.merged)
            else:
                # Just parted: their boxes still cover parts of each other.
                merged = other.merged and index != j and _distance(places[index], places[j]) < self._target.side
            if merged:
                merging.append(other)
        return index, merging

    def _noticed(
        self,
        image: NDArray[np.uint8],
        sightings: list[Sighting],
        index: int,
        rest: list[int | None],
        appearance: Appearance,
    ) -> int:
        """The target's sighting after all: another one's, if network and looks have preferred it for long enough."""
        for other, j in zip(self.others, rest, strict=True):
            other.preferred = other.preferred + 1 if j == 0 and index != 0 else 0
            if other.preferred >= SWAPPED:
                preferred, now = (float(appearance.likeness(image, sightings[i].box).mean()) for i in (0, index))
                if preferred > now:
                    self._target, self.others = other, [self._target if o is other else o for o in self.others]
                    other.preferred = 0
                    return 0
        return index

    def _part_of(self, place: Place) -> FloatArray:
        """The target's box xywh where it is expected, but inside of what it and another look like together."""
        x, y, w, h = self._target.place
        w, h = min(w, place[2]), min(h, place[3])
        slack = np.array([place[2] - w, place[3] - h]) / 2
        middle = np.clip((x, y), np.array(place[:2]) - slack, np.array(place[:2]) + slack)
        return _box((float(middle[0]), float(middle[1]), w, h))


def _plans(costs: list[list[float]]) -> list[tuple[float, tuple[int | None, ...]]]:
    """All assignments of tracks to sightings that are near enough, cheapest first."""
    options = [[None, *(j for j, cost in enumerate(row) if cost < FARTHEST)] for row in costs]
    found = []
    for plan in product(*options):
        taken = [j for j in plan if j is not None]
        if len(set(taken)) == len(taken):
            found.append((sum(MISSED if j is None else row[j] for row, j in zip(costs, plan, strict=True)), plan))
    return sorted(found, key=lambda entry: entry[0])


def _crowded(places: list[Place], i: int) -> bool:
    return any(_distance(place, places[i]) < CROWDED * _side(places[i]) for j, place in enumerate(places) if j != i)


def _distance(a: Place, b: Place) -> float:
    return hypot(a[0] - b[0], a[1] - b[1])


def _side(place: Place) -> float:
    return (place[2] * place[3]) ** 0.5


def _place(box: FloatArray) -> Place:
    (x, y), (w, h) = centre(box).tolist(), box[2:].tolist()
    return x, y, w, h


def _box(place: Place) -> FloatArray:
    x, y, w, h = place
    return np.array([x - w / 2, y - h / 2, w, h])
