import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stif_core.data.cutouts import Cutout, cut_out, paste

DISC = Cutout(np.full((40, 60, 3), 200, np.uint8), np.ones((40, 60), np.float32))


@settings(deadline=None)
@given(st.floats(60, 196), st.floats(60, 196), st.floats(12, 60), st.floats(0.7, 1.4))
def test_box_is_where_the_object_was_drawn(x, y, size, stretch):
    canvas = np.zeros((256, 256, 3), np.uint8)
    box, _ = paste(canvas, DISC, np.array([x, y]), size, angle=0.0, stretch=stretch)
    width, height = size * np.sqrt(60 / 40 * stretch), size * np.sqrt(40 / 60 / stretch)
    assert box == pytest.approx([x - width / 2, y - height / 2, width, height], abs=1.6)
    drawn = np.argwhere(canvas[..., 0] > 100)
    assert drawn.min(axis=0)[::-1] == pytest.approx(box[:2], abs=1)
    assert drawn.max(axis=0)[::-1] + 1 == pytest.approx(box[:2] + box[2:], abs=1)


def test_object_outside_the_canvas_has_no_box():
    canvas = np.zeros((64, 64, 3), np.uint8)
    box, _ = paste(canvas, DISC, np.array([500.0, 500.0]), 20, 0.0, 1.0)
    assert np.isnan(box).all()
    assert not canvas.any()


def test_cutout_is_as_tight_as_its_mask(data_root):
    pytest.importorskip("cachetools")
    from stif_core.data.images import ImageReader

    folder = data_root / "stills" / "masked"
    reader = ImageReader(0)
    image, mask = reader.image(folder / "0.jpg"), reader.mask(folder / "0.mask.png")
    cutout = cut_out(image, mask, np.array([30.0, 20.0, 60.0, 50.0]))
    assert cutout.alpha.shape == cutout.image.shape[:2]
    assert cutout.alpha.shape == pytest.approx((47, 57), abs=2)
