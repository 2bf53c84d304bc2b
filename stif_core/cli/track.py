"""``stif track``."""

import itertools
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stif_core.cli.common import BackendName, Model, Threads, messages, parse_box, progress_bar, user_errors
from stif_core.weights import DEFAULT_MODEL


def track(
    source: Annotated[str, typer.Argument(help="Folder of images, video file, or index of a camera.")],
    box: Annotated[str, typer.Option(help="The target in the first image: x,y,w,h in pixels.")],
    out: Annotated[Path | None, typer.Option(help="File for the lines; default: standard output.")] = None,
    video: Annotated[Path | None, typer.Option(help="Write a video with the boxes drawn in.")] = None,
    model: Model = DEFAULT_MODEL,
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """Follows a target: one line x,y,w,h,score,state for every image."""
    from stif_core.io.drawing import VideoFile, draw_track
    from stif_core.io.source import open_source
    from stif_core.tracking import Tracker

    with user_errors():
        frames = open_source(source)
        tracker = Tracker.load(model, backend, threads, messages.print)
        images = iter(frames)
        first = next(images)
        result = tracker.init(first, parse_box(box))  # before a file is opened: a bad box must not empty one
        lines = out.open("w") if out else None
        film = VideoFile(video, frames.fps) if video else None
        seconds, count = 0.0, 0
        try:
            with progress_bar("tracking", frames.count) as advance:
                for image in itertools.chain([first], images):
                    start = time.perf_counter()
                    result = tracker.track(image) if count else result
                    seconds += time.perf_counter() - start
                    count += 1
                    text = ",".join(f"{value:.2f}" for value in result.box)
                    print(f"{text},{result.score:.3f},{result.state.name}", file=lines)
                    if film:
                        film.write(draw_track(image, result.box, result.score, result.state.name))
                    advance()
        except KeyboardInterrupt:  # the way to end a camera's stream; what is written stays
            pass
        finally:
            if lines:
                lines.close()
            if film:
                film.close()
    rate = (count - 1) / seconds if count > 1 else 0.0  # the first is initialised, not tracked
    backend_name = f"{tracker.backend.name} in {tracker.backend.precision}"
    messages.print(f"{count} frames tracked with {escape(model)} on {backend_name}, {rate:.1f} frames/s")
