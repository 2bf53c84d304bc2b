"""Finds a model's tracking parameters on the validation clips: ``python -m stif_core.training.select_settings --help``.

Post-processing and memory are searched one value at a time for the best success AUC. The bounds of the usual score
come from the frames in which the target was found; the same frames with it painted out tell what they let pass.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from stif_core.cli import user_errors
from stif_core.data.folder import read_clip_list
from stif_core.evaluation.run import StifBoxes, evaluate
from stif_core.evaluation.sequences import Sequence
from stif_core.evaluation.validation import read_validation
from stif_core.geometry import FloatArray, iou
from stif_core.runtime.backend import Backend, load_backend
from stif_core.tracking import Tracker, TrackerSettings
from stif_core.weights import find_model

SEARCHED: dict[str, tuple[float, ...]] = {
    "window": (0.2, 0.3, 0.4, 0.5),
    "penalty": (0.02, 0.06, 0.1, 0.15),
    "size_rate": (0.3, 0.45, 0.6, 0.8),
}
# Quantiles of the score of frames in which the target was found.
QUANTILES = {"usual_low": 0.08, "memory_score": 0.4, "usual_high": 0.95}


def search(backend: Backend, sequences: list[Sequence]) -> TrackerSettings:
    """The post-processing with the best mean success AUC on the initial frame alone, whatever the states say."""
    # Always TRACKING: every frame counts.
    settings = TrackerSettings(uncertain_ratio=0.0, tracking_ratio=0.0, memory_capacity=1)
    best = 0.0
    for name, values in SEARCHED.items():
        for value in values:
            changed: dict[str, Any] = {name: value}
            candidate = replace(settings, **changed)
            auc = evaluate("stif", StifBoxes(Tracker(backend, candidate)), sequences).success_auc
            print(f"{name} {value}: success AUC {auc:.4f}", flush=True)
            if auc > best:
                best, settings = auc, candidate
    return settings


def painted_out(image: NDArray[np.uint8], box: FloatArray) -> NDArray[np.uint8]:
    """The image with the surroundings of an xywh box drawn over it."""
    x, y, w, h = box
    margin = 0.1 * np.sqrt(w * h)
    corners = np.round([x - margin, y - margin, x + w + margin, y + h + margin]).astype(int)
    left, top, right, bottom = np.clip(corners, 0, None).tolist()
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[top:bottom, left:right] = 255
    return cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA)


def collect_scores(
    backend: Backend, sequences: list[Sequence], settings: TrackerSettings
) -> tuple[FloatArray, FloatArray]:
    """Scores of the frames in which the target was found, and of the same frames with it painted out."""
    tracker, other = Tracker(backend, settings), Tracker(backend, settings)
    found, absent = [], []
    for sequence in sequences:
        frames = sequence.frames()
        first = next(frames)
        tracker.init(first, sequence.truth[0])
        before = sequence.truth[0]
        for image, truth in zip(frames, sequence.truth[1:], strict=True):
            result = tracker.track(image)
            if iou(result.box, truth) >= 0.5:
                found.append(result.score)
                # Where the target was a frame ago, with the memory of the initial frame.
                other.init(first, sequence.truth[0])
                other.move_to(before)
                absent.append(other.track(painted_out(image, truth)).score)
            before = result.box
    return np.array(found), np.array(absent)


def select_settings(
    root: Annotated[Path, typer.Option(help="Training data with the validation clips under videos/.")],
    model: Annotated[str, typer.Option(help="Name of a shipped model, or path of its JSON file; it is rewritten.")],
    validation: Annotated[Path, typer.Option(help="List of validation clips.")] = Path(
        "config/train/validation_clips.txt"
    ),
) -> None:
    """Writes the section ``tracking`` of the model's JSON file."""
    with user_errors():
        files = find_model(model)
        sequences = read_validation(root, read_clip_list(validation))
        backend = load_backend(files)
    settings = search(backend, sequences)
    found, absent = collect_scores(backend, sequences, settings)
    for name, values in (("found", found), ("painted out", absent)):
        quantiles = np.quantile(values, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]).round(3).tolist()
        print(f"score with the target {name}, quantiles .01 .05 .25 .5 .75 .95 .99: {quantiles}")
    chosen = {name: getattr(settings, name) for name in SEARCHED}
    chosen |= {name: round(float(np.quantile(found, share)), 3) for name, share in QUANTILES.items()}
    low = TrackerSettings(**chosen).uncertain_ratio * chosen["usual_low"]
    below = f"{(found < low).mean():.1%} with the target, {(absent < low).mean():.1%} without"
    print(f"lowest bound of TRACKING {low:.3f}; frames below it: {below}")
    aucs = {}
    for memory in ({"memory_capacity": 1}, {"memory_interval": 5}, {"memory_interval": 10}, {"memory_interval": 25}):
        candidate = TrackerSettings(**chosen, **memory)
        auc = evaluate("stif", StifBoxes(Tracker(backend, candidate)), sequences).success_auc
        print(f"{memory}: success AUC {auc:.4f} with states", flush=True)
        aucs[auc] = memory
    chosen |= aucs[max(aucs)]
    description = files.description()
    description["tracking"] = chosen
    files.json.write_text(json.dumps(description, indent=2) + "\n")
    print(f"{files.json}: {chosen}")


if __name__ == "__main__":
    typer.run(select_settings)
