import json
import re

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("lightning")

from stif_core.cli import app
from stif_core.data.folder import read_folder
from stif_core.data.planner import SamplePlanner, SampleSettings
from stif_core.data.report import (
    CAPTION,
    TILE,
    Drawn,
    first_of_each,
    read_whole,
    sample_sheet,
    source_of,
    spread,
)
from stif_core.data.samples import Sample, SampleDataset
from stif_core.data.sources import TrackSource
from stif_core.training.data_config import load_data_module

CONFIG = """
seed_everything: 3
trainer: {max_steps: 10, no_such_option: 1}
data:
  ratios: {folder_stills: 1.0, folder_videos: 2.0}
  rendered: 1.0
  memory_frames: 2
  seed: 3
model:
  network: {trunk: fbnet, crop_size: 96}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where sheets go unless --out is given

    def run(*arguments):
        return CliRunner().invoke(app, ["data", *(str(argument) for argument in arguments)])

    return run


@pytest.fixture
def check(run, config, data_root):
    return lambda *options: run("check", config, "--data.roots.folder", data_root, *options)


def table_of(output):
    """Rows of the printed table, by their first cell."""
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in output.splitlines() if line[:1] in "│┃"]
    return {row[0]: row[1:] for row in rows if row}


def edit_record(index, line, **changes):
    lines = index.read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changes})
    index.write_text("\n".join(lines))


def dataset_of(data_root, ratios=(1.0, 2.0), rendered=1.0):
    data = read_folder(data_root, set())
    sources = [TrackSource(index, 1.0, 6, 10) for index in (data.stills, data.videos)]
    planner = SamplePlanner(sources, list(ratios), rendered, data.backgrounds, SampleSettings(), 96, 2, seed=3)
    return SampleDataset(planner)


def test_check_counts_what_the_data_sets_hold(check, tmp_path):
    done = check()
    assert done.exit_code == 0, done.output
    table = table_of(done.stdout)
    # Share, videos, stills, tracks, frames, boxes, too small, too elongated, checked.
    assert table["folder_stills"] == ["0.250", "0", "8", "16", "8", "16", "8", "0", "8"]
    assert table["folder_videos"] == ["0.500", "2", "0", "2", "10", "10", "0", "0", "10"]
    assert table["rendered"][0] == "0.250"
    assert (table["backgrounds"][4], table["backgrounds"][8]) == ("2", "2")
    assert "nothing is broken" in done.stdout
    sheet = cv2.imread(str(tmp_path / "data_check.png"))
    # Eight samples of each of three kinds, two in a row: two memory crops and the query.
    assert sheet.shape[0] > 12 * TILE
    assert 2 * 3 * TILE <= sheet.shape[1] <= 1600


def test_check_counts_boxes_that_the_settings_leave_out(check, data_root):
    edit_record(data_root / "stills" / "plain" / "boxes.jsonl", 0, boxes=[[5, 5, 100, 7], [5, 5, 30, 5], [5, 5, 9, 9]])
    table = table_of(check("--data.sampling.smallest_side", "8", "--data.sampling.largest_aspect=4").stdout)
    assert table["folder_stills"][6:8] == ["9", "0"]
    table = table_of(check("--data.sampling.largest_aspect=4").stdout)
    assert table["folder_stills"][6:8] == ["8", "1"]


def test_check_decodes_a_bounded_number_of_images(check, data_root):
    table = table_of(check("--images", "3").stdout)
    assert [table[name][8] for name in ("folder_stills", "folder_videos", "backgrounds")] == ["3", "3", "2"]
    assert spread(10, 3).tolist() == [0, 4, 9]
    assert spread(10, 0).tolist() == spread(10, 12).tolist() == list(range(10))


def test_check_names_every_broken_file_once(check, data_root):
    missing = data_root / "videos" / "source" / "walk" / "img" / "2.jpg"
    missing.unlink()
    cut = data_root / "stills" / "plain" / "1.jpg"
    cut.write_bytes(cut.read_bytes()[:-40])
    text = data_root / "backgrounds" / "some" / "1.jpg"
    text.write_text("this is no image")
    mask = data_root / "stills" / "masked" / "3.mask.png"
    mask.unlink()
    small = data_root / "stills" / "masked" / "2.mask.png"
    cv2.imwrite(str(small), np.full((60, 80), 255, np.uint8))
    edit_record(data_root / "stills" / "plain" / "boxes.jsonl", 0, boxes=[[30, 20, 60, 50], [170.0, 20, 60, 50]])
    done = check()
    assert done.exit_code == 1, done.output
    problems = done.stdout.split("6 problems:\n")[1].splitlines()
    image_of_mask = data_root / "stills" / "masked" / "3.jpg"
    assert sorted(line.strip() for line in problems) == sorted(
        [
            f"folder_videos: cannot read the image {missing}: no such file",
            f"folder_stills: cannot read the image {cut}: the file is cut short",
            f"backgrounds: cannot read the image {text}",
            f"folder_stills: cannot read the image {mask}: no such file, the mask of {image_of_mask}",
            f"folder_stills: {small}: the mask has 80x60 pixels, its image 160x120",
            f"folder_stills: {data_root / 'stills' / 'plain' / '0.jpg'}: box (170, 20, 60, 50) lies outside "
            "the image of 160x120 pixels",
        ]
    )


def test_a_broken_image_that_was_not_among_the_checked_is_found_by_drawing_it(check, data_root):
    for image in (data_root / "videos" / "source" / "walk" / "img").glob("[123].jpg"):
        image.unlink()
    done = check("--images", "2")
    assert done.exit_code == 1
    assert "samples: cannot read the image" in done.stdout


def test_many_problems_are_counted(check, data_root):
    index = data_root / "stills" / "plain" / "boxes.jsonl"
    edit_record(index, 0, boxes=[[500.0, 20, 60, 50]] * 30)
    done = check()
    assert done.exit_code == 1
    assert done.stdout.count("lies outside") == 20
    assert "30 problems:" in done.stdout
    assert "and 10 more" in done.stdout


def test_a_data_set_that_is_missing_does_not_hide_the_others(run, config, data_root, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("data: {ratios: {folder_stills: 1.0, coco: 2.0, lasot: 1.0}, rendered: 0.0}")
    roots = ("--data.roots.folder", data_root, f"--data.roots.coco={tmp_path}/coco")
    done = run("check", config, overlay, *roots, "--out", "some.jpg")
    assert done.exit_code == 1, done.output
    table = table_of(done.stdout)
    assert table["folder_stills"][:3] == ["0.250", "0", "8"]
    assert table["coco"][:2] == ["0.500", "not read"]
    assert table["lasot"][:2] == ["0.250", "not read"]
    problems = done.stdout.split("2 problems:\n")[1].splitlines()
    assert str(tmp_path / "coco" / "annotations") in problems[0]
    assert "lasot: where is the data set lasot? Give --data.roots.lasot FOLDER" in problems[1]
    assert (tmp_path / "some.jpg").is_file()


def test_without_any_data_there_is_no_sheet(run, config, tmp_path):
    done = run("check", config, "--data.roots.folder", tmp_path / "nowhere")
    assert done.exit_code == 1, done.output
    expected = f"folder_stills, folder_videos: no training data at {tmp_path}/nowhere: expected the folder"
    assert expected in done.stdout
    assert not (tmp_path / "data_check.png").exists()


def test_rendered_clips_without_masks_are_a_problem(check):
    done = check("--data.ratios", "{folder_videos: 1.0}")
    assert done.exit_code == 1, done.output
    assert "rendered: rendered clips need a data set with masks" in done.stdout


@pytest.mark.parametrize(
    ("yaml", "options", "reason"),
    [
        ("data: {ratio: {coco: 1.0}}", [], "'ratio.coco'"),
        ("data: {ratios: {coco: 1.0}, roots: {cocoo: x}}", [], "'roots.cocoo'"),
        ("data: {ratios: {coco: 1.0}, seed: often}", [], "data.seed"),
        ("data: {ratios: {cocoo: 1.0}}", [], "unknown data set 'cocoo'"),
        ("data: {ratios: {coco: -1.0}}", [], "must not be negative"),
        ("data: {ratios: {coco: 0.0}}", [], "must not be negative, nor 0"),
        ("data: {seed: 1}", [], "data.ratios"),
        ("trainer: {}", [], "data.ratios"),
        ("data: {ratios: {coco: 1.0}", [], "is no YAML"),
        ("just text", [], "is no training configuration"),
        ("data: {ratios: {coco: 1.0}}", ["no_such.yaml"], "cannot read the configuration no_such.yaml"),
        ("data: {ratios: {coco: 1.0}}", ["--data.sed", "3"], "--data.sed"),
        ("data: {ratios: {coco: 1.0}}", ["--data.seed"], "--data.seed"),
        ("data: {ratios: {coco: 1.0}}", ["--data.sampling.window=x"], "data.sampling.window"),
        ("data: {ratios: {coco: 1.0}}", ["--out", "sheet.gif"], "use the ending .jpg"),
        ("data: {ratios: {coco: 1.0}}", ["--out", "no/such/sheet.jpg"], "there is no folder no/such"),
        ("data: {ratios: {coco: 1.0}, validation_clips: none.txt}", [], "no list of validation clips none.txt"),
    ],
)
@pytest.mark.parametrize("command", ["check", "show"])
def test_a_mistake_in_the_configuration_is_one_line_and_exit_code_2(run, config, command, yaml, options, reason):
    config.write_text(yaml)
    done = run(command, config, *options)
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert reason in lines[0]


def test_configurations_are_laid_over_each_other_and_options_over_them(config, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("data: {seed: 5, sampling: {window: 7}, workers: 3}\nmodel: {network: {crop_size: 64}}")
    module = load_data_module([str(config), "--data.roots.folder", "a", str(overlay), "--data.seed=9"])
    assert (module.ratios, module.rendered) == ({"folder_stills": 1.0, "folder_videos": 2.0}, 1.0)
    assert (module.sampling.window, module.sampling.negatives) == (7, SampleSettings().negatives)
    assert (module.seed, module.workers, module.crop_size, str(module.roots.folder)) == (9, 3, 64, "a")


def test_show_draws_the_samples_of_training(run, config, data_root, tmp_path):
    out = tmp_path / "grid.png"
    roots = ("--data.roots.folder", data_root)
    done = run("show", config, *roots, "--out", out, "--first", "4", "--count", "5")
    assert done.exit_code == 0, done.output
    dataset = dataset_of(data_root)  # of another balance, which does not matter: groups are of one size here
    expected = sample_sheet([Drawn(i, source_of(dataset, i), dataset.sample(i)) for i in range(4, 9)])
    np.testing.assert_array_equal(cv2.imread(str(out)), expected)


def test_show_needs_the_whole_data(run, config, data_root):
    (data_root / "stills" / "plain" / "boxes.jsonl").write_text("{")
    done = run("show", config, "--data.roots.folder", data_root)
    assert done.exit_code == 2
    assert "boxes.jsonl line 1" in done.stderr


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_source_in_the_caption_is_what_the_sample_was_drawn_from(data_root, kind):
    mixed = dataset_of(data_root)
    name = ["folder_stills", "folder_videos", "rendered"][kind]
    alone = dataset_of(data_root, (float(kind == 0), float(kind == 1)), float(kind == 2))
    numbers = [i for i in range(40) if source_of(mixed, i) == name]
    assert len(numbers) >= 3
    for i in numbers[:3]:
        assert source_of(alone, i) == name
        np.testing.assert_array_equal(mixed.sample(i).query, alone.sample(i).query)


def test_a_rare_data_set_is_on_the_sheet(data_root):
    drawn, errors = first_of_each(dataset_of(data_root, (0.002, 1.0), 0.0), 3)
    assert [item.source for item in drawn] == ["folder_stills"] * 3 + ["folder_videos"] * 3
    assert errors == []


def test_boxes_are_drawn_where_the_target_is():
    grey = np.full((96, 96, 3), 128, np.uint8)
    boxes = np.array([[24.0, 24, 48, 48]])
    shown = [
        Drawn(0, "a", Sample([grey], boxes, grey, np.array([12.0, 24, 48, 48]), present=True)),
        Drawn(1, "a", Sample([grey], boxes, grey[:, ::-1], np.array([np.nan] * 4), present=False)),
        Drawn(2, "a", Sample([grey], boxes, grey, np.array([12.0, 24, 48, 48]), present=False)),
    ]
    sheet = sample_sheet(shown)
    block = sheet.shape[1] // 3
    assert sheet.shape[1] % 3 == 0
    middle = CAPTION + TILE // 2
    memory_left, query_left = TILE // 4, TILE + TILE // 8
    assert sheet[middle, memory_left].tolist() == [0, 220, 255]
    assert sheet[middle, query_left].tolist() == [0, 255, 0]
    assert sheet[middle, 2 * block + query_left].tolist() == [0, 0, 255]
    assert (sheet[CAPTION:-8, block + TILE : 2 * block - 8] == 128).all()
    assert (sheet[:CAPTION, :TILE] > 200).any()


def test_a_jpeg_with_bytes_behind_its_end_is_whole(tmp_path):
    path = tmp_path / "image.jpg"
    cv2.imwrite(str(path), np.full((20, 30, 3), 90, np.uint8))
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert read_whole(path).shape == (20, 30, 3)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot read the image"):
        read_whole(path)
