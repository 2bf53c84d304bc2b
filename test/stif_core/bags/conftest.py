"""A rendered clip as a sequence folder, and as bags."""

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A sequence folder with lossless images; the target is absent in frame 9."""
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    from bag_builder import CLIP

    folder = tmp_path_factory.mktemp("clip")
    (folder / "img").mkdir()
    truth = CLIP.truth()
    truth[9] = np.nan
    for i, image in enumerate(CLIP):
        cv2.imwrite(str(folder / "img" / f"{i:04d}.png"), image)
    np.savetxt(folder / "groundtruth.txt", truth, delimiter=",")
    return folder


@pytest.fixture(scope="session")
def bags(clip_folder, tmp_path_factory):
    """A folder with the clip as bags, named mcap, sqlite3 and compressed."""
    from stif_core.bags.making import make_bag
    from stif_core.evaluation.sequences import read_sequence

    folder, sequence = tmp_path_factory.mktemp("bags"), read_sequence(clip_folder)
    for name, storage, compressed in (
        ("mcap", "mcap", False),
        ("sqlite3", "sqlite3", False),
        ("compressed", "mcap", True),
    ):
        make_bag(sequence, folder / name, 30.0, storage, compressed, 60.0, lambda: None)
    return folder
