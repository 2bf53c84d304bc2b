"""Training samples: a memory crop with its box and a query crop, from stills, clips and rendered scenes."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from stif_core.crops import SearchWindow, foreground_map, plain_canvas
from stif_core.data.augment import apply_gain, colour_gain, corrupt, grey
from stif_core.data.cutouts import Cutout, cut_out, paste
from stif_core.data.folder import Picture, TrackingData, read_image
from stif_core.geometry import FloatArray, xywh_to_xyxy

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class PairSettings:
    """How samples are drawn; lengths in units of a quarter crop, which is sqrt(w h) of the target."""

    crop_size: int
    seed: int = 0
    negatives: float = 0.12  # share of queries that show another object
    shift: float = 0.9  # of the target from the query crop's centre, uniform
    far_shift: float = 1.5  # a fifth of the queries
    scale: float = 0.22  # standard deviation of the log of the query crop's scale
    clip_window: int = 60  # labelled frames between memory and query, at most
    shared_colour: float = 0.7
    occluded: float = 0.15


@dataclass(frozen=True)
class Pair:
    """One sample; boxes are xywh in crop pixels."""

    memory: Image
    memory_box: FloatArray
    query: Image
    query_box: FloatArray
    present: bool


class PairDataset(Dataset[dict[str, Tensor]]):
    """Sample ``index`` is the same in every run and worker: its randomness is seeded by (seed, index)."""

    def __init__(self, data: TrackingData, settings: PairSettings, length: int) -> None:
        self.data = data
        self.settings = settings
        self.length = length
        self.sources = list(data.stills)
        # Square roots: a large source counts more than a small one, but does not drown it.
        self.source_weights = _normalised([len(data.stills[name]) ** 0.5 for name in self.sources])
        self.clips = list(data.clips)
        per_source: dict[str, int] = {}
        for name in self.clips:
            source = name.split("/")[0]
            per_source[source] = per_source.get(source, 0) + 1
        self.clip_weights = _normalised([per_source[name.split("/")[0]] ** -0.25 for name in self.clips])
        masked = {name: [p for p in pictures if p.mask_path] for name, pictures in data.stills.items()}
        self.masked = {name: pictures for name, pictures in masked.items() if len(pictures) > 1}
        self.masked_sources = list(self.masked)
        self.masked_weights = _normalised([len(self.masked[name]) ** 0.5 for name in self.masked_sources])
        self.scenery = [picture.path for name in self.sources for picture in data.stills[name][:60]]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pair = self.pair(index)
        foreground = foreground_map(pair.memory_box, self.settings.crop_size)
        return {
            "memory": torch.from_numpy(pair.memory.transpose(2, 0, 1).copy()),
            "foreground": torch.from_numpy(foreground[None]),
            "query": torch.from_numpy(pair.query.transpose(2, 0, 1).copy()),
            "box_xyxy": torch.from_numpy(xywh_to_xyxy(pair.query_box).astype(np.float32)),
            "present": torch.tensor(pair.present),
        }

    def pair(self, index: int) -> Pair:
        rng = np.random.default_rng([self.settings.seed, index])
        kind = rng.integers(3)
        pair = (self._still, self._clip, self._rendered)[kind](rng)
        return self._augmented(pair, rng)

    # -- where samples come from

    def _still(self, rng: np.random.Generator) -> Pair:
        picture = self._picture(rng)
        name = _choice(rng, list(picture.boxes))
        other = None
        if rng.random() < self.settings.negatives:
            other = self._picture(rng)
        return self._real(picture, name, other or picture, rng, present=other is None)

    def _clip(self, rng: np.random.Generator) -> Pair:
        frames = self.data.clips[self.clips[rng.choice(len(self.clips), p=self.clip_weights)]]
        start = int(rng.integers(len(frames)))
        name = _choice(rng, list(frames[start].boxes))
        window = frames[max(0, start - self.settings.clip_window) : start + self.settings.clip_window + 1]
        candidates = [frame for frame in window if name in frame.boxes]
        query = candidates[int(rng.integers(len(candidates)))]
        other = None
        if rng.random() < self.settings.negatives:
            other_frames = self.data.clips[self.clips[int(rng.integers(len(self.clips)))]]
            if other_frames is not frames:
                other = other_frames[int(rng.integers(len(other_frames)))]
        return self._real(frames[start], name, other or query, rng, present=other is None)

    def _real(self, picture: Picture, name: str, query: Picture, rng: np.random.Generator, present: bool) -> Pair:
        size = self.settings.crop_size
        query_name = name if present else _choice(rng, list(query.boxes))
        memory_window = self._jittered(SearchWindow.around(picture.boxes[name], size), rng, shift=0.08, scale=0.08)
        query_window = self._query_window(query.boxes[query_name], rng)
        return Pair(
            memory_window.sample(picture.image(), self._canvas(picture.image(), rng)),
            memory_window.to_crop(picture.boxes[name]),
            query_window.sample(query.image(), self._canvas(query.image(), rng)),
            query_window.to_crop(query.boxes[query_name]),
            present,
        )

    def _rendered(self, rng: np.random.Generator) -> Pair:
        """A masked object over two pictures, with look-alikes of its own source beside it in the query."""
        size = self.settings.crop_size
        quarter = size / 4
        source = self.masked_sources[rng.choice(len(self.masked_sources), p=self.masked_weights)]
        target = self._cutout(source, rng)
        if target is None:
            return self._still(rng)
        memory, query = self._scene(rng), self._scene(rng)
        angle = rng.normal(0, 0.12)
        centre = np.full(2, size / 2) + rng.normal(0, 2, 2)
        memory_box, _ = paste(memory, target, centre, quarter, angle, 1.0)

        present = rng.random() >= self.settings.negatives
        factor = float(np.exp(rng.normal(0, self.settings.scale)))
        reach = self.settings.far_shift if rng.random() < 0.2 else self.settings.shift
        place = size / 2 + rng.uniform(-reach, reach, 2) * quarter
        for _ in range(int(rng.integers(0 if present else 1, 4))):
            look_alike = self._cutout(source if rng.random() < 0.7 else _choice(rng, self.masked_sources), rng)
            if look_alike is not None:
                beside = rng.uniform(0, size, 2)
                paste(query, look_alike, beside, quarter * factor * np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.2), 1.0)
        if present:
            box, _ = paste(
                query, target, place, quarter * factor, angle + rng.normal(0, 0.12), float(np.exp(rng.normal(0, 0.08)))
            )
        else:
            box = np.array([*(place - quarter / 2), quarter, quarter])
        if np.isnan(box).any() or np.isnan(memory_box).any():
            return self._still(rng)
        return Pair(memory, memory_box, query, box, present)

    # -- what they are made of

    def _picture(self, rng: np.random.Generator) -> Picture:
        pictures = self.data.stills[self.sources[rng.choice(len(self.sources), p=self.source_weights)]]
        return pictures[int(rng.integers(len(pictures)))]

    def _cutout(self, source: str, rng: np.random.Generator) -> Cutout | None:
        pictures = self.masked[source]
        picture = pictures[int(rng.integers(len(pictures)))]
        return cut_out(picture, _choice(rng, list(picture.boxes)))

    def _query_window(self, box: FloatArray, rng: np.random.Generator) -> SearchWindow:
        reach = self.settings.far_shift if rng.random() < 0.2 else self.settings.shift
        window = SearchWindow.around(box, self.settings.crop_size)
        return self._jittered(window, rng, reach, self.settings.scale)

    @staticmethod
    def _jittered(window: SearchWindow, rng: np.random.Generator, shift: float, scale: float) -> SearchWindow:
        dx, dy = rng.uniform(-shift, shift, 2) * window.side / 4
        return replace(window, x=window.x + dx, y=window.y + dy, side=window.side * float(np.exp(rng.normal(0, scale))))

    def _canvas(self, image: Image, rng: np.random.Generator) -> Image:
        """What a crop shows beyond the picture's border: its mean colour, as in tracking, or another picture."""
        return plain_canvas(image, self.settings.crop_size) if rng.random() < 0.35 else self._scene(rng)

    def _scene(self, rng: np.random.Generator) -> Image:
        """A random square of a random picture."""
        paths = self.data.backgrounds if rng.random() < 0.3 else self.scenery
        image = read_image(paths[int(rng.integers(len(paths)))])
        height, width = image.shape[:2]
        side = min(height, width) * rng.uniform(0.4, 1.0)
        x, y = rng.uniform(side / 2, width - side / 2), rng.uniform(side / 2, height - side / 2)
        size = self.settings.crop_size
        return SearchWindow(x, y, side, size).sample(image, plain_canvas(image, size))

    # -- augmentation

    def _augmented(self, pair: Pair, rng: np.random.Generator) -> Pair:
        memory, query = pair.memory, pair.query
        memory_box, query_box = pair.memory_box.copy(), pair.query_box
        if pair.present and rng.random() < self.settings.occluded:
            query = self._occluded(query, query_box, rng)
        gain = colour_gain(rng)
        query = apply_gain(query, gain)
        memory = apply_gain(memory, gain if rng.random() < self.settings.shared_colour else colour_gain(rng))
        if rng.random() < 0.1:
            memory, query = grey(memory), grey(query)
        memory, query = corrupt(memory, rng, 0.5), corrupt(query, rng, 1.0)
        if rng.random() < 0.5:
            size = self.settings.crop_size
            memory, query = memory[:, ::-1], query[:, ::-1]
            memory_box[0] = size - memory_box[0] - memory_box[2]
            query_box = query_box * (-1, 1, 1, 1) + (size - query_box[2], 0, 0, 0)
        return Pair(memory, memory_box, query, query_box, pair.present)

    def _occluded(self, query: Image, box: FloatArray, rng: np.random.Generator) -> Image:
        """Covers up to half of the target with a piece of another picture."""
        x, y, w, h = box
        share = rng.uniform(0.15, 0.5)
        cover_w, cover_h = (w * share, h) if rng.random() < 0.5 else (w, h * share)
        left = x + rng.choice([0, w - cover_w]) + rng.normal(0, 0.05) * w
        top = y + rng.choice([0, h - cover_h]) + rng.normal(0, 0.05) * h
        rows = slice(max(0, int(top)), max(0, int(top + cover_h * rng.uniform(1, 1.5))))
        columns = slice(max(0, int(left)), max(0, int(left + cover_w * rng.uniform(1, 1.5))))
        result = query.copy()
        result[rows, columns] = self._scene(rng)[rows, columns]
        return result


def _choice(rng: np.random.Generator, items: list[str]) -> str:
    return items[int(rng.integers(len(items)))]


def _normalised(weights: list[float]) -> FloatArray:
    total = np.array(weights, dtype=np.float64)
    return total / total.sum()
