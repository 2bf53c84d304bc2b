"""Several targets in one set: each is tracked as if it were alone, in batches that they share."""

import numpy as np
import pytest

from stif_core.geometry import iou
from stif_core.runtime.backend import load_backend
from stif_core.tracking import Tracker, TrackerSettings, TrackState
from stif_core.tracking.passes import run, run_together
from stif_core.tracking.target_set import TargetSet
from stif_core.weights import find_model

pytest.importorskip("skimage")

from stif_core.evaluation.rendered_clip import RenderedClip

CLIP = RenderedClip()
FILES = find_model("nano")


class Counting:
    """A real backend that notes how large its batches are."""

    def __init__(self, inner) -> None:
        self.inner, self.batches = inner, []
        self.name, self.precision, self.batch = inner.name, inner.precision, inner.batch
        self.config = inner.config

    def __getattr__(self, function):
        def call(*inputs):
            self.batches.append((function, len(inputs[0])))
            return getattr(self.inner, function)(*inputs)

        return call


@pytest.fixture(scope="module")
def real():
    return load_backend(FILES, "onnxruntime:fp32", 1)


@pytest.fixture
def backend(real):
    return Counting(real)


@pytest.fixture
def settings():
    return TrackerSettings.from_dict(FILES.description()["tracking"])


def boxes_at_start():
    box = CLIP.render(0)[1]
    return {"whole": box, "left half": box * [1, 1, 0.5, 1], "elsewhere": np.array([20.0, 30.0, 40.0, 30.0])}


def test_each_target_is_tracked_as_if_it_were_alone(backend, settings):
    targets, alone = TargetSet(backend, settings), {}
    for name, box in boxes_at_start().items():
        targets.init(name, CLIP.render(0)[0], box)
        alone[name] = Tracker(backend.inner, settings)
        alone[name].init(CLIP.render(0)[0], box)
    for i in range(1, 25):  # the memory grows meanwhile
        image = CLIP.render(i)[0]
        together = targets.track(image)
        assert list(together) == list(alone) == targets.names
        for name, tracker in alone.items():
            expected = tracker.track(image)
            assert together[name].state == expected.state
            # Not to the bit: in another batch the runtime adds in another order.
            assert iou(together[name].box, expected.box) > 0.9
            assert together[name].score == pytest.approx(expected.score, abs=0.05)
    assert ("track", 3) in backend.batches


def test_one_pass_serves_all_targets_that_are_followed(backend, settings):
    targets = TargetSet(backend, settings)
    for name, box in boxes_at_start().items():
        targets.init(name, CLIP.render(0)[0], box)
    backend.batches.clear()
    targets.track(CLIP.render(1)[0])
    assert [size for function, size in backend.batches if function == "track"] == [3]


def test_backend_of_one_crop_at_a_time_gets_one_at_a_time(backend, settings):
    backend.batch = 1
    targets = TargetSet(backend, settings)
    for name, box in boxes_at_start().items():
        targets.init(name, CLIP.render(0)[0], box)
    backend.batches.clear()
    assert len(targets.track(CLIP.render(1)[0])) == 3
    assert [size for function, size in backend.batches if function == "track"] == [1, 1, 1]


def test_target_set_anew_and_removed(backend, settings):
    targets = TargetSet(backend, settings)
    image, box = CLIP.render(0)
    targets.init("a", image, box)
    targets.init("b", image, box)
    with pytest.raises(ValueError, match="box"):
        targets.init("a", image, (0, 0, 0, 0))
    targets.init("a", image, box)
    assert targets.names == ["a", "b"]
    assert targets.track(CLIP.render(1)[0], ["b"])["b"].state == TrackState.TRACKING
    targets.remove("a")
    assert list(targets.track(CLIP.render(2)[0])) == ["b"]
    targets.clear()
    assert targets.track(CLIP.render(3)[0]) == {}


def test_warm_up_runs_every_number_of_targets_and_leaves_none(backend, settings):
    targets = TargetSet(backend, settings)
    targets.warm_up(3)
    assert {size for function, size in backend.batches if function == "track"} == {1, 2, 3}
    assert targets.names == []


def test_steps_of_different_length_end_each_in_its_own_time(backend):
    crops = np.zeros((1, 3, 256, 256), np.uint8)
    foreground = np.zeros((1, 1, 256, 256), np.uint8)
    from stif_core.tracking.passes import Pass

    def steps(count):
        total = 0.0
        for _ in range(count):
            feature = yield Pass("memorize", (crops, foreground))
            assert feature.shape[0] == 1
            total += float(feature.sum())
        return count, total

    results = run_together(backend, [steps(2), steps(0), steps(3)])
    assert [count for count, _ in results] == [2, 0, 3]
    assert [size for _, size in backend.batches] == [2, 2, 1]
    _, one = run(backend, steps(1))
    assert results[2][1] == pytest.approx(3 * one, rel=1e-4)
