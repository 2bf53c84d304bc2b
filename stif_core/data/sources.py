"""Drawing tracks and frames from the index of a data set."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stif_core.data.track_index import TrackIndex
from stif_core.geometry import FloatArray


class Place(NamedTuple):
    """An object in a frame."""

    track: int
    frame: int
    box: FloatArray  # xywh in image pixels, (4,)


class TrackSource:
    """Draws from one ``TrackIndex``: first a group, then one of its videos, then an object of that.

    A group of n videos counts n ** ``balance``: 1 draws every video alike, 0 every group alike.
    """

    def __init__(self, index: TrackIndex, balance: float, smallest_side: float, largest_aspect: float) -> None:
        """Boxes with a side below ``smallest_side`` pixels, or more than ``largest_aspect`` times as long as wide, are
        never drawn.

        Raises:
            ValueError: No box is left.
        """
        self.index = index
        shorter, longer = index.boxes[:, 2:].min(axis=1), index.boxes[:, 2:].max(axis=1)
        self._usable: NDArray[np.bool_] = (shorter >= smallest_side) & (longer <= largest_aspect * shorter)
        used = np.add.reduceat(self._usable, index.track_rows[:, 0]) > 0
        if not used.any():
            raise ValueError(f"no box of {index.name} in {index.root} is large enough to train on")
        videos = np.unique(index.track_video[used])
        self._videos_of_group = _members(index.group_of_video[videos], videos)
        self._group_shares = normalised([len(members) ** balance for members in self._videos_of_group])

    @cached_property
    def _masked_rows_of_group(self) -> dict[int, NDArray[np.int64]]:
        """Rows whose frame has a mask, of every group with at least two."""
        index = self.index
        if index.masks is None:
            return {}
        track_of_row = np.repeat(np.arange(len(index.track_rows)), np.diff(index.track_rows, axis=1)[:, 0])
        rows = np.flatnonzero(self._usable & (index.masks[index.row_frame] != b""))
        groups = index.group_of_video[index.track_video[track_of_row[rows]]]
        return {int(group): rows[groups == group] for group in np.unique(groups) if (groups == group).sum() > 1}

    @cached_property
    def _masked_shares(self) -> FloatArray:
        return normalised([len(rows) ** 0.5 for rows in self._masked_rows_of_group.values()])

    @property
    def masked(self) -> bool:
        """Whether it has masked objects to cut out."""
        return bool(self._masked_rows_of_group)

    def draw_track(self, rng: np.random.Generator) -> int:
        videos = self._videos_of_group[int(rng.choice(len(self._group_shares), p=self._group_shares))]
        video = int(videos[int(rng.integers(len(videos)))])
        tracks = [t for t in self.index.tracks_of_video(video) if self._rows(t).size]
        return tracks[int(rng.integers(len(tracks)))]

    def draw_frames(
        self, track: int, memory_frames: int, window: int, rng: np.random.Generator
    ) -> tuple[list[Place], Place]:
        """Memory frames in order of time, and a query at most ``window`` frames from each, before or after.

        The query is never its own memory, unless the object is labelled in one frame alone; where none lies within the
        window the nearest is taken. A memory frame comes twice where there are too few.
        """
        rows = self._rows(track)
        query = int(rows[int(rng.integers(len(rows)))])
        distance = np.abs(self.index.row_frame[rows].astype(np.int64) - int(self.index.row_frame[query]))
        others = rows != query
        near = rows[(distance <= window) & others]
        if not len(near) and others.any():
            near = rows[others][[distance[others].argmin()]]
        elif not len(near):
            near = np.array([query])
        memory = np.sort(rng.choice(near, memory_frames, replace=len(near) < memory_frames))
        return [self._place(track, int(row)) for row in memory], self._place(track, query)

    def draw_absent(self, track: int, memory: list[Place], window: int, rng: np.random.Generator) -> Place | None:
        """A frame at most ``window`` from each memory frame in which the object is labelled as hidden or out of view.

        With the box that it has in the labelled frame nearest in time, which is where a tracker would look for it. None
        where there is no such frame; then nothing is drawn from ``rng``.
        """
        if self.index.absent is None:
            return None
        first, end = self.index.video_frames[self.index.track_video[track]]
        low = max(int(first), max(place.frame for place in memory) - window)
        high = min(int(end), min(place.frame for place in memory) + window + 1)
        # Of the array's own type: another one would have the whole array converted.
        start, stop = np.searchsorted(self.index.absent, np.array([low, high], self.index.absent.dtype))
        if stop <= start:
            return None
        frame = int(self.index.absent[int(rng.integers(start, stop))])
        rows = self._rows(track)
        nearest = rows[np.abs(self.index.row_frame[rows].astype(np.int64) - frame).argmin()]
        return Place(track, frame, self._place(track, int(nearest)).box)

    def same_video(self, a: int, b: int) -> bool:
        """Whether two tracks belong to one video."""
        return bool(self.index.track_video[a] == self.index.track_video[b])

    def boxes_beside(self, place: Place) -> dict[int, FloatArray]:
        """Track -> box of all objects that are labelled in the frame, the object itself included."""
        return self.index.boxes_in_frame(int(self.index.track_video[place.track]), place.frame)

    def draw_masked(self, rng: np.random.Generator) -> Place:
        """A masked object of any group."""
        groups = list(self._masked_rows_of_group)
        group = groups[int(rng.choice(len(groups), p=self._masked_shares))]
        return self._draw_row(self._masked_rows_of_group[group], rng)

    def draw_look_alike(self, place: Place, rng: np.random.Generator) -> Place | None:
        """A masked object of the same group, but of another video; None where there is none."""
        rows = self._masked_rows_of_group.get(self._group(place.track))
        if rows is None:
            return None
        first, end = self.index.video_frames[self.index.track_video[place.track]]
        frames = self.index.row_frame[rows]
        rows = rows[(frames < first) | (frames >= end)]
        return self._draw_row(rows, rng) if len(rows) else None

    def draw_scenery(self, rng: np.random.Generator) -> Path:
        """Any frame of any group."""
        videos = self._videos_of_group[int(rng.choice(len(self._group_shares), p=self._group_shares))]
        first, end = self.index.video_frames[int(videos[int(rng.integers(len(videos)))])]
        return self.index.path(int(rng.integers(first, end)))

    def _draw_row(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Place:
        row = int(rows[int(rng.integers(len(rows)))])
        return self._place(int(np.searchsorted(self.index.track_rows[:, 1], row, side="right")), row)

    def _group(self, track: int) -> int:
        return int(self.index.group_of_video[self.index.track_video[track]])

    def _rows(self, track: int) -> NDArray[np.int64]:
        first, end = self.index.track_rows[track]
        return first + np.flatnonzero(self._usable[first:end])

    def _place(self, track: int, row: int) -> Place:
        frame, box = self.index.labelled(row)
        return Place(track, frame, box)


def normalised(weights: ArrayLike) -> FloatArray:
    """Weights that sum to 1."""
    total = np.asarray(weights, dtype=np.float64)
    return total / total.sum()


def _members(group_of: NDArray[np.int32], items: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """The items of each group that has one."""
    order = np.argsort(group_of, kind="stable")
    _, starts = np.unique(group_of[order], return_index=True)
    return np.split(items[order], starts[1:])
