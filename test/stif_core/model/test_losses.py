import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from stif_core.geometry import iou, xyxy_to_xywh  # noqa: E402
from stif_core.model.head import HeadOutput, cell_centres  # noqa: E402
from stif_core.model.losses import (  # noqa: E402
    LossWeights,
    assign_targets,
    distillation_loss,
    focal_loss,
    generalised_iou,
    stif_loss,
)

POINTS = cell_centres(4, 16, 0.5)


def targets(box, present=True, nearest_cell=True):
    return assign_targets(POINTS, torch.tensor([box], dtype=torch.float32), torch.tensor([present]), nearest_cell)


def test_cells_inside_the_box_are_positive():
    positive = targets([10.0, 10.0, 40.0, 20.0]).positive
    assert [tuple(point) for point in POINTS[positive[0]].tolist()] == [(16.5, 16.5), (32.5, 16.5)]


def test_centreness_is_1_in_the_middle_and_follows_the_formula():
    found = targets([6.5, 6.5, 26.5, 26.5])
    assert found.centreness[0, 5].item() == pytest.approx(1.0)
    found = targets([12.5, 6.5, 32.5, 26.5])  # l, t, r, b = 4, 10, 16, 10 at the cell 16.5
    assert found.centreness[0, 5].item() == pytest.approx((4 / 16) ** 0.5)


def test_target_smaller_than_a_cell_keeps_its_nearest_cell():
    tiny = [18.0, 18.0, 21.0, 21.0]
    assert targets(tiny, nearest_cell=False).positive.sum() == 0
    assert targets(tiny).positive[0].nonzero().tolist() == [[5]]


def test_absent_target_has_no_positive():
    assert targets([10.0, 10.0, 40.0, 40.0], present=False).positive.sum() == 0


def test_focal_loss_against_a_hand_computed_case():
    # p = 0.8 on a positive: .75 * .2^2 * -ln(.8); p = 0.3 on a negative: .25 * .3^2 * -ln(.7).
    logits = torch.logit(torch.tensor([[0.8, 0.3]]))
    expected = 0.75 * 0.04 * -np.log(0.8) + 0.25 * 0.09 * -np.log(0.7)
    assert focal_loss(logits, torch.tensor([[True, False]])).item() == pytest.approx(expected, rel=1e-5)


corner = st.floats(0, 50)
side = st.floats(1, 50)


@given(st.tuples(corner, corner, side, side), st.tuples(corner, corner, side, side))
def test_generalised_iou_is_iou_less_the_empty_share_of_the_hull(a, b):
    a_xyxy, b_xyxy = (torch.tensor([x, y, x + w, y + h], dtype=torch.float64) for x, y, w, h in (a, b))
    hull = (max(a_xyxy[2], b_xyxy[2]) - min(a_xyxy[0], b_xyxy[0])) * (
        max(a_xyxy[3], b_xyxy[3]) - min(a_xyxy[1], b_xyxy[1])
    )
    overlap = float(iou(xyxy_to_xywh(a_xyxy.numpy()), xyxy_to_xywh(b_xyxy.numpy())))
    union = (a[2] * a[3] + b[2] * b[3]) / (1 + overlap)
    assert generalised_iou(a_xyxy, b_xyxy).item() == pytest.approx(
        overlap - (float(hull) - union) / float(hull), abs=1e-6
    )


def test_right_answer_costs_less_than_a_wrong_one():
    box = torch.tensor([[[10.0, 10.0, 40.0, 40.0]]])
    found = targets([10.0, 10.0, 40.0, 40.0])
    sure = torch.where(found.positive, 6.0, -6.0)
    centreness = torch.logit(found.centreness.clamp(0.01, 0.99))
    right = stif_loss(HeadOutput(sure, centreness, box.expand(1, 16, 4)), found, LossWeights())
    shifted = stif_loss(HeadOutput(sure, centreness, box.expand(1, 16, 4) + 12), found, LossWeights())
    unsure = stif_loss(HeadOutput(-sure, centreness, box.expand(1, 16, 4)), found, LossWeights())
    assert right["box"].item() == pytest.approx(0, abs=1e-6)
    assert right["class"] < 1e-3
    assert shifted["total"] > right["total"] + 0.3
    assert unsure["total"] > right["total"] + 1


def test_batch_without_any_target_has_a_finite_loss():
    found = targets([10.0, 10.0, 40.0, 40.0], present=False)
    output = HeadOutput(torch.zeros(1, 16), torch.zeros(1, 16), torch.ones(1, 16, 4).cumsum(2))
    parts = stif_loss(output, found, LossWeights())
    assert all(torch.isfinite(value) for value in parts.values())
    assert parts["box"] == 0


def some_output(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, len(POINTS), generator=generator)
    sides = torch.rand(2, 3, len(POINTS), 2, generator=generator) * 20 + 1
    return HeadOutput(logits, logits.flip(0), torch.cat([POINTS - sides[0], POINTS + sides[1]], dim=2))


def test_distillation_loss_is_least_for_the_teachers_own_answer():
    teacher = some_output(0)
    own = distillation_loss(teacher, teacher, LossWeights())
    # What is left is the entropy of the teacher's centreness.
    certain = teacher._replace(centreness_logits=teacher.centreness_logits.sign() * 30)
    assert distillation_loss(certain, certain, LossWeights()).item() == pytest.approx(0, abs=1e-5)
    for changed in (
        {"class_logits": teacher.class_logits + 0.5},
        {"centreness_logits": teacher.centreness_logits - 0.5},
        {"boxes": teacher.boxes + 3.0},
    ):
        assert distillation_loss(teacher._replace(**changed), teacher, LossWeights()) > own + 1e-3


def test_distillation_loss_leaves_out_boxes_where_the_teacher_sees_nothing():
    blind = some_output(0)._replace(class_logits=torch.full((3, len(POINTS)), -30.0))
    other = some_output(1)._replace(class_logits=blind.class_logits)
    assert distillation_loss(other, blind, LossWeights()).item() == pytest.approx(0, abs=1e-6)
