"""What happens in a clip: where the camera, the target, look-alikes and walls are in each frame."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from stif_core.geometry import FloatArray


@dataclass
class Script:
    """One clip's course. Positions are pixels of the view where the camera does not turn, else of the scenery.

    Attributes:
        target: (N, 3) x and y of its centre and size sqrt(w h); NaN while it is not in the scene at all.
        camera: (N, 2) where the view's corner lies in the scenery.
        lookalikes: Each (N, 3), as the target.
        scenery: (N,) which of the two pictures.
        flash: (N,) a grey value that the whole frame takes; NaN: none.
        walls: Left and right end of upright walls, which hide what passes behind them.
    """

    target: FloatArray
    camera: FloatArray
    lookalikes: list[FloatArray] = field(default_factory=list)
    scenery: FloatArray = field(default_factory=lambda: np.empty(0))
    flash: FloatArray = field(default_factory=lambda: np.empty(0))
    walls: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.target)
        if not len(self.scenery):
            self.scenery = np.zeros(count)
        if not len(self.flash):
            self.flash = np.full(count, np.nan)


@dataclass(frozen=True)
class Stage:
    """What a script is written for: the size of the view, and the random numbers of the clip."""

    width: int
    height: int
    rng: np.random.Generator

    @property
    def usual_size(self) -> float:
        return float(self.height * self.rng.uniform(0.1, 0.17))

    def spot(self) -> FloatArray:
        """A place in the middle of the view."""
        return np.array([self.width * self.rng.uniform(0.25, 0.75), self.height * self.rng.uniform(0.3, 0.7)])

    def outside(self, side: int, size: float) -> FloatArray:
        """A place just outside: side 0 left, 1 right, 2 top, 3 bottom."""
        x, y = self.spot()
        return np.array([[-size, y], [self.width + size, y], [x, -size], [x, self.height + size]][side])

    def walk(self, frames: int, start: FloatArray, end: FloatArray, size: float, wander: float = 1.0) -> FloatArray:
        """From start to end with detours, (frames, 3); the size swings a little."""
        t = np.linspace(0, 1, frames)[:, None]
        phase, turns = self.rng.uniform(0, 2 * np.pi, 3), frames / 30 * self.rng.uniform(0.15, 0.4, 3)
        waves = np.sin(2 * np.pi * t * turns + phase) * np.sin(np.pi * t)
        detour = waves[:, :2] * np.array([self.width, self.height]) * 0.18 * wander
        place = (1 - t) * start + t * end + detour
        return np.column_stack([place, size * (1 + 0.08 * waves[:, 2])])

    def still_camera(self, frames: int) -> FloatArray:
        """A camera held by hand: it sways by some pixels."""
        t = np.arange(frames)[:, None] / 30
        phase = self.rng.uniform(0, 2 * np.pi, 2)
        return 12 * np.sin(1.5 * t * np.array([1.0, 1.4]) + phase) + self.rng.normal(0, 0.4, (frames, 2))


def absent(frames: int) -> FloatArray:
    return np.full((frames, 3), np.nan)


def vanishes(stage: Stage) -> Script:
    """Gone between two frames, back 30 frames later 90 px away; then the same with 60 frames and 150 px."""
    size = stage.usual_size
    a, b = stage.spot(), stage.spot()
    first = stage.walk(90, a, b, size)
    parts = [first]
    for gap, distance in ((30, 90.0), (60, 150.0)):
        last = parts[-1][-1, :2]
        towards = np.array([stage.width, stage.height]) / 2 - last
        turn = np.arctan2(towards[1], towards[0]) + stage.rng.uniform(-0.6, 0.6)
        back = last + distance * np.array([np.cos(turn), np.sin(turn)])
        parts += [absent(gap), stage.walk(90, back, stage.spot(), size)]
    target = np.concatenate(parts)
    return Script(target, stage.still_camera(len(target)))


def leaves(stage: Stage) -> Script:
    """Walks out of the view and comes in near the place where it left; later on another side, at another size."""
    size = stage.usual_size
    side = int(stage.rng.integers(4))
    out = stage.outside(side, size)
    along = np.array([0.0, 90.0]) if side < 2 else np.array([90.0, 0.0])
    again = int((side + stage.rng.integers(1, 4)) % 4)
    factor = float(np.exp(stage.rng.uniform(np.log(0.6), np.log(1.6))))
    spot, last = stage.spot(), stage.spot()
    parts = [
        stage.walk(90, stage.spot(), out, size),
        absent(24),
        stage.walk(70, out + along * stage.rng.choice((-1, 1)), spot, size, 0.3),
        stage.walk(70, spot, out, size, 0.3),
        absent(90),
        stage.walk(130, stage.outside(again, size * factor), last, size * factor),
    ]
    target = np.concatenate(parts)
    return Script(target, stage.still_camera(len(target)))


def hidden(stage: Stage) -> Script:
    """Passes behind a wall and comes out on the other side, there and back."""
    size = stage.usual_size
    middle = stage.width * stage.rng.uniform(0.42, 0.58)
    half = size * stage.rng.uniform(1.2, 1.7)
    y = stage.height * stage.rng.uniform(0.35, 0.65, 4)
    left, right = np.array([stage.width * 0.14, y[0]]), np.array([stage.width * 0.86, y[1]])
    far_left, far_right = np.array([stage.width * 0.2, y[2]]), np.array([stage.width * 0.8, y[3]])
    parts = [
        stage.walk(60, far_left, left, size, 0.4),
        stage.walk(110, left, right, size, 0.1),
        stage.walk(60, right, far_right, size, 0.4),
        stage.walk(160, far_right, left, size, 0.1),
        stage.walk(40, left, far_left, size, 0.4),
    ]
    target = np.concatenate(parts)
    camera = np.zeros((len(target), 2))
    return Script(target, camera, walls=[(middle - half, middle + half)])


def look_alikes(stage: Stage) -> Script:
    """Two that resemble the target cross it, and stay when it leaves; it comes back between them."""
    size = stage.usual_size
    out, spot = stage.outside(int(stage.rng.integers(4)), size), stage.spot()
    parts = [
        stage.walk(120, stage.spot(), spot, size),
        stage.walk(60, spot, out, size, 0.3),
        absent(80),
        stage.walk(140, stage.outside(int(stage.rng.integers(4)), size), stage.spot(), size),
    ]
    target = np.concatenate(parts)
    others = [stage.walk(len(target), stage.spot(), stage.spot(), size * stage.rng.uniform(0.9, 1.1)) for _ in range(2)]
    return Script(target, stage.still_camera(len(target)), others)


def cut(stage: Stage) -> Script:
    """Another scene for 45 frames, a look-alike in it; back to the first, the target elsewhere; twice."""
    size = stage.usual_size
    parts, scenery, other = [stage.walk(100, stage.spot(), stage.spot(), size)], [np.zeros(100)], [absent(100)]
    for gap, seen in ((45, 100), (70, 110)):
        parts += [absent(gap), stage.walk(seen, stage.spot(), stage.spot(), size)]
        other += [stage.walk(gap, stage.spot(), stage.spot(), size), absent(seen)]
        scenery += [np.ones(gap), np.zeros(seen)]
    target = np.concatenate(parts)
    return Script(target, stage.still_camera(len(target)), [np.concatenate(other)], np.concatenate(scenery))


def turn(stage: Stage) -> Script:
    """The camera turns away until the target is out of view, and back; then a faster turn the other way."""
    size = stage.usual_size
    frames = 420
    place = stage.walk(frames, stage.spot(), stage.spot(), size, 0.5)
    camera = stage.still_camera(frames)
    direction = stage.rng.choice((-1, 1))
    for start, length, sign in ((80, 110, 1), (250, 90, -1)):
        t = np.clip((np.arange(frames) - start) / length, 0, 1)
        swing = np.clip(1.6 * np.sin(np.pi * t), 0, 1)  # out, some frames of rest, and back
        swing = swing * swing * (3 - 2 * swing)
        camera[:, 0] += sign * direction * 1.1 * stage.width * swing
        camera[:, 1] += 0.15 * stage.height * swing
    return Script(place, camera)


def flashes(stage: Stage) -> Script:
    """Followed all along, with one to four frames of black or white in between."""
    size = stage.usual_size
    target = stage.walk(330, stage.spot(), stage.spot(), size)
    flash = np.full(len(target), np.nan)
    for start, length in zip((60, 120, 180, 240, 290), (1, 2, 3, 4, 4), strict=True):
        flash[start : start + length] = stage.rng.choice((0.0, 255.0))
    return Script(target, stage.still_camera(len(target)), flash=flash)


def gone(stage: Stage) -> Script:
    """Leaves for good; a look-alike comes later and stays."""
    size = stage.usual_size
    parts = [stage.walk(100, stage.spot(), stage.outside(int(stage.rng.integers(4)), size), size), absent(300)]
    target = np.concatenate(parts)
    other = np.concatenate([absent(200), stage.walk(200, stage.outside(0, size), stage.spot(), size)])
    return Script(target, stage.still_camera(len(target)), [other])


SCRIPTS: dict[str, Callable[[Stage], Script]] = {
    function.__name__: function for function in (vanishes, leaves, hidden, look_alikes, cut, turn, flashes, gone)
}
