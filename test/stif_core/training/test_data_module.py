import shutil

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from stif_core.data.datasets import Roots  # noqa: E402
from stif_core.training.data_module import StepSampler, TrackingDataModule  # noqa: E402


@given(st.integers(1, 4), st.sampled_from([1, 2, 4]), st.integers(0, 50), st.integers(1, 20))
def test_ranks_share_every_batch_and_a_resumed_run_goes_on_where_it_stopped(pairs, ranks, step, length):
    batch = 2 * pairs * ranks
    per_rank = [list(StepSampler(batch, rank, ranks, length, lambda: step)) for rank in range(ranks)]
    whole = list(StepSampler(batch, 0, 1, length + step, lambda: 0))
    for i in range(length):
        assert [index for part in per_rank for index in part[i]] == whole[step + i]


def test_what_is_read_ahead_gives_the_same_samples_without_the_files(data_root, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    ratios = {"folder_stills": 1.0, "folder_videos": 1.0}
    settings = {"ratios": ratios, "roots": Roots(folder=root), "rendered": 1.0, "crop_size": 64}
    plain = TrackingDataModule(**settings, kept_gigabytes=0)
    ahead = TrackingDataModule(**settings, read_ahead=True)
    for module in (plain, ahead):
        module.setup("fit")
    expected = [plain.dataset[i] for i in range(12)]
    for picture in [*root.rglob("*.jpg"), *root.rglob("*.png")]:
        picture.unlink()
    for i in range(12):
        found = ahead.dataset[i]
        assert all(torch.equal(found[name], value) for name, value in expected[i].items())
    with pytest.raises(ValueError, match="cannot read"):
        plain.dataset[0]
