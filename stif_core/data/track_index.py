"""Every labelled box of one data set, as flat arrays: small in memory, or mapped from a file on disk.

A *video* is a run of frames (a still image is a video of one frame), a *track* the boxes of one object in one video.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stif_core.geometry import FloatArray


class Labelled(NamedTuple):
    """One object in one frame."""

    frame: int  # index into ``TrackIndex.frames``
    box: FloatArray  # xywh in image pixels, (4,)


@dataclass(frozen=True)
class TrackIndex:
    """Tracks of one data set.

    Attributes:
        name: Name of the data set.
        root: Folder that the paths of the frames are relative to.
        frames: Path of each frame below ``root``, (F,) bytes (a fifth of the memory
            of Python strings, and they can be mapped); the frames of a video lie together, in order of time.
        video_frames: First frame and the one after the last of each video, (V, 2).
        group_of_video: Number of the group that each video belongs to, (V,); a group is a class or a source.
        groups: Names of the groups.
        track_rows: First row and the one after the last of each track, (K, 2), ordered by video.
        track_video: Video of each track, (K,), ascending.
        row_frame: Frame of each row, (R,), ascending within a track.
        boxes: Box of each row, xywh in image pixels, (R, 4) float32.
        masks: Path of the mask of all objects in each frame, (F,) bytes, empty where there is none; or None.
        absent: Frames in which the object of their video is labelled as hidden or out of view, (A,), ascending; a frame
            without a row that is not among them is one without a label; or None.
    """

    name: str
    root: Path
    frames: NDArray[np.bytes_]
    video_frames: NDArray[np.int64]
    group_of_video: NDArray[np.int32]
    groups: list[str]
    track_rows: NDArray[np.int64]
    track_video: NDArray[np.int32]
    row_frame: NDArray[np.int32]
    boxes: NDArray[np.float32]
    masks: NDArray[np.bytes_] | None = None
    absent: NDArray[np.int32] | None = None

    def path(self, frame: int) -> Path:
        return self.root / self.frames[frame].decode()

    def mask_path(self, frame: int) -> Path | None:
        name = b"" if self.masks is None else self.masks[frame]
        return self.root / name.decode() if name else None

    def track(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Frames (n,) and boxes (n, 4) of a track."""
        first, end = self.track_rows[number]
        return self.row_frame[first:end], self.boxes[first:end]

    def labelled(self, row: int) -> Labelled:
        return Labelled(int(self.row_frame[row]), np.asarray(self.boxes[row], np.float64))

    def tracks_of_video(self, video: int) -> range:
        """Numbers of the tracks of a video."""
        # Of the array's own type: another one would have the whole array converted.
        first, end = np.searchsorted(self.track_video, np.array([video, video + 1], self.track_video.dtype))
        return range(int(first), int(end))

    def boxes_in_frame(self, video: int, frame: int) -> dict[int, FloatArray]:
        """Track number -> box, of every object that is labelled in a frame."""
        found = {}
        for track in self.tracks_of_video(video):
            frames, boxes = self.track(track)
            i = int(np.searchsorted(frames, frames.dtype.type(frame)))
            if i < len(frames) and frames[i] == frame:
                found[track] = np.asarray(boxes[i], np.float64)
        return found
