"""OpenCV's trackers as peers."""

import math

import cv2
import numpy as np
import pytest

from stif_core.evaluation.peers import OpenCvTracker
from stif_core.evaluation.run import run_sequence
from stif_core.evaluation.sequences import read_sequence

needs_kcf = pytest.mark.skipif(not hasattr(cv2, "TrackerKCF_create"), reason="this OpenCV has no KCF")


@needs_kcf
def test_a_peer_that_finds_nothing_holds_its_box_and_says_lost():
    tracker = OpenCvTracker("kcf")
    scene = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    tracker.init(scene, [40, 30, 32, 32])
    np.testing.assert_allclose(tracker.track(scene), [40, 30, 32, 32], atol=1)
    assert tracker.state == "TRACKING"
    held = tracker.track(np.zeros_like(scene))
    assert tracker.state == "LOST" and math.isnan(tracker.confidence)
    np.testing.assert_allclose(held, [40, 30, 32, 32], atol=1)


@needs_kcf
def test_states_of_a_peer_are_kept_in_its_track(sequences):
    track = run_sequence(OpenCvTracker("kcf"), read_sequence(sequences / "down"))
    assert track.confidence is None
    assert len(track.states) == len(track.boxes) and track.states[0] == "TRACKING"
    assert len(track.seconds) == len(track.boxes) - 1 and track.initial_seconds > 0
