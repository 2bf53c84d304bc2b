"""Crops recorded from footage by the tracker: for int8 ranges, and to compare precisions on what really comes in."""

from collections.abc import Callable
from pathlib import Path

from stif_core.data.folder import read_clip_list
from stif_core.evaluation.sequences import read_sequence
from stif_core.evaluation.validation import read_clip
from stif_core.runtime.backend import Backend
from stif_core.runtime.recording import Crops, RecordingBackend
from stif_core.tracking import Tracker, TrackerSettings

QUERY_INTERVAL = 8  # a query crop in so many is kept: neighbours are alike
FRAMES = 80  # of a sequence at most, so that none dominates


def footage_folders(root: Path, left_out: Path) -> list[Path]:
    """Sequence folders (img/, groundtruth.txt), or the clips of training data (videos/SOURCE/CLIP/tracks.jsonl).

    Args:
        root: Folder of either form, or one sequence.
        left_out: List of the clips ``SOURCE/CLIP`` that are kept for validation; read for training data alone.

    Raises:
        ValueError: There is no footage, or no list.
    """
    if (root / "groundtruth.txt").is_file():
        return [root]
    clips = sorted(path.parent for path in root.glob("videos/*/*/tracks.jsonl"))
    if clips:
        validation = read_clip_list(left_out)
        return [clip for clip in clips if f"{clip.parent.name}/{clip.name}" not in validation]
    sequences = sorted(path.parent for path in root.glob("*/groundtruth.txt"))
    if not sequences:
        raise ValueError(f"no footage in {root}: expected folders with img/ and groundtruth.txt, or training data")
    return sequences


def record_crops(
    backend: Backend, settings: TrackerSettings, folders: list[Path], advance: Callable[[], None] = lambda: None
) -> Crops:
    """Tracks the beginning of each sequence; ``advance`` is called after each.

    Raises:
        ValueError: A sequence is broken, or the footage too short.
    """
    recorder = RecordingBackend(backend, QUERY_INTERVAL)
    tracker = Tracker(recorder, settings)
    for folder in folders:
        sequence = read_clip(folder) if (folder / "tracks.jsonl").is_file() else read_sequence(folder)
        recorder.next_target()
        for i, image in zip(range(FRAMES), sequence.frames(), strict=False):
            if i:
                tracker.track(image)
            else:
                tracker.init(image, sequence.truth[0])
        advance()
    return recorder.crops()
