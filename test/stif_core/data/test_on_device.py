"""Plans carried out with torch, here on a CPU: the same samples as OpenCV draws in the loader."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stif_core.data.drawing import draw_crop  # noqa: E402
from stif_core.data.folder import read_folder  # noqa: E402
from stif_core.data.on_device import draw_batch  # noqa: E402
from stif_core.data.picture_store import PictureStore, pictures_of  # noqa: E402
from stif_core.data.plan_tensors import PlanPacker  # noqa: E402
from stif_core.data.planner import SamplePlanner, SampleSettings  # noqa: E402
from stif_core.data.samples import SampleDataset  # noqa: E402
from stif_core.data.sources import TrackSource  # noqa: E402

SIZE = 96
CPU = torch.device("cpu")


@pytest.fixture
def planner(data_root):
    for path in data_root.rglob("*.jpg"):  # noise would tell one way of averaging from another; pictures hardly do
        cv2.imwrite(str(path), cv2.GaussianBlur(cv2.imread(str(path)), (0, 0), 5))
    data = read_folder(data_root, set())
    sources = [TrackSource(index, 1.0, 6, 10) for index in (data.stills, data.videos)]
    return SamplePlanner(sources, [1.0, 1.0], 1.0, data.backgrounds, SampleSettings(), SIZE, 2, seed=3)


@pytest.fixture
def pictures(planner):
    return pictures_of([source.index for source in planner.sources], planner.backgrounds)


@pytest.fixture
def store(pictures):
    return PictureStore(pictures, 512, 10**8, CPU)


def without(plan, **steps):
    crops = tuple(replace(crop, look=crop.look._replace(**steps)) for crop in plan.crops)
    return replace(plan, crops=crops)


def test_both_ways_of_drawing_agree(planner, store):
    # Within three grey levels of 255 on average for every crop, noise and JPEG left out: both average in their own way
    # what is made smaller, and round between the steps. Positions, colours, masks and order of layers are the same.
    plans = [without(planner[i], noise=None, jpeg=None) for i in range(40)]
    drawn = draw_batch(PlanPacker(store, SIZE)(plans), store, SIZE)
    both = torch.cat([drawn["memory"], drawn["query"][:, None]], dim=1).permute(0, 1, 3, 4, 2).numpy()
    differences = [
        np.abs(draw_crop(crop, planner.images, SIZE).astype(int) - device).mean()
        for plan, crops in zip(plans, both, strict=True)
        for crop, device in zip(plan.crops, crops, strict=True)
    ]
    assert np.max(differences) < 3.0
    assert np.median(differences) < 0.5
    kinds = {(crop.picture is None, len(crop.pasted) > 0, crop.cover is not None) for p in plans for crop in p.crops}
    assert len(kinds) >= 5  # real and rendered, with and without pasted objects and covers
    steps = ("motion", "blur", "detail", "grey", "flipped")
    assert all(any(getattr(crop.look, step) for plan in plans for crop in plan.crops) for step in steps)


def test_boxes_are_the_same_numbers(planner, store):
    dataset = SampleDataset(planner)
    drawn = draw_batch(PlanPacker(store, SIZE)([planner[i] for i in range(20)]), store, SIZE)
    for i in range(20):
        sample = dataset[i]
        assert drawn["memory"].shape[1:] == sample["memory"].shape
        assert drawn["memory"].dtype == drawn["query"].dtype == torch.uint8
        for name in ("memory_xyxy", "query_xyxy", "present"):
            assert torch.equal(drawn[name][i], sample[name]), name


def test_sample_is_the_same_in_any_batch(planner, store):
    # Whatever the ranks and workers: noise too, of which each crop has a seed of its own.
    pack = PlanPacker(store, SIZE)
    plans = [planner[i] for i in range(24)]
    assert any(crop.look.noise for plan in plans for crop in plan.crops)
    whole = draw_batch(pack(plans), store, SIZE)
    for part in (slice(0, 8), slice(8, 24)):
        alone = draw_batch(pack(plans[part]), store, SIZE)
        for name in whole:
            difference = (whole[name][part].double() - alone[name].double()).abs()
            assert difference.max() <= 1, name  # grey level: sums in another order, before they are rounded
            assert difference.mean() < 1e-3


def test_noise_has_the_strength_of_its_plan(planner, store):
    plan = without(planner[1], noise=None, jpeg=None, motion=None, blur=None, detail=None)
    noisy = without(plan, noise=(10.0, 7))
    pack = PlanPacker(store, SIZE)
    clean, grainy = (draw_batch(pack([p]), store, SIZE)["query"].double() for p in (plan, noisy))
    seen = (clean > 40) & (clean < 215)
    assert (grainy - clean)[seen].std() == pytest.approx(10, rel=0.05)


def test_store_is_bounded(pictures, store):
    assert store.bytes == pytest.approx(20 * 160 * 120 * 3 + 4 * 160 * 120)
    small = PictureStore(pictures, 80, 10**8, CPU)
    assert small.bytes == pytest.approx(store.bytes / 4, rel=0.01)
    with pytest.raises(ValueError, match=r"does not fit in 0\.0005 GB .*--data\.store\.gigabytes"):
        PictureStore(pictures, 512, 500_000, CPU)


def test_smaller_pictures_show_the_same_places(planner, pictures, store):
    small = PictureStore(pictures, 80, 10**8, CPU)
    plans = [without(planner[i], noise=None) for i in range(12)]
    for whole, half in zip(
        *(draw_batch(PlanPacker(s, SIZE)(plans), s, SIZE)["query"].float() for s in (store, small)), strict=True
    ):
        # Averaged over blocks of 8: detail is lost, nothing is moved.
        blocks = [torch.nn.functional.avg_pool2d(image, 8) for image in (whole, half)]
        assert (blocks[0] - blocks[1]).abs().mean() < 4
