"""The files of a replay: tracks.csv, timings.csv, a bag with the tracks, a video."""

from collections import deque
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.bags.messages import IDLE, NAN, new_marker, new_track
from stif_core.bags.reading import Bag, RawMessage, Topic
from stif_core.bags.replay import Step
from stif_core.bags.typestore import new_header
from stif_core.bags.writing import BagWriter
from stif_core.geometry import FloatArray
from stif_core.io.drawing import TRUTH_COLOUR, VideoFile, draw_box, draw_track

TRACK_TOPIC = "/track"
MARKER_TOPIC = "/track/marker"
TRACKS_HEAD = "frame,stamp_ns,x,y,w,h,confidence,state"
TIMINGS_HEAD = "frame,decode_ms,track_ms,latency_ms"


class ReplayOutput:
    """Takes one step after the other."""

    def __init__(
        self, folder: Path, bag: Bag, images: Topic, copied: list[str], messages: list[RawMessage], fps: float
    ) -> None:
        """
        Args:
            folder: New, or empty.
            bag: What is replayed.
            images: Its topic of images.
            copied: Its topics, small ones, to copy beside the images.
            messages: All of these topics, in order.
            fps: Of the video.

        Raises:
            ValueError: The folder holds something, or the bag has a topic with the name of one that is written.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"--out {folder} exists already: remove it, or give another folder")
        clash = {images.name, *copied} & {TRACK_TOPIC, MARKER_TOPIC}
        if clash:
            raise ValueError(f"the bag's topic {clash.pop()} has the name of one that replay writes")
        folder.mkdir(parents=True, exist_ok=True)
        self._images = images
        self._tracks = (folder / "tracks.csv").open("w")
        self._timings = (folder / "timings.csv").open("w")
        print(TRACKS_HEAD, file=self._tracks)
        print(TIMINGS_HEAD, file=self._timings)
        self._video = Video(folder / "tracked.mp4", fps)
        self._waiting = deque(messages)
        self._bag = BagWriter(folder / "bag", bag.storage)
        for name in (images.name, *copied):
            self._bag.copy_topic(bag.connection(name))

    def close(self) -> None:
        """Ends all files; the bag can be read from now on."""
        self._copy_until(None)
        self._bag.close()
        self._video.close()
        self._tracks.close()
        self._timings.close()

    def add(self, step: Step, true_box: FloatArray | None) -> None:
        """Writes one image's lines, messages and picture."""
        frame, result = step.frame, step.result
        box = "," * 4 if result is None else "".join(f"{value:.3f}," for value in result.box) + f"{result.score:.6f}"
        print(f"{frame.index},{frame.stamp_ns},{box},{step.state}", file=self._tracks)
        print(f"{frame.index},{step.decode_ms:.3f},{step.track_ms:.3f},{step.latency_ms:.3f}", file=self._timings)
        self._copy_until(frame.time_ns)
        self._bag.write_bytes(self._images.name, frame.time_ns, frame.data)
        if step.image is not None:
            self._write_track(step, (step.image.shape[1], step.image.shape[0]))
        self._video.add(step, true_box)

    def _write_track(self, step: Step, image_size: tuple[int, int]) -> None:
        """What the node would publish for this image."""
        header = new_header(step.frame.stamp_ns, step.frame.frame_id)
        result = step.result
        box, state, confidence = (result.box, int(result.state), result.score) if result else (None, IDLE, NAN)
        track = new_track(
            header,
            image_size,
            box,
            state,
            step.target_id,
            float(confidence),
            step.unseen_ns,
            frames_skipped=step.skipped_before,
            latency_ms=step.latency_ms,
        )
        self._bag.write(TRACK_TOPIC, step.done_ns, track)
        self._bag.write(MARKER_TOPIC, step.done_ns, new_marker(header, box, step.state))

    def _copy_until(self, time_ns: int | None) -> None:
        while self._waiting and (time_ns is None or self._waiting[0][1] <= time_ns):
            self._bag.write_bytes(*self._waiting.popleft())


class Video:
    """Every image with the box that a robot has at that time, and the true one in white."""

    def __init__(self, path: Path, fps: float) -> None:
        self._file = VideoFile(path, fps)
        self._size: tuple[int, int] | None = None  # (width, height), of the first image
        self._box, self._score = np.full(4, np.nan), NAN

    def add(self, step: Step, true_box: FloatArray | None) -> None:
        """Takes the next image; one that cannot be decoded is left out."""
        if step.result is not None:
            self._box, self._score = step.result.box, step.result.score
        image = step.image
        if image is None:
            try:
                image = step.frame.image()  # skipped by the tracker, not by the viewer
            except ValueError:
                return
        drawn = draw_track(image, self._box, self._score, step.state)
        if true_box is not None:
            draw_box(drawn, true_box, TRUTH_COLOUR, 1)
        self._size = self._size or (image.shape[1], image.shape[0])
        self._file.write(fitted(drawn, *self._size))

    def close(self) -> None:
        self._file.close()


def fitted(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The image scaled to fit into this size, black around it: a video has one size, a bag may have several."""
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    w, h = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - w) // 2, (height - h) // 2
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas
