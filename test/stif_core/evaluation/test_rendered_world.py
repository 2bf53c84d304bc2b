"""The rendered world's truth is what it draws, and its base moves as commanded."""

import numpy as np
import pytest

pytest.importorskip("skimage", reason="the rendered world needs scikit-image")

from stif_core.bearing import azimuth_elevation
from stif_core.evaluation.rendered_world import HEIGHT, WIDTH, MovingBase, Pose, RenderedWorld, walk

WORLD = RenderedWorld()


@pytest.mark.parametrize(
    ("pose", "target"),
    [
        (Pose(), (4.0, 0.0)),
        (Pose(1.0, -2.0, 0.5), (5.0, 1.0)),
        (Pose(0.0, 0.0, -0.35), (3.0, -0.2)),
        (Pose(-3.0, 2.0, 3.0), (-9.0, 2.0)),
    ],
)
def test_true_box_encloses_what_is_drawn(pose, target):
    drawn = (WORLD.render(pose, target) != WORLD.render(pose, None)).any(axis=2)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    x, y, w, h = WORLD.view(pose, target).box
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(seen, [x, y, x + w, y + h], atol=1.5)  # the edge is soft


def test_bearing_of_the_true_box_is_the_true_bearing():
    for pose, target in ((Pose(), (4.0, 0.5)), (Pose(1.0, 1.0, 0.3), (6.0, 1.5))):
        view = WORLD.view(pose, target)
        centre = view.box[:2] + view.box[2:] / 2
        found = azimuth_elevation(WORLD.camera.rays(centre, WIDTH, HEIGHT)[0])
        np.testing.assert_allclose(found, [view.azimuth, view.elevation], atol=0.01)


def test_target_to_the_left_has_a_negative_azimuth_and_one_behind_no_box():
    assert WORLD.view(Pose(), (4.0, 1.0)).azimuth == pytest.approx(-np.arctan(0.25))
    behind = WORLD.view(Pose(heading=np.pi), (4.0, 0.0))
    assert np.isnan(behind.box).all()
    assert behind.visible == 0


def test_half_of_a_target_at_the_border_is_visible():
    view = WORLD.view(Pose(heading=-0.54), (4.0, 0.0))
    assert 0.1 < view.visible < 0.9


def test_base_follows_its_commands_with_a_lag():
    base = MovingBase()
    base.move(1.0, 0.0, 0.15)
    assert base.speed == pytest.approx(1 - np.exp(-1), abs=1e-6)
    base.move(1.0, 0.0, 9.85)
    assert base.pose.x == pytest.approx(10 - 0.15, abs=0.01)
    base = MovingBase()
    for _ in range(20):
        base.move(0.0, 0.5, 0.1)
    assert base.pose.heading == pytest.approx(0.5 * (2 - 0.15), abs=0.01)


def test_walk_stays_in_the_hall_at_a_walking_pace():
    times = np.arange(0, 120, 0.05)
    places = np.array([walk(time) for time in times])
    assert np.linalg.norm(places, axis=1).max() < 12
    assert (np.linalg.norm(np.diff(places, axis=0), axis=1) / 0.05).max() < 1.15
