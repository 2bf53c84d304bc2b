import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stif_core.data.folder import read_folder  # noqa: E402
from stif_core.data.pairs import PairDataset, PairSettings  # noqa: E402


@pytest.fixture
def dataset(data_root):
    return PairDataset(read_folder(data_root, {"source/held"}), PairSettings(crop_size=128, seed=3), length=60)


def test_sample_depends_on_its_index_alone(dataset):
    forward = [dataset[i] for i in (4, 5, 6)]
    again = dataset[5]
    for key, value in again.items():
        assert torch.equal(value, forward[1][key]), key
    assert not torch.equal(forward[0]["query"], forward[1]["query"])


def test_samples_have_the_form_that_training_expects(dataset):
    sample = dataset[0]
    assert sample["memory"].shape == sample["query"].shape == (3, 128, 128)
    assert sample["memory"].dtype == torch.uint8
    assert sample["foreground"].shape == (1, 128, 128)
    assert set(sample["foreground"].unique().tolist()) == {0, 1}
    assert sample["box_xyxy"].shape == (4,)


def test_memory_shows_the_target_in_the_middle_at_a_quarter(dataset):
    for i in range(len(dataset)):
        x, y, w, h = dataset.pair(i).memory_box
        assert abs(x + w / 2 - 64) < 10
        assert abs(y + h / 2 - 64) < 10
        assert np.sqrt(w * h) == pytest.approx(32, rel=0.45)


def test_some_queries_show_another_object_and_targets_lie_in_the_crop(dataset):
    pairs = [dataset.pair(i) for i in range(len(dataset))]
    absent = sum(not pair.present for pair in pairs)
    assert 1 <= absent <= 20
    for pair in pairs:
        if pair.present:
            x, y, w, h = pair.query_box
            assert x + w > 0
            assert y + h > 0
            assert x < 128
            assert y < 128
