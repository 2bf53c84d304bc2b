"""Our tracker for the VOT toolkit: ``python -m stif_core.evaluation.vot`` is started and driven by it (TraX protocol).

The toolkit sends the path of an image and, for the first one, a region; the answer is our box with its calibrated
score as ``confidence``. Needs vot-trax. ``stif eval vot-init`` writes the toolkit's files.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stif_core.io.source import read_frame
from stif_core.runtime.backend import BACKEND_NAMES
from stif_core.tracking import Tracker, TrackResult
from stif_core.weights import DEFAULT_MODEL

UNKNOWN = 0  # TraX's special region for "no answer"


def serve(tracker: Tracker, name: str) -> None:
    """Answers the toolkit's requests until it asks to quit."""
    from trax import TraxStatus
    from trax.image import Image
    from trax.region import Region
    from trax.server import Server

    with Server([Region.RECTANGLE], [Image.PATH], tracker_name=name, tracker_family="STIF") as server:
        while True:
            request = server.wait()
            if request.type == TraxStatus.QUIT:
                return
            image = read_frame(Path(request.image["color"].path()))
            if request.type == TraxStatus.INITIALIZE:
                region, _ = request.objects[0]
                result = tracker.init(image, region.bounds())
            else:
                result = tracker.track(image)
            server.status([answer(result)])


def answer(result: TrackResult) -> tuple[Any, dict[str, str]]:
    """A TraX region, special if there is no box, and its properties."""
    from trax.region import Rectangle, Special

    properties = {"confidence": f"{result.score:.6f}"}
    if not np.isfinite(result.box).all():
        return Special.create(UNKNOWN), properties
    x, y, width, height = result.box.tolist()
    return Rectangle.create(x, y, width, height), properties


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Tracks for the VOT toolkit, which starts this program itself.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name of a shipped model, or path of its JSON file")
    parser.add_argument("--backend", default="auto", choices=BACKEND_NAMES)
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads of one inference; 0: a core is left to others"
    )
    options = parser.parse_args(arguments)
    try:
        tracker = Tracker.load(options.model, options.backend, options.threads)
    except ValueError as error:
        parser.error(str(error))
    serve(tracker, f"stif-{Path(options.model).stem}")


if __name__ == "__main__":
    main()
