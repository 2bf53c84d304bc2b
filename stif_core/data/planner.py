"""Draws the plans of training samples: from videos, stills and rendered clips."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from stif_core.crops import SearchWindow
from stif_core.data.augment import draw_gain, draw_look
from stif_core.data.cutouts import object_part, placement
from stif_core.data.drawing import pasted_box
from stif_core.data.images import ImageReader
from stif_core.data.plans import Cover, CropPlan, Cutout, Pasted, Picture, SamplePlan, Scenery
from stif_core.data.sources import Place, TrackSource, normalised
from stif_core.geometry import FloatArray, centre


@dataclass(frozen=True)
class SampleSettings:
    """How samples are drawn; lengths in units of a quarter crop, which is sqrt(w h) of the target."""

    window: int = 60  # frames between the query and any of its memory frames, at most
    negatives: float = 0.12  # share of queries that do not show the target
    hidden: float = 0.5  # share of these that show its video while it is hidden, where frames are labelled so
    shift: float = 0.9  # of the target from the query crop's centre, uniform
    far_shift: float = 1.5  # a fifth of the queries
    scale: float = 0.22  # standard deviation of the log of the query crop's scale
    smallest_side: float = 6.0  # image pixels; a box with a shorter side shows nothing that could be recognised
    largest_aspect: float = 10.0  # of the longer to the shorter side; beyond it a box is seldom right
    between: float = 0.5  # share of queries with a labelled neighbour whose crop lies between it and the target
    look_alikes: float = 0.3  # share of queries with masked objects pasted beside the target
    occluded: float = 0.15  # share of queries with a part of the target covered
    shared_colour: float = 0.7  # share of samples whose crops all get the same change of colour
    same_scene: float = 0.5  # share of rendered clips whose frames show one scene; the others change it
    left_view: float = 0.2  # share of rendered clips whose query the target has left


class SamplePlanner(Dataset[SamplePlan]):
    """Plan ``index`` is the same in every run, rank and worker: its randomness is seeded by (seed, index)."""

    def __init__(
        self,
        sources: list[TrackSource],
        ratios: list[float],
        rendered: float,
        backgrounds: list[Path],
        settings: SampleSettings,
        crop_size: int,
        memory_frames: int,
        seed: int = 0,
        kept_bytes: int = 3 << 30,
    ) -> None:
        """Samples are drawn from each source by its ratio; ``rendered`` is the ratio of rendered clips.

        Raises:
            ValueError: Rendered clips are asked for, but no source has masks.
        """
        self.sources = sources
        self.shares = normalised([*ratios, rendered])
        self.masked = [source for source in sources if source.masked]
        if rendered > 0 and not self.masked:
            raise ValueError("rendered clips need a data set with masks, such as folder_stills")
        self.backgrounds = backgrounds
        self.settings = settings
        self.size = crop_size
        self.memory_frames = memory_frames
        self.seed = seed
        self.images = ImageReader(kept_bytes)

    def __getitem__(self, index: int) -> SamplePlan:
        """All random choices of a sample. No picture is decoded for it, but masks are."""
        source, rng = self._begin(index)
        plan = self._rendered(rng) if source is None else self._real(source, rng)
        return self._augmented(plan, rng)

    def source_of(self, index: int) -> TrackSource | None:
        """What sample ``index`` is drawn from; None for a rendered clip."""
        return self._begin(index)[0]

    def _begin(self, index: int) -> tuple[TrackSource | None, np.random.Generator]:
        """What sample ``index`` is drawn from, and the generator for all that follows."""
        rng = np.random.default_rng([self.seed, index])
        kind = int(rng.choice(len(self.shares), p=self.shares))
        return (None if kind == len(self.sources) else self.sources[kind]), rng

    # -- from pictures with boxes

    def _real(self, source: TrackSource, rng: np.random.Generator) -> SamplePlan:
        """Memory frames and a query of one object within the window; or a query that shows it hidden, or another."""
        track = source.draw_track(rng)
        memory, query = source.draw_frames(track, self.memory_frames, self.settings.window, rng)
        present = rng.random() >= self.settings.negatives
        query_source = source
        hidden = None if present else source.draw_absent(track, memory, self.settings.window, rng)
        if hidden is not None and rng.random() < self.settings.hidden:
            query = hidden
        elif not present:
            if rng.random() < 0.5:  # another data set may hold it, with its own look
                query_source = self.sources[int(rng.integers(len(self.sources)))]
            other = query_source.draw_track(rng)
            present = query_source is source and source.same_video(track, other)
            if not present:
                query = query_source.draw_frames(other, 0, self.settings.window, rng)[1]
        crops = []
        for place in memory:
            window = self._jittered(SearchWindow.around(place.box, self.size), rng, shift=0.08, scale=0.08)
            crops.append(self._crop(source, place, window, rng))
        crop = self._crop(query_source, query, self._query_window(query_source, query, rng), rng)
        if self.masked and rng.random() < self.settings.look_alikes:
            crop = replace(crop, pasted=self._look_alikes(crop.box, query_source, query, rng))
        return SamplePlan((*crops, crop), present)

    def _crop(self, source: TrackSource, place: Place, window: SearchWindow, rng: np.random.Generator) -> CropPlan:
        """Beyond the picture's border a crop shows its mean colour, as in tracking, or another picture."""
        scenery = None if rng.random() < 0.35 else self._scenery(rng)
        return CropPlan(window.to_crop(place.box), Picture(source.index.path(place.frame), window), scenery)

    def _query_window(self, source: TrackSource, query: Place, rng: np.random.Generator) -> SearchWindow:
        reach = self.settings.far_shift if rng.random() < 0.2 else self.settings.shift
        window = self._jittered(SearchWindow.around(query.box, self.size), rng, reach, self.settings.scale)
        if rng.random() >= self.settings.between:
            return window
        others = [box for track, box in source.boxes_beside(query).items() if track != query.track]
        if not others:
            return window
        # Moves the window towards the nearest other object, as a tracker about to swap would; the target stays in.
        target = centre(query.box)
        steps = centre(np.array(others)) - target
        step = steps[np.linalg.norm(steps, axis=1).argmin()]
        largest = self.settings.far_shift * window.side / 4
        step = step * rng.uniform(0.3, 1.0) * min(1.0, largest / max(1.0, float(np.abs(step).max())))
        return replace(window, x=float(target[0] + step[0]), y=float(target[1] + step[1]))

    @staticmethod
    def _jittered(window: SearchWindow, rng: np.random.Generator, shift: float, scale: float) -> SearchWindow:
        side = window.side * float(np.exp(rng.normal(0, scale)))
        dx, dy = rng.uniform(-shift, shift, 2) * side / 4
        return replace(window, x=window.x + dx, y=window.y + dy, side=side)

    def _look_alikes(
        self, box: FloatArray, source: TrackSource, query: Place, rng: np.random.Generator
    ) -> tuple[Pasted, ...]:
        """One or two masked objects of about the target's size pasted beside it, of its own group if that has masks."""
        length = float(np.sqrt(box[2] * box[3]))
        pasted = []
        for _ in range(int(rng.integers(1, 3))):
            cutout = self._distractor(source, query, 0.8, rng)
            place = rng.uniform(0, self.size, 2)
            # Its middle lies outside the target, so that most of the target stays in sight.
            if cutout is None or (np.abs(place - centre(box)) < 0.5 * (box[2:] + length)).all():
                continue
            pasted.append(_pasted(cutout, place, length * float(np.exp(rng.normal(0, 0.25))), rng.normal(0, 0.2)))
        return tuple(pasted)

    # -- rendered clips

    def _rendered(self, rng: np.random.Generator) -> SamplePlan:
        """A masked object moves over a scene among look-alikes; in some clips it has left the view in the query."""
        source = self.masked[int(rng.integers(len(self.masked)))]
        first = source.draw_masked(rng)
        target = self._cutout(source, first)
        if target is None:
            return self._real(source, rng)
        others = [self._distractor(source, first, 0.7, rng) for _ in range(int(rng.integers(0, 4)))]
        present = rng.random() >= self.settings.left_view
        scene = self._scenery(rng) if rng.random() < self.settings.same_scene else None
        quarter = self.size / 4
        angle = rng.normal(0, 0.12)
        crops = []
        for t in range(self.memory_frames + 1):
            is_query = t == self.memory_frames
            scenery = self._view(scene, rng) if scene is not None else self._scenery(rng)
            scale = float(np.exp(rng.normal(0, self.settings.scale if is_query else 0.08)))
            reach = 0.08
            if is_query:
                reach = self.settings.far_shift if rng.random() < 0.2 else self.settings.shift
            place = self.size / 2 + rng.uniform(-reach, reach, 2) * quarter
            in_front = rng.random(len(others)) < 0.15
            pasted = [
                self._beside(cutout, quarter * scale, rng)
                for cutout, front in zip(others, in_front, strict=True)
                if cutout is not None and not front
            ]
            box: FloatArray | None = np.array([*(place - quarter / 2), quarter, quarter])
            if present or not is_query:
                turn, stretch = angle + rng.normal(0, 0.1), float(np.exp(rng.normal(0, 0.08)))
                pasted.append(_pasted(target, place, quarter * scale, turn, stretch))
                box = pasted_box(pasted[-1], self.images, self.size)
            for cutout, front in zip(others, in_front, strict=True):
                if cutout is not None and front:
                    # In front of the target, but beside its middle: it hides half of it at most.
                    side = place + np.sign(rng.normal(size=2)) * rng.uniform(0.6, 1.2) * quarter
                    pasted.append(_pasted(cutout, side, quarter * scale, rng.normal(0, 0.2)))
            if box is None:  # nothing of it can be seen
                return self._real(source, rng)
            crops.append(CropPlan(box, None, scenery, tuple(pasted)))
        return SamplePlan(tuple(crops), present)

    def _beside(self, cutout: Cutout, length: float, rng: np.random.Generator) -> Pasted:
        place = rng.uniform(0, self.size, 2)
        return _pasted(cutout, place, length * float(np.exp(rng.normal(0, 0.2))), rng.normal(0, 0.2))

    def _cutout(self, source: TrackSource, place: Place) -> Cutout | None:
        """The masked object there; None where the mask hardly covers its box."""
        mask = source.index.mask_path(place.frame)
        assert mask is not None  # draw_masked and draw_look_alike give places with one
        part = object_part(self.images.mask(mask), place.box)
        return None if part is None else Cutout(source.index.path(place.frame), mask, part)

    def _distractor(self, source: TrackSource, place: Place, alike: float, rng: np.random.Generator) -> Cutout | None:
        """A masked object that looks like the one at ``place`` with probability ``alike``, else any."""
        other = source.draw_look_alike(place, rng) if rng.random() < alike else None
        origin = source
        if other is None:
            source = self.masked[int(rng.integers(len(self.masked)))]
            other = source.draw_masked(rng)
        if source is origin and other.frame == place.frame:  # the object itself
            return None
        return self._cutout(source, other)

    def _scenery(self, rng: np.random.Generator) -> Scenery:
        """A random square of a random picture."""
        if self.backgrounds and rng.random() < 0.3:
            path = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        else:
            path = self.sources[int(rng.integers(len(self.sources)))].draw_scenery(rng)
        return Scenery(path, rng.uniform(0.4, 1.0), rng.random(), rng.random())

    @staticmethod
    def _view(scene: Scenery, rng: np.random.Generator) -> Scenery:
        """About half as wide a part of it, as a camera that follows its target sees."""
        side = 0.5 * float(np.exp(rng.normal(0.2, 0.15)))
        x, y = rng.uniform(side / 2, max(side / 2, 1 - side / 2), 2)
        return scene._replace(view=(float(x), float(y), side))

    # -- augmentation of the finished crops

    def _augmented(self, plan: SamplePlan, rng: np.random.Generator) -> SamplePlan:
        *memory, query = plan.crops
        if plan.present and rng.random() < self.settings.occluded:
            query = replace(query, cover=self._cover(query.box, rng))
        crops = [*memory, query]
        gain, shared = draw_gain(rng), rng.random() < self.settings.shared_colour
        gains = [gain if shared else draw_gain(rng) for _ in crops]
        grey = rng.random() < 0.1
        looks = [draw_look(rng, gain, grey, 0.5) for gain in gains[:-1]] + [draw_look(rng, gains[-1], grey, 1.0)]
        flipped = rng.random() < 0.5
        crops = [replace(crop, look=look._replace(flipped=flipped)) for crop, look in zip(crops, looks, strict=True)]
        return replace(plan, crops=tuple(crops))

    def _cover(self, box: FloatArray, rng: np.random.Generator) -> Cover:
        """Covers up to three quarters of the target, mostly less than half, with a piece of another picture."""
        x, y, w, h = box
        share = rng.uniform(0.15, 0.5)
        cover_w, cover_h = (w * share, h) if rng.random() < 0.5 else (w, h * share)
        left = x + rng.choice([0, w - cover_w]) + rng.normal(0, 0.05) * w
        top = y + rng.choice([0, h - cover_h]) + rng.normal(0, 0.05) * h
        bottom, right = top + cover_h * rng.uniform(1, 1.5), left + cover_w * rng.uniform(1, 1.5)
        part = [min(max(0, int(side)), self.size) for side in (left, top, right, bottom)]
        return Cover((part[0], part[1], part[2], part[3]), self._scenery(rng))


def _pasted(cutout: Cutout, place: FloatArray, length: float, angle: float, stretch: float = 1.0) -> Pasted:
    """``length``: sqrt(w h) of the drawn object in crop pixels."""
    left, top, right, bottom = cutout.part
    return Pasted(cutout, placement(right - left, bottom - top, place, length, angle, stretch))
