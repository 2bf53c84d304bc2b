"""What is wrong with a bag is said in one line, or counted, and what can be read is used."""

import json
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'stif_core[bags]'")
pytest.importorskip("skimage", reason="scikit-image is not installed")

from bag_builder import CLIP, image, packed, stamp, stif, target, write_bag

from stif_core.bags.images import image_topic, read_frames
from stif_core.bags.reading import Bag
from stif_core.bags.typestore import IMAGE, typestore

INIT = ",".join(str(value) for value in CLIP.render(0)[1])


def error_of(done) -> str:
    """The one line that a user gets."""
    assert done.exit_code == 2, done.output
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error:")
    return lines[0]


def summary_of(path, *options):
    out = path.with_name(path.name + "_out")
    done = stif("replay", path, "--init", INIT, "--out", out, *options)
    assert done.exit_code == 0, done.output
    return json.loads((out / "summary.json").read_text()), (out / "tracks.csv").read_text().splitlines()[1:], done


def storage_file(bag):
    return next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))


def cut(bag, target_path, share):
    shutil.copytree(bag, target_path)
    file = storage_file(target_path)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    return target_path


@pytest.mark.parametrize("share", [0, 0.0001, 0.5, 0.999])
def test_an_mcap_that_was_cut_off_names_the_bag_and_the_remedy(bags, tmp_path, share):
    line = error_of(stif("replay", cut(bags / "mcap", tmp_path / "cut", share), "--init", INIT))
    assert "cannot read the bag" in line
    assert str(tmp_path / "cut") in line
    assert "mcap recover" in line


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9])
def test_a_sqlite_file_that_was_cut_off_is_one_line_or_read_as_far_as_it_goes(bags, tmp_path, share):
    bag = cut(bags / "sqlite3", tmp_path / "cut", share)
    done = stif("replay", bag, "--init", INIT, "--out", tmp_path / "out")
    if done.exit_code:
        assert "ros2 bag reindex" in error_of(done)
    else:
        assert "damaged after" in json.loads((tmp_path / "out" / "summary.json").read_text())["damage"]


def test_a_bag_damaged_in_the_middle_is_used_up_to_there(bags, tmp_path):
    bag = tmp_path / "bag"
    shutil.copytree(bags / "sqlite3", bag)
    data = bytearray(storage_file(bag).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8192] = b"\xff" * 8192  # two pages of one image
    storage_file(bag).write_bytes(data)
    summary, rows, done = summary_of(bag)
    assert "damaged after" in summary["damage"]
    assert "malformed" in summary["damage"]
    assert 4 < summary["frames"] == len(rows) < 12
    assert done.stderr.count("warning:") == 1


def test_a_bag_damaged_from_its_first_image_on_is_one_line(bags, tmp_path):
    bag = tmp_path / "bag"
    shutil.copytree(bags / "mcap", bag)
    data = bytearray(storage_file(bag).read_bytes())
    first_chunk = data.index(b"bgr8")
    data[first_chunk - 2000 : first_chunk - 200] = b"\xff" * 1800
    storage_file(bag).write_bytes(data)
    assert "damaged after 0 messages" in error_of(stif("replay", bag, "--init", INIT))


def test_a_recording_that_was_killed_has_no_metadata_but_can_be_read(bags, tmp_path):
    shutil.copytree(bags / "sqlite3", tmp_path / "killed")
    (tmp_path / "killed" / "metadata.yaml").unlink()
    for path in (tmp_path / "killed", storage_file(tmp_path / "killed"), storage_file(bags / "mcap")):
        with Bag(path) as bag:
            assert len(list(read_frames(bag, image_topic(bag, None)))) == CLIP.frames


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "no bag"),
        ("empty", "no metadata.yaml, and no file ending in .db3 or .mcap"),
        ("text.txt", "expected a folder, or a file ending in .db3 or .mcap"),
        ("text.mcap", "cannot read the bag"),
        ("text.db3", "cannot read the bag"),
        ("yaml", "cannot read the bag"),
    ],
)
def test_what_is_no_bag_is_refused(tmp_path, name, reason):
    (tmp_path / "empty").mkdir()
    (tmp_path / "yaml").mkdir()
    (tmp_path / "yaml" / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 5}")
    for file in ("text.txt", "text.mcap", "text.db3"):
        (tmp_path / file).write_text("no bag " * 20)
    assert reason in error_of(stif("replay", tmp_path / name, "--init", INIT))


def test_a_missing_topic_lists_those_with_images(bags):
    line = error_of(stif("replay", bags / "mcap", "--image", "/cam", "--init", INIT))
    assert "has no topic /cam" in line
    assert "/camera/image_raw (sensor_msgs/msg/Image, 16 messages)" in line


def test_a_topic_of_another_type_is_refused(bags):
    line = error_of(stif("replay", bags / "mcap", "--image", "/truth", "--init", INIT))
    assert "/truth" in line and "is of type stif_ros/msg/Track" in line and "/camera/image_raw" in line
    line = error_of(stif("replay", bags / "mcap", "--init-topic", "/truth"))
    assert "topics of type stif_ros/msg/TargetInit: /target_init (stif_ros/msg/TargetInit, 1 messages)" in line
    line = error_of(stif("replay", bags / "mcap", "--init", INIT, "--truth", "/target_init"))
    assert "topics of type stif_ros/msg/Track: /truth" in line


def test_a_bag_with_several_image_topics_asks_which(tmp_path):
    bag = write_bag(tmp_path / "bag", [("/left", stamp(0), image(0)), ("/right", stamp(0), image(0))])
    line = error_of(stif("replay", bag, "--init", INIT))
    assert "--image TOPIC is needed" in line and "/left" in line and "/right" in line


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "give the target with --init x,y,w,h, or with --init-topic"),
        (["--init", INIT, "--init-topic", "/target_init"], "give the target with"),
        (["--init", "1,2,3"], "--init expects x,y,w,h or x,y,w,h@TIME"),
        (["--init", "1,2,3,4@soon"], "--init expects"),
        (["--init", "1,2,3,4@inf"], "--init expects"),
        (["--init", "1,2,0,4"], "no area"),
        (["--init", "400,2,30,40"], "--init at image 0: box (400, 2, 30, 40) lies outside the image of 320x240"),
        (["--init", f"{INIT}@60"], "no target was set in any of 16 images: 1 boxes are for images that are not there"),
        (["--init", INIT, "--truth", "{boxes}"], "has 3 boxes, but /camera/image_raw 16 images"),
        (["--init", INIT, "--truth", "/nothing"], "has no topic /nothing"),
        (["--init", INIT, "--out", "{full}"], "exists already"),
    ],
)
def test_a_users_mistake_is_one_line(bags, tmp_path, options, reason):
    (tmp_path / "boxes.txt").write_text("1,2,3,4\n" * 3)
    names = {"boxes": tmp_path / "boxes.txt", "full": tmp_path}
    assert reason in error_of(stif("replay", bags / "mcap", *(option.format(**names) for option in options)))


def test_gaps_and_time_that_runs_backwards_are_counted(tmp_path):
    # Recorded at a steady rate; images 5 and 6 never came, the stamps of 8 and 9 are those of 3 and 4.
    stamps = {8: stamp(3), 9: stamp(4)}
    numbers = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    bag = write_bag(tmp_path / "bag", [("/cam", stamp(i), image(i, stamps.get(i))) for i in numbers])
    summary, rows, done = summary_of(bag)
    assert len(rows) == 10
    assert summary["states"] == {"TRACKING": 10}
    assert summary["stamps_backwards"] == 1
    assert summary["period_ms"] == 40
    assert summary["frames_missing_by_stamps"] == 2 + 5  # between 4 and 7; from the stamp of 4 up to that of 10
    assert "stamps that go back: 1" in done.stdout


def test_images_of_several_sizes_are_tracked_counted_and_filmed(tmp_path):
    def half(i):
        return cv2.resize(CLIP.render(i)[0], (160, 120), interpolation=cv2.INTER_AREA)

    messages = [("/cam", stamp(i), image(i, pixels=half(i) if i in (4, 5, 6) else None)) for i in range(10)]
    summary, rows, _ = summary_of(write_bag(tmp_path / "bag", messages))
    assert summary["image_sizes"] == {"320x240": 7, "160x120": 3}
    assert summary["image_size_changes"] == 2
    width = [float(row.split(",")[4]) for row in rows]
    assert width[5] == pytest.approx(width[3] / 2, rel=0.15)
    film = cv2.VideoCapture(str(tmp_path / "bag_out" / "tracked.mp4"))
    assert (film.get(cv2.CAP_PROP_FRAME_WIDTH), film.get(cv2.CAP_PROP_FRAME_COUNT)) == (320, 10)
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(25)


def test_images_that_cannot_be_used_are_counted_and_tracking_goes_on(tmp_path):
    jpegs = [cv2.imencode(".jpg", CLIP.render(i)[0])[1].tobytes() for i in range(10)]
    messages = [("/cam", stamp(i), packed(i, jpegs[i])) for i in range(10)]
    messages[3] = ("/cam", stamp(3), packed(3, jpegs[3][: len(jpegs[3]) // 2]))
    messages[5] = ("/cam", stamp(5), packed(5, b"no image"))
    messages[7] = ("/cam", stamp(7), b"\0\1\0\0\1\2\3")  # no message at all
    summary, rows, done = summary_of(write_bag(tmp_path / "bag", messages, "sqlite3"))
    assert summary["states"] == {"REFUSED": 3, "TRACKING": 7}
    assert [row.split(",")[-1] for row in rows].count("REFUSED") == 3
    assert [problem.split(":")[0] for problem in summary["problems"]] == ["image 3", "image 5", "image 7"]
    assert "cut off" in summary["problems"][0]
    assert done.stderr.count("warning:") == 3


def test_an_unknown_encoding_in_every_image_leaves_no_target(tmp_path):
    messages = [("/cam", stamp(i), image(i, encoding="32FC1")) for i in range(3)]
    messages.append(("/init", stamp(0), target((10, 10, 50, 50))))
    line = error_of(stif("replay", write_bag(tmp_path / "bag", messages), "--init-topic", "/init"))
    assert "no target was set in any of 3 images" in line
    assert "32FC1" in line


def test_a_message_of_a_hostile_size_is_refused(tmp_path):
    """The header claims far more data than the message has."""
    data = bytearray(typestore().serialize_cdr(image(1), IMAGE))
    length = data.index(np.uint32(320 * 240 * 3).tobytes())
    data[length : length + 4] = b"\xff\xff\xff\x7f"
    messages = [("/cam", stamp(0), image(0)), ("/cam", stamp(1), bytes(data)), ("/cam", stamp(2), image(2))]
    summary, _, _ = summary_of(write_bag(tmp_path / "bag", messages))
    assert summary["states"] == {"REFUSED": 1, "TRACKING": 2}
