from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stif_core.data.folder import read_folder  # noqa: E402
from stif_core.data.index_builder import IndexBuilder  # noqa: E402
from stif_core.data.planner import SamplePlanner, SampleSettings  # noqa: E402
from stif_core.data.samples import SampleDataset  # noqa: E402
from stif_core.data.sources import TrackSource  # noqa: E402

SIZE = 128
SETTINGS = SampleSettings()


def dataset(data_root, settings=SETTINGS, ratios=(1.0, 1.0), rendered=1.0, memory_frames=2):
    data = read_folder(data_root, {"source/held"})
    sources = [TrackSource(index, 1.0, 6, 10) for index in (data.stills, data.videos)]
    planner = SamplePlanner(sources, list(ratios), rendered, data.backgrounds, settings, SIZE, memory_frames, seed=3)
    return SampleDataset(planner)


def test_sample_depends_on_its_index_alone(data_root):
    first, second = dataset(data_root), dataset(data_root)
    forward = [first[i] for i in (4, 5, 6)]
    for key, value in second[5].items():
        assert torch.equal(value, forward[1][key]), key
    assert not torch.equal(forward[0]["query"], forward[1]["query"])


def test_samples_have_the_form_that_training_expects(data_root):
    sample = dataset(data_root, memory_frames=3)[0]
    assert sample["memory"].shape == (3, 3, SIZE, SIZE)
    assert sample["query"].shape == (3, SIZE, SIZE)
    assert sample["memory"].dtype == sample["query"].dtype == torch.uint8
    assert sample["memory_xyxy"].shape == (3, 4)
    assert sample["query_xyxy"].shape == (4,)


@pytest.mark.parametrize("kind", ["still", "clip", "rendered"])
def test_memory_shows_the_target_in_the_middle_at_a_quarter(data_root, kind):
    ratios = {"still": (1.0, 0.0), "clip": (0.0, 1.0), "rendered": (0.0, 0.0)}[kind]
    drawn = dataset(data_root, ratios=ratios, rendered=float(kind == "rendered"))
    for i in range(25):
        for x, y, w, h in drawn.sample(i).memory_boxes:
            assert abs(x + w / 2 - SIZE / 2) < 10
            assert abs(y + h / 2 - SIZE / 2) < 10
            assert np.sqrt(w * h) == pytest.approx(SIZE / 4, rel=0.45)


def test_present_targets_lie_in_the_query_crop(data_root):
    drawn = dataset(data_root)
    samples = [drawn.sample(i) for i in range(80)]
    assert 4 <= sum(not sample.present for sample in samples) <= 35
    for sample in samples:
        if sample.present:
            x, y, w, h = sample.query_box
            assert x + w > 0 and y + h > 0
            assert x < SIZE and y < SIZE


def test_target_may_have_left_a_rendered_clip(data_root):
    gone = dataset(data_root, replace(SETTINGS, left_view=1.0), ratios=(0.0, 0.0))
    stays = dataset(data_root, replace(SETTINGS, left_view=0.0), ratios=(0.0, 0.0))
    assert not any(gone.sample(i).present for i in range(15))
    assert all(stays.sample(i).present for i in range(15))


def test_without_negatives_every_real_query_shows_its_target(data_root):
    drawn = dataset(data_root, replace(SETTINGS, negatives=0.0), rendered=0.0)
    assert all(drawn.sample(i).present for i in range(40))
    negatives = dataset(data_root, replace(SETTINGS, negatives=1.0), rendered=0.0)
    # A query of the same video is no negative: its target may be in the crop.
    absent = [not negatives.sample(i).present for i in range(60)]
    assert np.mean(absent) > 0.4


def test_query_may_show_the_video_while_its_target_is_hidden(tmp_path):
    builder = IndexBuilder("labelled", tmp_path)
    for video in range(3):
        for t in range(6):
            path = tmp_path / f"{video}/{t}.jpg"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), np.full((80, 100, 3), 40 * t + 20, np.uint8))
        seen = [0, 1, 4, 5]
        builder.add_video(
            [f"{video}/{t}.jpg" for t in range(6)], {"": (seen, [[30.0, 30.0, 20.0, 20.0]] * 4)}, absent=[2, 3]
        )
    source = TrackSource(builder.build(), 1.0, 6, 10)
    settings = replace(SETTINGS, negatives=0.5, hidden=1.0)
    planner = SamplePlanner([source], [1.0], 0.0, [], settings, SIZE, 2, seed=3)
    plans = [planner[i] for i in range(60)]
    shown = {True: set(), False: set()}
    for plan in plans:
        *memory, query = (int(crop.picture.image.stem) for crop in plan.crops)
        assert not {2, 3} & set(memory)
        shown[plan.present].add(query)
        assert len({crop.picture.image.parent for crop in plan.crops}) == 1
    assert shown == {True: {0, 1, 4, 5}, False: {2, 3}}
    other_videos = replace(settings, hidden=0.0)
    planner = SamplePlanner([source], [1.0], 0.0, [], other_videos, SIZE, 2, seed=3)
    assert all(planner[i].crops[-1].picture.image.stem not in "23" for i in range(60))


def test_rendered_clips_need_masks(data_root):
    data = read_folder(data_root, {"source/held"})
    videos = TrackSource(data.videos, 1.0, 6, 10)
    with pytest.raises(ValueError, match="need a data set with masks, such as folder_stills"):
        SamplePlanner([videos], [1.0], 0.5, [], SETTINGS, SIZE, 1)
    SampleDataset(SamplePlanner([videos], [1.0], 0.0, [], SETTINGS, SIZE, 1)).sample(0)
