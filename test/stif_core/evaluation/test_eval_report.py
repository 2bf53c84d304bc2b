"""The page of a report: complete, self-contained, in the right order."""

import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("jinja2", reason="jinja2 is not installed")

from stif_core.cli import app
from stif_core.evaluation.datasets import Dataset
from stif_core.evaluation.report import write_report
from stif_core.evaluation.report.pictures import TILE_WIDTH, draw_frame, sparkline, tiles
from stif_core.evaluation.report.plots import colour_of, draw_all, write_files
from stif_core.evaluation.results import TrackerResults
from stif_core.evaluation.run import Track
from stif_core.evaluation.scoring import score_tracker
from stif_core.evaluation.sequences import read_sequences

SHIFTS = {"exact": 0.0, "shifted <b>": 3.0, "lost": 90.0}  # names are text, not markup


class Page(HTMLParser):
    """Collects what a browser would load, and the text by element."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.headings, self._inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._inside = tag
        self.loaded += [value for name, value in attributes if name in ("src", "href", "data")]

    def handle_data(self, data):
        if self._inside in ("h1", "h2", "h3") and data.strip():
            self.headings.append(data.strip())


@pytest.fixture
def scored(sequences, tmp_path):
    found = read_sequences(sequences)
    attributes = (frozenset({"fast motion"}), frozenset({"fast motion", "occlusion"}), frozenset())
    found = [
        type(sequence)(sequence.name, sequence.images, sequence.truth, attributes=names)
        for sequence, names in zip(found, attributes, strict=True)
    ]
    dataset = Dataset("folder", "folder", found)
    trackers = []
    for number, (name, shift) in enumerate(SHIFTS.items()):
        results = TrackerResults(tmp_path / "out" / str(number))
        for sequence in found:
            boxes = sequence.truth.copy()
            boxes[1:, 0] += shift
            results.write(sequence, Track(boxes, [0.01 * (number + 1)] * (len(boxes) - 1), 0.1))
        trackers.append(score_tracker(name, results, dataset))
    return dataset, trackers


def test_the_page_needs_no_other_file_and_no_network(scored, tmp_path):
    for name in ("report.html", "again.html"):
        write_report(tmp_path / name, *scored)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "report.html").read_bytes()
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert len(page.loaded) >= 5 + 2 * 6  # plots, and six frames of two sequences
    assert all(value.startswith("data:image/") for value in page.loaded)
    assert not re.search(r"url\(|@import|<script", text)
    assert page.headings[0] == "Tracker evaluation"
    assert "Worst sequences of exact" in page.headings and "Best sequences of exact" in page.headings


def test_names_are_text_and_tables_in_the_order_of_the_figure(scored, tmp_path):
    write_report(tmp_path / "report.html", *scored)
    text = (tmp_path / "report.html").read_text()
    assert "shifted <b>" not in text
    table = text[text.index("<tbody>") : text.index("</tbody>")]
    assert [table.index(name) for name in ("exact", "shifted &lt;b&gt;", "lost")] == sorted(
        table.index(name) for name in ("exact", "shifted &lt;b&gt;", "lost")
    )
    assert '<td class="best">0.952</td>' in table and "<td>0.810</td>" in table


def test_legends_are_in_the_order_of_the_figure(scored):
    _, trackers = scored
    figures = draw_all(trackers[::-1])
    assert set(figures) == {"success", "precision", "normalised_precision", "speed", "attributes"}
    axes = figures["success"].axes[0]
    labels = [entry.get_text() for entry in axes.get_legend().get_texts()]
    assert labels == ["0.952  exact", "0.810  shifted <b>", "0.000  lost"]
    values = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(values["0.810  shifted <b>"], trackers[1].summary.curves["success"].values)


def test_speed_is_drawn_on_a_logarithmic_axis(scored):
    axes = draw_all(scored[1])["speed"].axes[0]
    assert axes.get_xscale() == "log"
    drawn = sorted(point.get_offsets()[0].tolist() for point in axes.collections)
    assert [x for x, _ in drawn] == pytest.approx([100 / 3, 50, 100])


def test_attributes_have_a_bar_for_each_tracker(scored):
    axes = draw_all(scored[1])["attributes"].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fast motion (2)", "occlusion (1)"]
    assert [[round(bar.get_width(), 3) for bar in bars] for bars in axes.containers][1] == [0.81, 0.81]


def test_plots_are_written_as_files_too(scored, tmp_path):
    figures = draw_all(scored[1])
    for ending in ("png", "svg"):
        write_files(figures, tmp_path / ending, ending)
        names = sorted(path.name for path in (tmp_path / ending).iterdir())
        plots = ("attributes", "normalised_precision", "precision", "speed", "success")
        assert names == [f"{name}.{ending}" for name in plots]
    assert all(path.stat().st_size < 150_000 for path in (tmp_path / "png").iterdir())
    assert "<dc:date>" not in (tmp_path / "svg" / "success.svg").read_text()


def test_the_command_writes_page_and_plots(sequences, tmp_path):
    where = ["--root", str(sequences), "--tracker", "mil", "--out", str(tmp_path / "out")]
    run = CliRunner().invoke(app, ["eval", "run", *where])
    assert run.exit_code == 0, run.output
    page, plots = tmp_path / "report.html", tmp_path / "plots"
    options = ["--out", str(page), "--plots", str(plots), "--title", "Mine"]
    done = CliRunner().invoke(app, ["eval", "report", str(tmp_path / "out"), *options])
    assert done.exit_code == 0, done.output
    assert len(list(plots.glob("*.png"))) == 4
    text = page.read_text()
    assert "<h1>Mine</h1>" in text
    assert f"opencv {cv2.__version__}" in text and "3 sequences, 1 at a time" in text
    assert str(tmp_path) not in text  # a page that is passed on names no folder of this machine


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"focus": "nobody"}, "no tracker 'nobody' among these results: exact, shifted <b>, lost"),
        ({"plots": "plots", "ending": "gif"}, "png or svg, not 'gif'"),
    ],
)
def test_mistakes_are_said(scored, tmp_path, options, reason):
    if "plots" in options:
        options = {**options, "plots": tmp_path / options["plots"]}
    with pytest.raises(ValueError, match=re.escape(reason)):
        write_report(tmp_path / "report.html", *scored, **options)
    with pytest.raises(ValueError, match=r"a page, \.html, not"):
        write_report(tmp_path / "report.pdf", *scored)


def test_a_sparkline_spans_zero_to_one_and_breaks_where_frames_do_not_count():
    path = re.findall(r'<path d="([^"]*)"', sparkline(np.array([1.0, 0.0, np.nan, 0.5]), "#000"))[0]
    assert path == "M0.0 1.0L40.0 21.0M120.0 11.0"


def test_a_long_sequence_is_averaged_in_its_sparkline():
    path = re.findall(r'<path d="([^"]*)"', sparkline(np.tile([0.0, 1.0], 300), "#000"))[0]
    assert path.count("L") == 59
    assert all(height == "11.0" for height in re.findall(r" ([\d.]+)", path))


def test_frames_show_the_boxes_in_the_colours_of_the_page(scored):
    dataset, trackers = scored
    sequence = dataset.sequences[0]
    drawn = draw_frame(sequence, 7, trackers)
    assert drawn.shape[1] == TILE_WIDTH
    scale = TILE_WIDTH / 160
    x, y, _, h = sequence.truth[7]
    row = round((y + h / 2) * scale)
    shifted = drawn[row, round((x + 3) * scale)]
    assert shifted[::-1].tolist() == [int(colour_of(1)[i : i + 2], 16) for i in (1, 3, 5)]


def test_tiles_end_with_the_last_frame_and_small_targets_are_magnified(scored):
    dataset, trackers = scored
    sequence = dataset.sequences[0]
    assert [tile.number for tile in tiles(sequence, trackers)] == [2, 3, 5, 6, 7, 8]
    tiny = sequence.truth.copy()
    tiny[:, 2:] = 5
    small = type(sequence)(sequence.name, sequence.images, tiny)
    plain, magnified = draw_frame(sequence, 7, []), draw_frame(small, 7, [])
    corner = (slice(-100, -10), slice(10, 100))
    image = cv2.resize(cv2.imread(str(sequence.images[7])), plain.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    right = (slice(-100, -10), slice(-100, -10))
    assert np.array_equal(plain[corner], image[corner]) and np.array_equal(plain[right], image[right])
    assert not (np.array_equal(magnified[corner], image[corner]) and np.array_equal(magnified[right], image[right]))
