import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from hypothesis import given
from hypothesis import strategies as st

from stif_core.training.data_module import StepSampler


@given(st.integers(1, 4), st.sampled_from([1, 2, 4]), st.integers(0, 50), st.integers(1, 20))
def test_ranks_share_every_batch_and_a_resumed_run_goes_on_where_it_stopped(pairs, ranks, step, length):
    batch = 2 * pairs * ranks
    per_rank = [list(StepSampler(batch, rank, ranks, length, lambda: step)) for rank in range(ranks)]
    whole = list(StepSampler(batch, 0, 1, length + step, lambda: 0))
    for i in range(length):
        assert [index for part in per_rank for index in part[i]] == whole[step + i]
