"""Clips held out of the training data, as sequences: what settings, thresholds and early stopping are chosen on."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from stif_core.data.folder import VALIDATION_CLIPS, read_clip_list, read_tracks
from stif_core.evaluation.sequences import Sequence
from stif_core.io.source import read_frame
from stif_core.tracking import TrackerSettings

STARTS = 6  # of a clip, in each direction
SHORTEST = 10  # frames of a run

# What the network alone can do: the initial frame as its only memory, and no state that holds a box back.
NETWORK_ALONE = TrackerSettings(
    uncertain_probability=0.0, tracking_probability=0.0, memory_capacity=1, distractors=False
)


def read_clip(folder: Path) -> Sequence:
    """The object that is labelled longest, from its first frame to its last; frames without its box hold NaN.

    Raises:
        ValueError: The clip's index is missing or broken.
    """
    index = folder / "tracks.jsonl"
    frames = read_tracks(index)
    frames_of: dict[str, list[int]] = {}
    for i, frame in enumerate(frames):
        for name in frame.boxes:
            frames_of.setdefault(name, []).append(i)
    if not frames_of:
        raise ValueError(f"{index} holds no box")
    name = max(frames_of, key=lambda key: len(frames_of[key]))
    part = frames[frames_of[name][0] : frames_of[name][-1] + 1]
    truth = [frame.boxes.get(name, [np.nan] * 4) for frame in part]
    images = [folder / frame.image for frame in part]
    # Many clips are windows cut around the target, each frame of another size; a camera's images have one size.
    shapes = np.array([read_frame(path).shape[:2] for path in images])
    height, width = shapes.max(axis=0).tolist()
    return Sequence(f"{folder.parent.name}/{folder.name}", images, np.array(truth, np.float64), (width, height))


def reversed_in_time(sequence: Sequence) -> Sequence:
    """The sequence from its last frame to its first: another run on the same footage, from another initial frame."""
    return replace(
        sequence, name=f"{sequence.name} reversed", images=sequence.images[::-1], truth=sequence.truth[::-1].copy()
    )


def read_validation(root: Path, clips: set[str]) -> list[Sequence]:
    """The clips ``SOURCE/CLIP`` under ``root``/videos, by name. Raises ValueError as ``read_clip``."""
    return [read_clip(root / "videos" / clip) for clip in sorted(clips)]


def runs_from_several_starts(clip: Sequence) -> list[Sequence]:
    """The clip both ways, from STARTS frames on in each, as far apart from each other, to its end.

    A single run from the first frame hangs on chance wherever look-alikes cross: one swap of 48 such runs moves their
    mean by more than a network's precision does. Runs overlap, so that they say less than as many clips would.
    """
    runs = []
    for way, sequence in (("", clip), ("_reversed", reversed_in_time(clip))):
        present = np.flatnonzero(sequence.present)
        wanted = np.linspace(0, len(sequence.images), STARTS, endpoint=False).astype(int)
        starts = {int(present[present >= start].min(initial=len(sequence.images))) for start in wanted}
        runs += [
            replace(
                sequence,
                name=f"{clip.name.replace('/', '_')}{way}_{start:04d}",
                images=sequence.images[start:],
                truth=sequence.truth[start:],
            )
            for start in sorted(starts)
            if len(sequence.images) - start >= SHORTEST
        ]
    return runs


def read_validation_runs(root: Path) -> list[Sequence]:
    """Runs of all validation clips under ``root``/videos. Raises ValueError as ``read_clip`` and ``read_clip_list``."""
    clips = read_validation(root, read_clip_list(VALIDATION_CLIPS))
    return [run for clip in clips for run in runs_from_several_starts(clip)]
