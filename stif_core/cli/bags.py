"""``stif replay`` and ``stif bag``: ROS 2 bags without ROS, and played into ROS."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from stif_core.cli.common import BackendName, Model, Threads, messages, progress_bar, user_errors
from stif_core.weights import DEFAULT_MODEL

app = typer.Typer(no_args_is_help=True, help="Make and play ROS 2 bags.")

BagPath = Annotated[Path, typer.Argument(help="Folder with metadata.yaml, or a .mcap or .db3 file.")]


@contextmanager
def extra_bags(command: str) -> Iterator[None]:
    """Says what to install when an import inside finds no rosbags."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ValueError(f"{command} needs {error.name}: pip install 'stif_core[bags]'") from None


def replay(
    bag: BagPath,
    image: Annotated[str | None, typer.Option(help="Topic of the images; default: the bag's only one.")] = None,
    init: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H[@TIME]",
            help="The target, in pixels, in the first image TIME seconds after the bag's start; several times: anew.",
        ),
    ] = None,
    init_topic: Annotated[str | None, typer.Option(help="Topic of stif_ros/TargetInit instead.")] = None,
    truth: Annotated[
        str | None, typer.Option(help="True boxes: a topic of stif_ros/Track, or a file with a line x,y,w,h an image.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for tracks.csv, timings.csv, summary.json, tracked.mp4 and a bag with tracks."),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Skip images that arrive while the tracker is busy.")
    ] = False,
    model: Model = DEFAULT_MODEL,
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """Tracks through a bag: every image once, or with --realtime as a robot would have seen it."""
    with user_errors():
        with extra_bags("replay"):
            from stif_core.bags.images import frame_rate, image_topic, read_frames
            from stif_core.bags.output import ReplayOutput
            from stif_core.bags.reading import Bag
            from stif_core.bags.replay import replay as steps_of
            from stif_core.bags.summary import Statistics
            from stif_core.bags.targets import Targets, parse_request, read_requests
            from stif_core.bags.truth import Score, read_truth
        from stif_core.tracking import Tracker

        if bool(init) == (init_topic is not None):
            raise ValueError("give the target with --init x,y,w,h, or with --init-topic TOPIC")
        with Bag(bag) as opened:
            images = image_topic(opened, image)
            requests = (
                read_requests(opened, init_topic)
                if init_topic is not None
                else [parse_request(text, opened.start_ns) for text in init or ()]
            )
            targets = Targets(requests)
            score = Score(read_truth(opened, truth, images)) if truth else None
            tracker = Tracker.load(model, backend, threads)
            statistics = Statistics()
            copied = [name for name in (init_topic, truth) if name in opened.topics]
            copied_messages, fps = list(opened.raw_messages(copied)), frame_rate(opened, images)
            steps = steps_of(read_frames(opened, images), tracker, targets, realtime)
            first = next(steps, None)  # before a file is written: a box may lie outside the first image
            if first is None:
                raise ValueError(opened.damage)
            output = ReplayOutput(out, opened, images, copied, copied_messages, fps) if out else None
            try:
                with progress_bar("replaying", images.count) as advance:
                    for step in chain([first], steps):
                        statistics.add(step)
                        true_box = score.add(step) if score else None
                        if output:
                            output.add(step, true_box)
                        advance()
            finally:
                if output:
                    output.close()
            if not statistics.initialised:
                raise ValueError(
                    f"no target was set in any of {statistics.frames} images: {len(targets.waiting)} boxes are for "
                    f"images that are not there, {statistics.refused_boxes} were refused{_first(statistics.problems)}"
                )
            summary = {
                "bag": str(bag),
                "image_topic": images.name,
                "image_type": images.type,
                "model": model,
                "backend": tracker.backend.name,
                **statistics.summary(realtime, score, len(targets.waiting), opened.damage),
            }
            if score and summary["accuracy"] is None:
                summary["problems"].append("no image after the first box has a true box: do the stamps agree?")
        if out:
            (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        _print_summary(summary, statistics.rate())


def _first(problems: list[str]) -> str:
    return f" ({problems[0]})" if problems else ""


def _print_summary(summary: dict[str, Any], frames_per_second: float) -> None:
    states = ", ".join(f"{count} {state}" for state, count in summary["states"].items())
    print(f"{summary['frames']} images: {states}; {frames_per_second:.1f} frames/s")
    if summary["accuracy"]:
        accuracy = summary["accuracy"]
        print(
            f"success AUC {accuracy['success_auc']:.3f}, precision 20 px {accuracy['precision']:.3f}, "
            f"SR.5 {accuracy['success_50']:.3f} over {accuracy['frames']} images"
        )
    realtime = summary.get("realtime")
    if realtime:
        latency = realtime["latency_ms"]
        age = f"{latency['p50']:.1f} ms (p50), {latency['p95']:.1f} ms (p95)" if latency else "unknown, clocks differ"
        print(f"real time: {realtime['skipped_share']:.1%} skipped; from stamp to track {age}")
    counts = {
        "images missing by their stamps": summary["frames_missing_by_stamps"],
        "stamps that go back": summary["stamps_backwards"],
        "changes of the image size": summary["image_size_changes"],
        "boxes refused": summary["boxes_refused"],
        "boxes for images that are not there": summary["boxes_without_image"],
    }
    for name, count in counts.items():
        if count:
            print(f"{name}: {count}")
    for problem in [*summary["problems"][:3], *filter(None, [summary["damage"]])]:
        messages.print(f"[yellow]warning:[/yellow] {escape(problem)}", highlight=False, soft_wrap=True)


@app.command("make")
def bag_make(
    sequence: Annotated[Path, typer.Argument(help="Folder with img/ and groundtruth.txt.")],
    bag: Annotated[Path, typer.Argument(help="Folder of the new bag.")],
    fps: Annotated[float, typer.Option(help="Images a second.")] = 30.0,
    storage: Annotated[str, typer.Option(help="mcap or sqlite3.")] = "mcap",
    compressed: Annotated[
        bool, typer.Option("--compressed", help="CompressedImage; JPEG and PNG files are passed on as they are.")
    ] = False,
    fov: Annotated[
        float | None, typer.Option(help="Horizontal field of view for CameraInfo, degrees; default: not calibrated.")
    ] = None,
) -> None:
    """Turns a sequence folder into a bag with images, CameraInfo, truth and target_init."""
    with user_errors():
        with extra_bags("bag make"):
            from stif_core.bags.making import CAMERA_INFO_TOPIC, TARGET_TOPIC, TRUTH_TOPIC, make_bag
        from stif_core.evaluation.sequences import read_sequence

        source = read_sequence(sequence)
        with progress_bar("writing", len(source.images)) as advance:
            topic = make_bag(source, bag, fps, storage, compressed, fov, advance)
    print(f"{bag}: {len(source.images)} images on {topic}; {CAMERA_INFO_TOPIC}, {TRUTH_TOPIC}, {TARGET_TOPIC}")
    print(f"stif replay {bag} --init-topic {TARGET_TOPIC} --truth {TRUTH_TOPIC} --out DIR")


@app.command("play")
def bag_play(
    bag: BagPath,
    topic: Annotated[list[str] | None, typer.Option(help="Topics to play, several times; default: all.")] = None,
    rate: Annotated[float, typer.Option(help="1: as fast as it was recorded.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end.")] = False,
    clock: Annotated[
        float, typer.Option(min=0, help="Publish the bag's time on /clock so many times a second; 0: do not.")
    ] = 0.0,
    reliability: Annotated[
        str, typer.Option(help="recorded (reliable where the bag does not say), reliable or best_effort.")
    ] = "recorded",
    depth: Annotated[int, typer.Option(min=1, help="QoS depth of the publishers.")] = 10,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait at most until something subscribes to the images.")
    ] = 0.0,
) -> None:
    """Publishes a bag through ROS 2, at the pace it was recorded at."""
    with user_errors():
        with extra_bags("bag play"):
            from stif_core.bags.reading import Bag
        try:
            from stif_ros.bag_player import PlaySettings, play
        except ModuleNotFoundError as error:
            raise ValueError(
                f"bag play needs ROS 2 ({error.name} is missing): source its setup.bash and this package's; "
                "`stif replay` needs no ROS"
            ) from None
        with Bag(bag) as opened:
            settings = PlaySettings(tuple(topic or ()), rate, loop, clock, reliability, depth, wait)
            chosen = [found.count for name, found in opened.topics.items() if not topic or name in topic]
            with progress_bar("playing", None if loop else sum(chosen)) as advance:
                played = play(opened, settings, advance)
            damage = opened.damage
    for problem in [*played.problems, *filter(None, [damage])]:
        messages.print(f"[yellow]warning:[/yellow] {escape(problem)}", highlight=False, soft_wrap=True)
    print(f"{played.messages} messages published, at most {played.latest_ms:.1f} ms late")
