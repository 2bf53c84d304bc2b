"""Small trees in the layouts of public data sets."""

import cv2
import numpy as np
import pytest

TINY_JPEG = cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()


def write_files(root, files):
    """Writes path -> text; ``None`` writes an image."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(TINY_JPEG if text is None else text.encode())


@pytest.fixture
def write_tree(tmp_path):
    """Writes files below a new root, twice if need be, and gives the root."""

    def write(files):
        root = tmp_path / "data_set"
        root.mkdir(exist_ok=True)
        write_files(root, files)
        return root

    return write


@pytest.fixture
def tracks_of():
    """What an index holds: path of the first frame of each video -> track -> {frame path: box}."""

    def tracks(index):
        found = {}
        for video, (first, _) in enumerate(index.video_frames):
            found[index.frames[first].decode()] = [
                {index.frames[frame].decode(): box.tolist() for frame, box in zip(*index.track(track), strict=True)}
                for track in index.tracks_of_video(video)
            ]
        return found

    return tracks
