"""The node under load and faults for long: memory and file descriptors stay flat, every fault shows in diagnostics.

    scripts/with_env python scripts/soak.py [--minutes 30] [--rate 60] [--json FILE] [--log FILE]

A camera sends 640x480 images faster than most machines track them; meanwhile faults are injected one after the other,
each after a good stretch, and each must be seen in the node's counts on /diagnostics. The node ends with SIGINT.
"""

import argparse
import json
import random
import sys
import threading
import time
from array import array
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from node_rig import IMAGES_PROFILE, Rig, image_of, isolate, stamped, wait_until
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from stif_core.evaluation.rendered_clip import RenderedClip

FRAMES = 30  # of the clip, shown forwards and backwards
GOOD_SECONDS = 1.0  # between two faults
SAMPLE_SECONDS = 5.0
FLAT_MEGABYTES = 40.0  # the end's memory may lie above the middle's by so much
FLAT_DESCRIPTORS = 3


@dataclass(frozen=True)
class Sample:
    seconds: float
    megabytes: float
    descriptors: int
    threads: int


class Camera:
    """Sends images in a thread of its own, at a steady rate, until it is stopped."""

    def __init__(self, rig: Rig, rate: float) -> None:
        clip = RenderedClip()
        frames = [clip.render(i) for i in range(FRAMES)]
        self._boxes = [box for _, box in frames]
        self._messages = [image_of(image) for image, _ in frames]
        self._rig, self._rate = rig, rate
        self.shift_ns = 0  # of the camera's clock
        self.sent = 0
        self._running = False

    def start(self) -> None:
        self._publisher = self._rig.camera()
        self._running = True
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._thread.join()
        self._rig.node.destroy_publisher(self._publisher)

    def send(self, message: Image) -> None:
        """One message between the others."""
        self._publisher.publish(stamped(message, time.time_ns() + self.shift_ns))
        self.sent += 1

    def box(self) -> Any:
        return self._boxes[self._index()]

    def _index(self) -> int:
        at = self.sent % (2 * FRAMES - 2)
        return at if at < FRAMES else 2 * FRAMES - 2 - at

    def _loop(self) -> None:
        start, count = time.perf_counter(), 0
        while self._running and self._rig.process.poll() is None:
            self.send(self._messages[self._index()])
            count += 1
            time.sleep(max(0.0, start + count / self._rate - time.perf_counter()))


class Faults:
    """Each method injects one fault and returns the count on /diagnostics that must rise."""

    def __init__(self, rig: Rig, camera: Camera, rng: random.Random) -> None:
        self._rig, self._camera, self._rng = rig, camera, rng

    def unknown_encoding(self) -> str:
        return self._broken(encoding="made_up")

    def truncated_image(self) -> str:
        return self._broken(data=array("B", bytes(1000)))

    def step_too_small(self) -> str:
        return self._broken(step=7)

    def no_pixels(self) -> str:
        return self._broken(width=0)

    def noise(self) -> str:
        numbers = {name: self._rng.randrange(2**32) for name in ("width", "height", "step")}
        return self._broken(**numbers, data=array("B", self._rng.randbytes(500)))

    def _broken(self, **fields: Any) -> str:
        message = Image(width=640, height=480, encoding="bgr8", step=1920, data=array("B", bytes(640 * 480 * 3)))
        for name, value in fields.items():
            setattr(message, name, value)
        before = self._rig.count("problems_image")

        def seen() -> bool:
            # A single one may be passed over for a newer image, or be lost on the way: no fault of the node.
            self._camera.send(message)
            time.sleep(0.1)
            return self._rig.count("problems_image") > before

        wait_until(seen, "an image to be refused", 60)
        return "problems_image"

    def clock_set_back(self) -> str:
        self._camera.shift_ns -= 3_600_000_000_000
        return "problems_time"

    def clock_set_forward_and_back(self) -> str:
        self._camera.shift_ns += 10**16
        time.sleep(0.3)
        self._camera.shift_ns -= 10**16
        return "problems_time"

    def box_outside(self) -> str:
        return self._refused((5000, 5000, 20, 20))

    def box_not_a_number(self) -> str:
        return self._refused((float("nan"), 0, 20, 20))

    def stamp_out_of_reach(self) -> str:
        return self._refused(self._camera.box(), 1)

    def _refused(self, box: Any, stamp_ns: int = 0) -> str:
        if self._rig.set_target(box, stamp_ns).success:
            raise RuntimeError(f"the box {box} with stamp {stamp_ns} was accepted")
        return "problems_target"

    def camera_restarted_after_silence(self) -> str:
        self._camera.stop()
        time.sleep(2.5)  # image_timeout is 1 s, the node looks once a second
        self._camera.start()
        return "problems_silence"

    def inits_and_resets(self) -> str:
        """No fault: a burst of what an operator may do."""
        for _ in range(10):
            self._rig.set_target(self._camera.box())
            self._rig.call(Trigger.Request())
        return ""

    def deactivated_and_activated(self) -> str:
        """No fault: a burst of transitions, of which some are refused."""
        self._rig.change(4)
        self._rig.change(4)
        self._rig.change(3)
        return ""

    def cleaned_up_and_configured(self) -> str:
        """No fault: the model is loaded again."""
        self._rig.change(4, 2, 1, 3)
        return ""


NAMES = [name for name in vars(Faults) if not name.startswith("_")]


def sample(process: psutil.Process, start: float) -> Sample:
    with process.oneshot():
        memory, threads = process.memory_info().rss / 1e6, process.num_threads()
    return Sample(time.monotonic() - start, memory, process.num_fds(), threads)


def soak(rig: Rig, minutes: float, rate: float, seed: int) -> dict[str, Any]:
    rig.bring_up()
    camera, rng = Camera(rig, rate), random.Random(seed)
    faults = Faults(rig, camera, rng)
    camera.start()
    injected: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    process, start = psutil.Process(rig.process.pid), time.monotonic()
    samples: list[Sample] = []
    tracked_while_good, lowest_rate = 0, float("inf")
    end = start + 60 * minutes
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("soaking", total=60 * minutes)
        order: list[str] = []
        while time.monotonic() < end:
            order = order or rng.sample(NAMES, len(NAMES))
            name = order.pop()
            before = rig.fresh_diagnostics()
            key = getattr(faults, name)()
            injected[name] += 1
            if key:
                wait_until(lambda k=key, b=before: rig.count(k) > int(b[k]), f"{key} after {name}", 60)
            seen[name] += 1
            if not rig.set_target(camera.box()).success:
                raise RuntimeError(f"no target can be set after {name}: {rig.diagnostics.get('last_problem')}")
            tracks, since = len(rig.tracks), time.monotonic()
            wait_until(lambda n=tracks: len(rig.tracks) > n + 3, f"tracks after {name}", 60)
            time.sleep(GOOD_SECONDS)
            lowest_rate = min(lowest_rate, (len(rig.tracks) - tracks) / (time.monotonic() - since))
            tracked_while_good += len(rig.tracks) - tracks
            rig.tracks.clear()
            if not samples or time.monotonic() - start - samples[-1].seconds > SAMPLE_SECONDS:
                samples.append(sample(process, start))
            progress.update(bar, completed=min(time.monotonic() - start, 60 * minutes))
        last = rig.fresh_diagnostics()
        samples.append(sample(process, start))
        camera.stop()
    return {
        "minutes": (time.monotonic() - start) / 60,
        "camera_rate": rate,
        "images_sent": camera.sent,
        "tracked_in_good_stretches": tracked_while_good,
        "lowest_rate_in_a_good_stretch": lowest_rate,
        "injected": dict(injected),
        "seen": dict(seen),
        "problems": {key: int(value) for key, value in last.items() if key.startswith("problems_")},
        "samples": [asdict(one) for one in samples],
    }


def show(result: dict[str, Any]) -> bool:
    """Prints the figures; whether all is well."""
    console = Console()
    samples = result["samples"]
    table = Table(title=f"{result['minutes']:.1f} minutes, {result['images_sent']} images sent", show_header=True)
    for column in ("", "start", "middle", "end"):
        table.add_column(column, justify="right")
    # The first samples are of a node whose ring of images is not full yet.
    middle, end = samples[len(samples) // 2], samples[-1]
    for key, form in (("seconds", "{:.0f}"), ("megabytes", "{:.1f}"), ("descriptors", "{}"), ("threads", "{}")):
        table.add_row(key, *(form.format(one[key]) for one in (samples[0], middle, end)))
    console.print(table)
    table = Table("fault", "injected", "seen", title="Faults injected, and seen in diagnostics")
    for name, count in sorted(result["injected"].items()):
        table.add_row(name.replace("_", " "), str(count), str(result["seen"].get(name, 0)))
    console.print(table)
    console.print("counts of the node:", ", ".join(f"{key[9:]} {n}" for key, n in result["problems"].items()))
    console.print(f"lowest rate in a good stretch: {result['lowest_rate_in_a_good_stretch']:.1f} tracks/s")
    flat = end["megabytes"] - middle["megabytes"] < FLAT_MEGABYTES
    flat &= end["descriptors"] - middle["descriptors"] <= FLAT_DESCRIPTORS
    well = flat and result["seen"] == result["injected"] and result["problems"]["problems_defect"] == 0
    console.print("all is well" if well else "NOT WELL", f"(exit code of the node: {result['exit_code']})")
    return well and result["exit_code"] == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=60.0, help="of the camera, images a second")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the faults")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--log", type=Path, help="file for the node's output; without it, it is shown")
    args = parser.parse_args()
    isolate(IMAGES_PROFILE)
    rig = Rig("image_timeout:=1.0", log=args.log)
    try:
        result = soak(rig, args.minutes, args.rate, args.seed)
    except RuntimeError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    finally:
        code = rig.close()
    result["exit_code"] = code
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if show(result) else 1


if __name__ == "__main__":
    sys.exit(main())
