"""A sequence folder becomes a bag with its pixels, boxes and camera, as plain rosbags reads it."""

import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'stif_core[bags]'")
pytest.importorskip("skimage", reason="scikit-image is not installed")

from bag_builder import CLIP, stif
from rosbags.highlevel import AnyReader

from stif_core.bags.images import image_topic, read_frames
from stif_core.bags.reading import Bag
from stif_core.bags.typestore import TRACK, typestore
from stif_core.evaluation.sequences import read_sequence
from stif_core.io.source import read_frame

TOPICS = {"/camera/camera_info", "/camera/image_raw", "/target_init", "/truth"}


def read_with_rosbags(path):
    """{topic: [(time, message)]}, with no definition but those in the bag."""
    messages = {}
    with AnyReader([path]) as reader:
        for connection, time_ns, data in reader.messages():
            messages.setdefault(connection.topic, []).append((time_ns, reader.deserialize(data, connection.msgtype)))
    return messages


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_any_reader_understands_the_bag_by_its_own_definitions(bags, storage):
    messages = read_with_rosbags(bags / storage)
    assert set(messages) == TOPICS
    assert [len(messages[topic]) for topic in sorted(TOPICS)] == [16, 16, 1, 16]
    times = [time_ns for time_ns, _ in messages["/camera/image_raw"]]
    assert times[0] == 10**18
    assert times[15] - times[0] == 500_000_000
    for i, ((_, image), (_, info), (_, truth)) in enumerate(
        zip(messages["/camera/image_raw"], messages["/camera/camera_info"], messages["/truth"], strict=True)
    ):
        assert image.header == info.header == truth.header
        assert (image.encoding, image.width, image.height, image.step) == ("bgr8", 320, 240, 960)
        np.testing.assert_array_equal(image.data.reshape(240, 320, 3), CLIP.render(i)[0])
        box = [truth.center_x - truth.size_x / 2, truth.center_y - truth.size_y / 2, truth.size_x, truth.size_y]
        if i == 9:
            assert (truth.box_valid, truth.state) == (False, 3)
            assert np.isnan(box).all()
        else:
            assert (truth.box_valid, truth.state) == (True, 1)
            np.testing.assert_allclose(box, CLIP.render(i)[1], atol=1e-9)
    ((_, target),) = messages["/target_init"]
    assert target.header == messages["/camera/image_raw"][0][1].header
    np.testing.assert_allclose([target.x, target.y, target.width, target.height], CLIP.render(0)[1])


def test_camera_info_projects_the_edge_of_the_image_to_half_the_field_of_view(bags):
    _, info = read_with_rosbags(bags / "mcap")["/camera/camera_info"][0]
    focal, cx = info.k[0], info.k[2]
    assert np.degrees(np.arctan((319.5 - cx) / focal)) == pytest.approx(30)
    assert np.degrees(np.arctan((-0.5 - cx) / focal)) == pytest.approx(-30)
    assert info.k[4] == focal and info.k[5] == 119.5 and info.distortion_model == "plumb_bob"
    np.testing.assert_array_equal(info.p.reshape(3, 4)[:, :3], info.k.reshape(3, 3))


def test_without_a_field_of_view_the_camera_is_not_calibrated(clip_folder, tmp_path):
    assert stif("bag", "make", clip_folder, tmp_path / "bag").exit_code == 0
    _, info = read_with_rosbags(tmp_path / "bag")["/camera/camera_info"][0]
    assert (info.width, info.height) == (320, 240)
    assert not info.k.any()


def test_compressed_passes_files_on_and_turns_others_into_png(clip_folder, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(clip_folder, folder)
    first, second, third = (folder / "img" / f"{i:04d}.png" for i in range(3))
    cv2.imwrite(str(first.with_suffix(".jpg")), read_frame(first))
    cv2.imwrite(str(second.with_suffix(".bmp")), read_frame(second))
    for path in (first, second):
        path.unlink()
    assert stif("bag", "make", folder, tmp_path / "bag", "--compressed").exit_code == 0
    messages = [message for _, message in read_with_rosbags(tmp_path / "bag")["/camera/image_raw/compressed"]]
    assert messages[0].data.tobytes() == first.with_suffix(".jpg").read_bytes()
    assert "jpeg" in messages[0].format
    assert messages[1].data.tobytes().startswith(b"\x89PNG")
    assert messages[2].data.tobytes() == third.read_bytes()
    with Bag(tmp_path / "bag") as bag:
        frames = list(read_frames(bag, image_topic(bag, None)))
    for frame, expected in zip(frames, read_sequence(folder).frames(), strict=True):
        np.testing.assert_array_equal(frame.image(), expected)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_same_folder_gives_the_same_bytes(clip_folder, tmp_path, storage):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert stif("bag", "make", clip_folder, tmp_path / name / "bag", "--storage", storage).exit_code == 0
    files = sorted(path.name for path in (tmp_path / "one" / "bag").iterdir())
    assert len(files) == 2
    for name in files:
        assert (tmp_path / "one" / "bag" / name).read_bytes() == (tmp_path / "two" / "bag" / name).read_bytes()


def test_an_image_that_cannot_be_read_leaves_no_bag_behind(clip_folder, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(clip_folder, folder)
    (folder / "img" / "0007.png").write_bytes(b"no image")
    done = stif("bag", "make", folder, tmp_path / "bag")
    assert done.exit_code == 2
    assert "0007.png" in done.stderr
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--storage", "tape"], "unknown storage 'tape': use sqlite3 or mcap"),
        (["--fps", "0"], "--fps is 0"),
        (["--fov", "180"], "--fov is 180"),
    ],
)
def test_impossible_options_are_refused(clip_folder, tmp_path, options, reason):
    done = stif("bag", "make", clip_folder, tmp_path / "bag", *options)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert not (tmp_path / "bag").exists()


def test_a_bag_is_never_written_over(clip_folder, bags):
    before = (bags / "mcap" / "metadata.yaml").read_bytes()
    done = stif("bag", "make", clip_folder, bags / "mcap")
    assert done.exit_code == 2
    assert "exists already" in done.stderr
    assert (bags / "mcap" / "metadata.yaml").read_bytes() == before


def test_the_definition_of_track_hashes_as_ros_hashes_it(repository):
    description = repository / "install/stif_ros/share/stif_ros/msg/Track.json"
    if not description.is_file():
        pytest.skip("the messages are not built: run colcon build")
    assert typestore().hash_rihs01(TRACK) in description.read_text()
