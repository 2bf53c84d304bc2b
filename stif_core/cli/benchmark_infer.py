"""``stif benchmark infer`` and ``memory``: which runtime and precision to use on this machine, and what it takes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from stif_core.cli.common import BackendName, Model, Threads, messages, progress_bar, user_errors
from stif_core.runtime.backend import BACKENDS
from stif_core.weights import DEFAULT_MODEL, find_model

if TYPE_CHECKING:
    from stif_core.evaluation.inference_benchmark import Latency

LATENCY = ("p50 ms", "p95 ms", "p99 ms")
WIDE = Console(width=max(Console().width, 120))  # also where the output is no terminal


def benchmark_infer(
    model: Model = DEFAULT_MODEL,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(BACKENDS)}, with a precision as in openvino:int8 or in all of them; several times; "
            "default: all that are installed, but not tensorrt."
        ),
    ] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Crops at a time; several times; default: 1.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of everything that is measured.")] = 2,
    sequence: Annotated[
        Path | None, typer.Option(help="Sequence folder that the trackers follow; default: a rendered clip.")
    ] = None,
    peer: Annotated[list[str] | None, typer.Option(help="csrt, kcf, mil; default: csrt and kcf.")] = None,
    nanotrack: Annotated[
        Path | None,
        typer.Option(help="Folder with the ONNX files of NanoTrack v3, and of v2 for OpenCV's TrackerNano."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--json", help="JSON file for the figures.")] = None,
) -> None:
    """Latency of every runtime and precision that is there, and of whole trackers beside peers, in one run."""
    with user_errors():
        import cv2

        from stif_core.evaluation import inference_benchmark as bench
        from stif_core.evaluation.boards import roofline
        from stif_core.evaluation.nanotrack import NanoTrack
        from stif_core.evaluation.peers import OPENCV_TRACKERS, OpenCvTracker
        from stif_core.evaluation.run import BoxTracker, StifBoxes
        from stif_core.evaluation.tracker_nano import TrackerNano
        from stif_core.tracking import Tracker, TrackerSettings

        cv2.setNumThreads(threads)
        files = find_model(model)
        estimates = roofline(files)
        peers = ["csrt", "kcf"] if peer is None else peer
        if unknown := [name for name in peers if name not in OPENCV_TRACKERS]:
            raise ValueError(f"unknown peer '{unknown[0]}': use {', '.join(OPENCV_TRACKERS)}, or --nanotrack FOLDER")
        if out:
            out.touch()  # before minutes of measuring
        settings = TrackerSettings.from_dict(files.description().get("tracking", {}))
        chosen = backend or [name for name in BACKENDS if name != "tensorrt"]
        candidates = bench.load_candidates(files, chosen, threads, messages.print)
        images, box = bench.clip_images(sequence)
        trackers: dict[str, BoxTracker] = {
            f"{files.name}, {candidate.name}": StifBoxes(Tracker(candidate.backend, settings))
            for candidate in candidates
        }
        trackers |= {name: OpenCvTracker(name) for name in peers}
        if nanotrack is not None:
            trackers["NanoTrack v3, onnxruntime"] = NanoTrack(nanotrack, threads)
            try:
                trackers["TrackerNano (v2), OpenCV"] = TrackerNano(nanotrack)
            except ValueError as error:
                messages.print(f"left out: {error}")
        with progress_bar("measuring", 2 * bench.ROUNDS) as advance:
            networks = bench.measure_networks(candidates, batch or [1], threads, advance)
            whole = bench.measure_trackers(trackers, images, box, advance)
        memory = bench.measure_memory(candidates, threads)

        table = Table("network", *LATENCY, "crops/s", "of fp32 limit")
        for row in networks:
            table.add_row(*_cells(row), f"{row.limit_share:.0%}")
        WIDE.print(table)
        csrt = next((row.p50 for row in whole if row.name == "csrt"), None)
        table = Table("tracker, one frame", *LATENCY, "frames/s", "of CSRT's time")
        for row in whole:
            table.add_row(*_cells(row), f"{row.p50 / csrt:.2f}" if csrt else "")
        WIDE.print(table)
        table = Table("network", "memory, MB")
        for name, megabytes in memory.items():
            table.add_row(name, f"{megabytes:.0f}")
        WIDE.print(table)
        table = Table(
            "Jetson module",
            "fp16: compute, us",
            "memory, us",
            "int8: compute, us",
            "memory, us",
            "peaks",
            caption="one track at the module's peaks, without caches: estimated, not measured",
        )
        for e in estimates:
            values = (e.fp16_compute, e.fp16_memory, e.int8_compute, e.int8_memory)
            table.add_row(e.board.name, *(f"{value:.0f}" for value in values), e.board.source)
        WIDE.print(table)
        if out:
            content = {
                "threads": threads,
                "networks": [asdict(row) for row in networks],
                "trackers": [{k: v for k, v in asdict(row).items() if k != "limit_share"} for row in whole],
                "memory_mb": memory,
                "estimates": [asdict(estimate) for estimate in estimates],
            }
            out.write_text(json.dumps(content, indent=2) + "\n")


def benchmark_memory(
    frames: Annotated[int, typer.Option(min=10, help="Frames to track.")] = 20_000,
    model: Model = DEFAULT_MODEL,
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """Memory of the process while the tracker follows a clip played to and fro: it must not grow."""
    with user_errors():
        from stif_core.evaluation.inference_benchmark import clip_images
        from stif_core.evaluation.memory_benchmark import POINTS, measure_memory
        from stif_core.tracking import Tracker

        images, box = clip_images(None)
        tracker = Tracker.load(model, backend, threads)
        with progress_bar("tracking", POINTS) as advance:
            usage = measure_memory(tracker, images, box, frames, advance)
        table = Table("frames", "resident, MB", "heap of Python and numpy, MB")
        for row in usage:
            table.add_row(f"{row.frame:,}", f"{row.resident:.1f}", f"{row.heap:.2f}")
        WIDE.print(table)
        print(f"growth since the first line: {usage[-1].resident - usage[0].resident:+.1f} MB resident")


def _cells(row: "Latency") -> tuple[str, ...]:
    return (row.name, f"{row.p50:.2f}", f"{row.p95:.2f}", f"{row.p99:.2f}", f"{row.per_second:.0f}")
