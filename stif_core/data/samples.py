"""Training samples: memory crops with the target's box and a query crop, from videos, stills and rendered clips."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stif_core.crops import SearchWindow, plain_canvas
from stif_core.data.augment import apply_gain, colour_gain, corrupt, grey
from stif_core.data.cutouts import Cutout, cut_out, paste
from stif_core.data.images import Image, ImageReader
from stif_core.data.sources import Place, TrackSource, normalised
from stif_core.geometry import FloatArray, centre, xywh_to_xyxy


@dataclass(frozen=True)
class SampleSettings:
    """How samples are drawn; lengths in units of a quarter crop, which is sqrt(w h) of the target."""

    window: int = 60  # frames between the query and any of its memory frames, at most
    negatives: float = 0.12  # share of queries that show another object
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


class Sample(NamedTuple):
    """T memory crops, the first being the initial frame, and one query crop; boxes are xywh in crop pixels."""

    memory: list[Image]  # T of (S, S, 3) BGR
    memory_boxes: FloatArray  # (T, 4)
    query: Image
    query_box: FloatArray  # (4,), of no meaning where the target is absent
    present: bool


class SampleDataset(Dataset[dict[str, Tensor]]):
    """Sample ``index`` is the same in every run, rank and worker: its randomness is seeded by (seed, index)."""

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

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Tensors ``memory`` (T, 3, S, S) and ``query`` (3, S, S) uint8, their boxes ``memory_xyxy`` (T, 4) and
        ``query_xyxy`` (4,) in crop pixels, and ``present``.
        """
        sample = self.sample(index)
        memory = np.stack(sample.memory).transpose(0, 3, 1, 2)
        return {
            "memory": torch.from_numpy(np.ascontiguousarray(memory)),
            "memory_xyxy": torch.from_numpy(xywh_to_xyxy(sample.memory_boxes).astype(np.float32)),
            "query": torch.from_numpy(np.ascontiguousarray(sample.query.transpose(2, 0, 1))),
            "query_xyxy": torch.from_numpy(xywh_to_xyxy(sample.query_box).astype(np.float32)),
            "present": torch.tensor(sample.present),
        }

    def sample(self, index: int) -> Sample:
        source, rng = self._begin(index)
        sample = self._rendered(rng) if source is None else self._real(source, rng)
        return self._augmented(sample, rng)

    def source_of(self, index: int) -> TrackSource | None:
        """What sample ``index`` is drawn from; None for a rendered clip."""
        return self._begin(index)[0]

    def _begin(self, index: int) -> tuple[TrackSource | None, np.random.Generator]:
        """What sample ``index`` is drawn from, and the generator for all that follows."""
        rng = np.random.default_rng([self.seed, index])
        kind = int(rng.choice(len(self.shares), p=self.shares))
        return (None if kind == len(self.sources) else self.sources[kind]), rng

    # -- from pictures with boxes

    def _real(self, source: TrackSource, rng: np.random.Generator) -> Sample:
        """Memory frames and a query of one object within the window, or a query of another object."""
        track = source.draw_track(rng)
        memory, query = source.draw_frames(track, self.memory_frames, self.settings.window, rng)
        present = rng.random() >= self.settings.negatives
        query_source = source
        if not present:
            if rng.random() < 0.5:  # another data set may hold it, with its own look
                query_source = self.sources[int(rng.integers(len(self.sources)))]
            other = query_source.draw_track(rng)
            present = query_source is source and source.same_video(track, other)
            if not present:
                query = query_source.draw_frames(other, 0, self.settings.window, rng)[1]
        crops, boxes = [], []
        for place in memory:
            window = self._jittered(SearchWindow.around(place.box, self.size), rng, shift=0.08, scale=0.08)
            crops.append(self._crop(source, place, window, rng))
            boxes.append(window.to_crop(place.box))
        window = self._query_window(query_source, query, rng)
        crop, box = self._crop(query_source, query, window, rng), window.to_crop(query.box)
        if self.masked and rng.random() < self.settings.look_alikes:
            crop = self._with_look_alikes(crop, box, query_source, query, rng)
        return Sample(crops, np.array(boxes), crop, box, present)

    def _crop(self, source: TrackSource, place: Place, window: SearchWindow, rng: np.random.Generator) -> Image:
        """Beyond the picture's border a crop shows its mean colour, as in tracking, or another picture."""
        image = self.images.image(source.index.path(place.frame))
        plain = rng.random() < 0.35
        return window.sample(image, plain_canvas(image, self.size) if plain else self._scene(rng))

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

    def _with_look_alikes(
        self, crop: Image, box: FloatArray, source: TrackSource, query: Place, rng: np.random.Generator
    ) -> Image:
        """One or two masked objects of about the target's size pasted beside it, of its own group if that has masks."""
        length = float(np.sqrt(box[2] * box[3]))
        for _ in range(int(rng.integers(1, 3))):
            cutout = self._distractor(source, query, 0.8, rng)
            place = rng.uniform(0, self.size, 2)
            # Its middle lies outside the target, so that most of the target stays in sight.
            if cutout is None or (np.abs(place - centre(box)) < 0.5 * (box[2:] + length)).all():
                continue
            paste(crop, cutout, place, length * float(np.exp(rng.normal(0, 0.25))), rng.normal(0, 0.2), 1.0)
        return crop

    # -- rendered clips

    def _rendered(self, rng: np.random.Generator) -> Sample:
        """A masked object moves over a scene among look-alikes; in some clips it has left the view in the query."""
        source = self.masked[int(rng.integers(len(self.masked)))]
        first = source.draw_masked(rng)
        target = self._cutout(source, first)
        if target is None:
            return self._real(source, rng)
        others = [self._distractor(source, first, 0.7, rng) for _ in range(int(rng.integers(0, 4)))]
        present = rng.random() >= self.settings.left_view
        scene = self._scene(rng, margin=2.0) if rng.random() < self.settings.same_scene else None
        quarter = self.size / 4
        angle = rng.normal(0, 0.12)
        crops, boxes = [], []
        for t in range(self.memory_frames + 1):
            is_query = t == self.memory_frames
            canvas = self._view(scene, rng) if scene is not None else self._scene(rng)
            scale = float(np.exp(rng.normal(0, self.settings.scale if is_query else 0.08)))
            reach = 0.08
            if is_query:
                reach = self.settings.far_shift if rng.random() < 0.2 else self.settings.shift
            place = self.size / 2 + rng.uniform(-reach, reach, 2) * quarter
            in_front = rng.random(len(others)) < 0.15
            for cutout in (c for c, front in zip(others, in_front, strict=True) if c is not None and not front):
                self._paste_distractor(canvas, cutout, quarter * scale, rng)
            box = np.array([*(place - quarter / 2), quarter, quarter])
            if present or not is_query:
                turn, stretch = angle + rng.normal(0, 0.1), float(np.exp(rng.normal(0, 0.08)))
                box, _ = paste(canvas, target, place, quarter * scale, turn, stretch)
            for cutout in (c for c, front in zip(others, in_front, strict=True) if c is not None and front):
                # In front of the target, but beside its middle: it hides half of it at most.
                side = place + np.sign(rng.normal(size=2)) * rng.uniform(0.6, 1.2) * quarter
                paste(canvas, cutout, side, quarter * scale, rng.normal(0, 0.2), 1.0)
            crops.append(canvas)
            boxes.append(box)
        if np.isnan(boxes).any():
            return self._real(source, rng)
        return Sample(crops[:-1], np.array(boxes[:-1]), crops[-1], boxes[-1], present)

    def _paste_distractor(self, canvas: Image, cutout: Cutout, length: float, rng: np.random.Generator) -> None:
        place = rng.uniform(0, self.size, 2)
        paste(canvas, cutout, place, length * float(np.exp(rng.normal(0, 0.2))), rng.normal(0, 0.2), 1.0)

    def _cutout(self, source: TrackSource, place: Place) -> Cutout | None:
        mask = source.index.mask_path(place.frame)
        assert mask is not None  # draw_masked and draw_look_alike give places with one
        return cut_out(self.images.image(source.index.path(place.frame)), self.images.mask(mask), place.box)

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

    def _scene(self, rng: np.random.Generator, margin: float = 1.0) -> Image:
        """A random square of a random picture, ``margin`` crops wide."""
        if self.backgrounds and rng.random() < 0.3:
            path = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        else:
            path = self.sources[int(rng.integers(len(self.sources)))].draw_scenery(rng)
        image = self.images.image(path)
        height, width = image.shape[:2]
        side = min(height, width) * rng.uniform(0.4, 1.0)
        x, y = rng.uniform(side / 2, width - side / 2), rng.uniform(side / 2, height - side / 2)
        size = int(self.size * margin)
        return SearchWindow(x, y, side, size).sample(image, plain_canvas(image, size))

    def _view(self, scene: Image, rng: np.random.Generator) -> Image:
        """A crop out of a larger scene, as a camera that follows its target sees it."""
        side = self.size * float(np.exp(rng.normal(0.2, 0.15)))
        x, y = rng.uniform(side / 2, max(side / 2, scene.shape[1] - side / 2), 2)
        return SearchWindow(float(x), float(y), side, self.size).sample(scene, plain_canvas(scene, self.size))

    # -- augmentation of the finished crops

    def _augmented(self, sample: Sample, rng: np.random.Generator) -> Sample:
        query = sample.query
        if sample.present and rng.random() < self.settings.occluded:
            query = self._occluded(query, sample.query_box, rng)
        crops = [*sample.memory, query]
        gain, shared = colour_gain(rng), rng.random() < self.settings.shared_colour
        crops = [apply_gain(crop, gain if shared else colour_gain(rng)) for crop in crops]
        if rng.random() < 0.1:
            crops = [grey(crop) for crop in crops]
        crops = [corrupt(crop, rng, 1.0 if i == len(crops) - 1 else 0.5) for i, crop in enumerate(crops)]
        boxes = np.vstack([sample.memory_boxes, sample.query_box])
        if rng.random() < 0.5:
            crops = [crop[:, ::-1] for crop in crops]
            boxes[:, 0] = self.size - boxes[:, 0] - boxes[:, 2]
        return Sample(crops[:-1], boxes[:-1], crops[-1], boxes[-1], sample.present)

    def _occluded(self, query: Image, box: FloatArray, rng: np.random.Generator) -> Image:
        """Covers up to three quarters of the target, mostly less than half, with a piece of another picture."""
        x, y, w, h = box
        share = rng.uniform(0.15, 0.5)
        cover_w, cover_h = (w * share, h) if rng.random() < 0.5 else (w, h * share)
        left = x + rng.choice([0, w - cover_w]) + rng.normal(0, 0.05) * w
        top = y + rng.choice([0, h - cover_h]) + rng.normal(0, 0.05) * h
        rows = slice(max(0, int(top)), max(0, int(top + cover_h * rng.uniform(1, 1.5))))
        columns = slice(max(0, int(left)), max(0, int(left + cover_w * rng.uniform(1, 1.5))))
        query[rows, columns] = self._scene(rng)[rows, columns]
        return query
