"""Collects videos and their tracks into a ``TrackIndex``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from stif_core.data.track_index import TrackIndex


class IndexBuilder:
    """Readers add their videos one by one."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self._frames: list[np.ndarray] = []
        self._masks: list[np.ndarray] = []
        self._frame_count = 0
        self._video_frames: list[tuple[int, int]] = []
        self._group_of_video: list[int] = []
        self._groups: dict[str, int] = {}
        self._track_rows: list[tuple[int, int]] = []
        self._track_video: list[int] = []
        self._row_frames: list[np.ndarray] = []
        self._boxes: list[np.ndarray] = []
        self._absent: list[np.ndarray] = []
        self._rows = 0

    def add_video(
        self,
        frames: Sequence[str],
        tracks: Mapping[str, tuple[ArrayLike, ArrayLike]],
        group: str = "",
        masks: Sequence[str] | None = None,
        absent: ArrayLike = (),
    ) -> None:
        """Adds a video, unless no track of it has a box.

        Args:
            frames: Path of each frame below the root, in order of time.
            tracks: Object id -> positions in ``frames`` (n,), ascending, and boxes xywh in image pixels (n, 4).
            group: Class or source of the video.
            masks: Path of the mask of each frame, empty where there is none.
            absent: Positions in ``frames`` at which the one object is labelled as hidden or out of view, ascending.
        """
        kept = {name: rows for name, rows in tracks.items() if len(np.asarray(rows[0]))}
        if not kept:
            return
        first, video = self._frame_count, len(self._video_frames)
        for positions, boxes in kept.values():
            positions = np.asarray(positions, np.int64)
            self._track_rows.append((self._rows, self._rows + len(positions)))
            self._track_video.append(video)
            self._row_frames.append((positions + first).astype(np.int32))
            self._boxes.append(np.asarray(boxes, np.float32).reshape(len(positions), 4))
            self._rows += len(positions)
        self._absent.append((np.asarray(absent, np.int64) + first).astype(np.int32))
        # Arrays at once: millions of Python objects would take gigabytes.
        self._frames.append(np.array([name.encode() for name in frames], np.bytes_))
        self._masks.append(np.array([name.encode() for name in masks or [""] * len(frames)], np.bytes_))
        self._frame_count += len(frames)
        self._video_frames.append((first, self._frame_count))
        self._group_of_video.append(self._groups.setdefault(group, len(self._groups)))

    def build(self) -> TrackIndex:
        """Raises ValueError when nothing was added."""
        if not self._rows:
            raise ValueError(f"no labelled box in {self.root}")
        masks, absent = np.concatenate(self._masks), np.concatenate(self._absent)
        return TrackIndex(
            self.name,
            self.root,
            np.concatenate(self._frames),
            np.array(self._video_frames, np.int64),
            np.array(self._group_of_video, np.int32),
            list(self._groups),
            np.array(self._track_rows, np.int64),
            np.array(self._track_video, np.int32),
            np.concatenate(self._row_frames),
            np.concatenate(self._boxes),
            masks if (masks != b"").any() else None,
            absent if len(absent) else None,
        )
