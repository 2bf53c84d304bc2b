"""Latency, losses and CPU share of the node: two processes, real DDS, a camera at several sizes and rates.

    scripts/with_env python scripts/benchmark_node.py [--json FILE] [--seconds 5] [--case 1280x720@30 ...]

Each row is one stream of a best-effort camera with a clip whose target is tracked; `idle`: with no target set. Latency
is from the image's stamp (just before it is published) to the arrival of `track` in the camera's process. `bound` is
what the newest-frame slot promises: one frame period, one inference, the transport and the node's own stages.
"""

import argparse
import json
import os
import platform
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from node_rig import IMAGES_PROFILE, Rig, image_of, isolate, stamped, wait_until
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table
from std_srvs.srv import Trigger

from stif_core.evaluation.rendered_clip import RenderedClip
from stif_core.io.stamps import nanoseconds

CASES = [
    "640x480@30 idle", "1280x720@30 idle", "1920x1080@30 idle",
    "640x480@10", "640x480@30", "640x480@60",
    "1280x720@10", "1280x720@30", "1280x720@60",
    "1920x1080@10", "1920x1080@30", "1920x1080@60",
    "640x480@200",
]  # fmt: skip
FRAMES = 30  # of the clip, shown forwards and backwards
WARM_UP = 1.0  # seconds of the stream that are not measured
STAGES = ("receive", "callback", "wait", "convert", "track", "publish", "overhead")


@dataclass(frozen=True)
class Case:
    width: int
    height: int
    rate: float
    idle: bool

    @classmethod
    def parse(cls, text: str) -> "Case":
        match = re.fullmatch(r"(\d+)x(\d+)@(\d+(?:\.\d+)?)( idle)?", text)
        if match is None:
            raise ValueError(f"case '{text}' is not WIDTHxHEIGHT@RATE, with ' idle' for no target: 1280x720@30")
        return cls(int(match[1]), int(match[2]), float(match[3]), match[4] is not None)


@dataclass(frozen=True)
class Row:
    """One stream. Times in ms, shares of one core; frames counted over the whole stream, warm-up included.

    Attributes:
        published: Frames that the camera sent.
        lost: Of them those that the node never got: ``published`` less what it received.
        lost_told: What the node itself counted as lost (it cannot know of those after the last one received).
        skipped: Frames received and passed over for newer ones.
        tracked: Frames with a track message.
        skipped_told: Sum of ``frames_skipped`` in the track messages.
        within_bound: Share of the tracks that were not older than ``bound``.
    """

    case: str
    published: int
    lost: int
    lost_told: int
    skipped: int
    skipped_told: int
    refused: int
    tracked: int
    rate: float
    latency_p50: float
    latency_p95: float
    latency_p99: float
    latency_max: float
    bound: float
    within_bound: float
    node_cpu: float
    camera_cpu: float
    stages: dict[str, tuple[float, float]]

    @property
    def adds_up(self) -> bool:
        return self.published == self.lost + self.skipped + self.refused + self.tracked


def render(case: Case) -> list[np.ndarray]:
    clip = RenderedClip()
    return [cv2.resize(clip.render(i)[0], (case.width, case.height)) for i in range(FRAMES)]


def measure(rig: Rig, name: str, case: Case, seconds: float, reliable: bool) -> Row:
    """Plays one stream to a node that is inactive before and after."""
    messages = [image_of(image) for image in render(case)]
    messages += messages[-2:0:-1]
    rig.change(3)  # activate: with counts from zero
    camera = rig.camera(reliable=reliable)
    try:
        wait_until(lambda: camera.get_subscription_count() == 1, "the node to subscribe to images")
        time.sleep(1.5)  # the node looks at the publishers' QoS once a second, and may subscribe again
        rig.tracks.clear()
        if not case.idle:
            box = RenderedClip().render(0)[1] * np.tile([case.width / 640, case.height / 480], 2)
            answer = rig.set_target(box)
            if not answer.success:
                raise RuntimeError(answer.message)
        node, me = psutil.Process(rig.process.pid), psutil.Process()
        count, published = round((WARM_UP + seconds) * case.rate), 0
        start, measured_from = time.perf_counter(), 0
        for i in range(count):
            if i == round(WARM_UP * case.rate):
                measured_from, begin = time.time_ns(), time.monotonic()
                before = cpu_seconds(node), cpu_seconds(me)
            time.sleep(max(0.0, start + i / case.rate - time.perf_counter()))
            camera.publish(stamped(messages[i % len(messages)], time.time_ns()))
            published += 1
        wall = time.monotonic() - begin
        node_cpu, camera_cpu = ((cpu_seconds(p) - b) / wall for p, b in zip((node, me), before, strict=True))
        stages = rig.fresh_diagnostics()
        time.sleep(0.5)
        told = rig.fresh_diagnostics()
        wait_until(lambda: len(rig.tracks) >= int(told["frames_tracked"]), "the last tracks", 5)
    finally:
        rig.node.destroy_publisher(camera)
        rig.call(Trigger.Request())
        rig.change(4)  # deactivate

    stamps = [(nanoseconds(track.header.stamp), arrival) for track, arrival in rig.tracks]
    latencies = np.array([(arrival - stamp) / 1e6 for stamp, arrival in stamps if stamp >= measured_from])
    times = {s: tuple(float(stages[f"{s}_p{p}_ms"]) for p in (50, 95)) for s in STAGES}
    bound = 1000 / case.rate + times["receive"][1] + times["track"][1] + times["overhead"][0]
    p50, p95, p99, top = (float(v) for v in np.percentile(latencies, [50, 95, 99, 100]))
    return Row(
        case=name,
        published=published,
        lost=published - int(told["frames_received"]),
        lost_told=int(told["frames_lost_in_transport"]),
        skipped=int(told["frames_skipped"]),
        skipped_told=sum(t.frames_skipped for t, _ in rig.tracks),
        refused=int(told["frames_refused"]),
        tracked=len(rig.tracks),
        rate=len(latencies) / wall,
        latency_p50=p50,
        latency_p95=p95,
        latency_p99=p99,
        latency_max=top,
        bound=bound,
        within_bound=float((latencies <= bound).mean()),
        node_cpu=node_cpu,
        camera_cpu=camera_cpu,
        stages=times,
    )


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def show(rows: list[Row]) -> None:
    console = Console(width=max(150, Console().width))
    table = Table(title="Latency stamp -> track received, ms; CPU in cores")
    for column in ("stream", "p50", "p95", "p99", "max", "bound", "within", "tracked/s", "node CPU", "camera CPU"):
        table.add_column(column, justify="left" if column == "stream" else "right")
    for r in rows:
        numbers = (r.latency_p50, r.latency_p95, r.latency_p99, r.latency_max, r.bound)
        shares = (f"{r.within_bound:.1%}", f"{r.rate:.1f}", f"{r.node_cpu:.2f}", f"{r.camera_cpu:.2f}")
        table.add_row(r.case, *(f"{n:.1f}" for n in numbers), *shares)
    console.print(table)
    table = Table(title="Frames", caption="published = lost + skipped + refused + tracked; told: by the node itself")
    for column in (
        "stream",
        "published",
        "lost",
        "lost, told",
        "skipped",
        "skipped, told",
        "refused",
        "tracked",
        "sum",
    ):
        table.add_column(column, justify="left" if column == "stream" else "right")
    for r in rows:
        counts = (r.published, r.lost, r.lost_told, r.skipped, r.skipped_told, r.refused, r.tracked)
        table.add_row(r.case, *(str(count) for count in counts), "adds up" if r.adds_up else "DOES NOT")
    console.print(table)
    table = Table(title="Stages in the node, ms, p50 / p95 of the last 100 frames; overhead: all but track and receive")
    for column in ("stream", *STAGES):
        table.add_column(column, justify="left" if column == "stream" else "right")
    for r in rows:
        table.add_row(r.case, *(f"{r.stages[s][0]:.2f} / {r.stages[s][1]:.2f}" for s in STAGES))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", help="a stream, e.g. 1280x720@30 or '640x480@30 idle'; repeatable")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time of each stream, after 1 s of warm-up")
    parser.add_argument("--threads", type=int, default=0, help="of the node's inference; 0: the runtime's choice")
    parser.add_argument("--reliable", action="store_true", help="a reliable camera")
    parser.add_argument("--no-profile", action="store_true", help="the camera without config/fastdds_images.xml")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    names = args.case or CASES
    try:
        cases = [Case.parse(name) for name in names]
        isolate(None if args.no_profile else IMAGES_PROFILE)
        rig = Rig(f"threads:={args.threads}")
        try:
            if not rig.change(1):
                raise RuntimeError("the node cannot be configured; its log tells why")
            console = Console(stderr=True)
            rows = [
                measure(rig, name, case, args.seconds, args.reliable)
                for name, case in progress(list(zip(names, cases, strict=True)), "measuring", console=console)
            ]
        finally:
            rig.close()
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(rows)
    if args.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        settings = {"threads": args.threads, "reliable": args.reliable, "profile": not args.no_profile}
        content = {**machine, **settings, "seconds": args.seconds, "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0 if all(row.adds_up for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
