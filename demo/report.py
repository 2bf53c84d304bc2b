"""What the demo measured, as a table, a film and a contact sheet."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from demo.clips import Clip
from stif_core.evaluation.metrics import accuracy
from stif_core.geometry import FloatArray
from stif_core.io.drawing import TRUTH_COLOUR, VideoFile, contact_sheet, draw_box, draw_track

SHEET_TILES = 15


@dataclass(frozen=True)
class TrackedFrame:
    """One ``track`` message: box xywh, when it came, and what it said."""

    box: FloatArray
    score: float
    state: str
    latency_ms: float
    skipped: int


@dataclass(frozen=True)
class Summary:
    """Written to ``summary.json``.

    Frames: sent = received + lost, received = tracked + not seen + skipped + refused. ``frames_received``,
    ``frames_refused`` are the node's count, ``frames_tracked`` (TRACKING, UNCERTAIN), ``frames_not_seen`` (LOST, IDLE)
    and ``frames_skipped`` come from the ``track`` messages: they add up if no message got lost.
    """

    clip: str
    frames_sent: int
    frames_received: int
    frames_tracked: int
    frames_not_seen: int
    frames_skipped: int
    frames_refused: int
    frames_lost: int
    frames_lost_node_estimate: int  # from gaps between stamps
    mean_iou: float | None
    success_auc: float | None
    latency_p50_ms: float
    latency_p95_ms: float
    node_cpu_share: float  # of one core
    states: dict[str, int]

    @property
    def adds_up(self) -> bool:
        done = self.frames_tracked + self.frames_not_seen + self.frames_skipped + self.frames_refused
        return self.frames_received == done and self.frames_lost >= 0


def summarise(
    clip: Clip, sent: int, tracked: dict[int, TrackedFrame], node_counts: dict[str, int], cpu_share: float
) -> Summary:
    """Joins what was sent, what the node counted, and what came back.

    Args:
        clip: What was played.
        sent: Frames sent by the player.
        tracked: Track messages by the index of their frame.
        node_counts: What the node's diagnostics count of the frames.
        cpu_share: Processor time of the node over wall time.
    """
    scores = None
    if clip.truth is not None and tracked:
        scores = accuracy(held_boxes(clip, tracked, sent), clip.truth)
    latency = [frame.latency_ms for frame in tracked.values()] or [float("nan")]
    states = [frame.state for frame in tracked.values()]
    seen = states.count("TRACKING") + states.count("UNCERTAIN")
    return Summary(
        clip=clip.name,
        frames_sent=sent,
        frames_received=node_counts["frames_received"],
        frames_tracked=seen,
        frames_not_seen=len(states) - seen,
        frames_skipped=sum(frame.skipped for frame in tracked.values()),
        frames_refused=node_counts["frames_refused"],
        frames_lost=sent - node_counts["frames_received"],
        frames_lost_node_estimate=node_counts["frames_lost_in_transport"],
        mean_iou=scores.mean_iou if scores else None,
        success_auc=scores.success_auc if scores else None,
        latency_p50_ms=float(np.percentile(latency, 50)),
        latency_p95_ms=float(np.percentile(latency, 95)),
        node_cpu_share=cpu_share,
        states={state: states.count(state) for state in sorted(set(states))},
    )


def held_boxes(clip: Clip, tracked: dict[int, TrackedFrame], count: int) -> FloatArray:
    """A box for every frame (N, 4): one that was not tracked keeps the last box, as a robot would."""
    boxes, last = [], clip.box
    for i in range(count):
        last = tracked[i].box if i in tracked else last
        boxes.append(last)
    return np.array(boxes)


def print_summary(summary: Summary) -> None:
    table = Table("measure", "value", title=f"tracked: {summary.clip}")
    for name, value in asdict(summary).items():
        if isinstance(value, dict):
            text = ", ".join(f"{key} {number}" for key, number in value.items())
        elif isinstance(value, float):
            text = f"{value:.3f}"
        else:
            text = "-" if value is None else str(value)
        table.add_row(name, text)
    Console().print(table)


def write_results(folder: Path, clip: Clip, summary: Summary, tracked: dict[int, TrackedFrame]) -> None:
    """Writes ``summary.json``, ``tracked.mp4`` and ``contact_sheet.png``; the truth is drawn in white."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(asdict(summary), indent=2) + "\n")
    film = VideoFile(folder / "tracked.mp4", clip.fps)
    chosen = set(np.linspace(0, summary.frames_sent - 1, SHEET_TILES).round().astype(int).tolist())
    tiles = []
    for i, image in enumerate(clip.images):
        drawn = image.copy()
        if clip.truth is not None:
            draw_box(drawn, clip.truth[i], TRUTH_COLOUR, 1)
        if i in tracked:
            frame = tracked[i]
            drawn = draw_track(drawn, frame.box, frame.score, frame.state)
        film.write(drawn)
        if i in chosen:
            tiles.append(drawn)
    film.close()
    cv2.imwrite(str(folder / "contact_sheet.png"), contact_sheet(tiles, columns=5, tile_width=320))
