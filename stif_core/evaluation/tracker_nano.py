"""OpenCV's TrackerNano, which is NanoTrack v2 on OpenCV's own network runtime; the user brings its two files."""

from pathlib import Path

import cv2

from stif_core.evaluation.peers import OpenCvTracker

BACKBONE, HEAD = "nanotrack_backbone_sim.onnx", "nanotrack_head_sim.onnx"


class TrackerNano(OpenCvTracker):
    """See ``OpenCvTracker``; ``folder`` holds the files of SiamTrackers' NanoTrack/models/nanotrackv2."""

    def __init__(self, folder: Path) -> None:
        missing = [name for name in (BACKBONE, HEAD) if not (folder / name).is_file()]
        if missing:
            raise ValueError(
                f"TrackerNano needs NanoTrack/models/nanotrackv2: no {' and no '.join(missing)} in {folder}"
            )
        if not hasattr(cv2, "TrackerNano_create"):
            raise ValueError("this OpenCV has no TrackerNano: it came with 4.7")
        parameters = cv2.TrackerNano_Params()
        parameters.backbone, parameters.neckhead = str(folder / BACKBONE), str(folder / HEAD)
        self._create = lambda: cv2.TrackerNano_create(parameters)
