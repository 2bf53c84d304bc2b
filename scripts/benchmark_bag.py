"""Reading speed of a bag of 1280x720 images: ours (BGR images) against plain rosbags (messages, and decoded ones).

    python scripts/benchmark_bag.py            makes bags in a temporary folder, prints images/s and the two ratios

Both read the same file in turn, several times; the fastest round of each counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader

from stif_core.bags.images import image_topic, read_frames
from stif_core.bags.making import make_bag
from stif_core.bags.reading import Bag
from stif_core.cli.common import progress_bar
from stif_core.evaluation.sequences import read_sequence

WIDTH, HEIGHT = 1280, 720
KINDS = {"mcap, raw": ("mcap", False), "sqlite3, raw": ("sqlite3", False), "mcap, JPEG": ("mcap", True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sequence = make_sequence(Path(folder) / "sequence", args.images)
        lines = []
        with progress_bar("reading", len(KINDS) * args.rounds) as advance:
            for i, (name, (storage, compressed)) in enumerate(KINDS.items()):
                path = Path(folder) / f"bag{i}"
                make_bag(read_sequence(sequence), path, 30.0, storage, compressed, None, lambda: None)
                plain, decoded, ours = [], [], []
                for _ in range(args.rounds):
                    plain.append(args.images / timed(read_plain, path))
                    decoded.append(args.images / timed(read_and_decode, path))
                    ours.append(args.images / timed(read_ours, path))
                    advance()
                best = max(plain), max(decoded), max(ours)
                ratios = best[2] / best[0], best[2] / best[1]
                lines.append(f"{name:14s}" + "".join(f"{v:9.0f}" for v in best) + "".join(f"{v:9.2f}" for v in ratios))
    print(f"images of {WIDTH}x{HEIGHT} a second")
    print(f"{'bag':14s}{'rosbags':>9s}{'+decode':>9s}{'stif':>9s}{'ratio':>9s}{'+decode':>9s}")
    print("\n".join(lines))


def make_sequence(folder: Path, count: int) -> Path:
    """JPEG images of blurred noise that moves, about as large as a camera's."""
    (folder / "img").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 4, WIDTH // 4 + count, 3), np.uint8)
    for i in range(count):
        image = cv2.resize(np.ascontiguousarray(noise[:, i : i + WIDTH // 4]), (WIDTH, HEIGHT))
        cv2.imwrite(str(folder / "img" / f"{i:04d}.jpg"), image)
    (folder / "groundtruth.txt").write_text("100,100,50,50\n" * count)
    return folder


def read_plain(path: Path) -> None:
    """Messages of the image topic, by rosbags alone."""
    with AnyReader([path]) as reader:
        connections = [c for c in reader.connections if "image_raw" in c.topic]
        for connection, _, data in reader.messages(connections):
            reader.deserialize(data, connection.msgtype)


def read_and_decode(path: Path) -> None:
    """The same with what anybody would do to see the pixels."""
    with AnyReader([path]) as reader:
        connections = [c for c in reader.connections if "image_raw" in c.topic]
        for connection, _, data in reader.messages(connections):
            message: Any = reader.deserialize(data, connection.msgtype)
            if hasattr(message, "format"):
                cv2.imdecode(message.data, cv2.IMREAD_COLOR)
            else:
                message.data.reshape(message.height, message.width, 3)


def read_ours(path: Path) -> None:
    """BGR images, as `stif replay` reads them."""
    with Bag(path) as bag:
        for frame in read_frames(bag, image_topic(bag, None)):
            frame.image()


def timed(read: Callable[[Path], None], path: Path) -> float:
    begin = time.perf_counter()
    read(path)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
