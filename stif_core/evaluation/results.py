"""Files of results, in the community's formats: ``RESULTS/TRACKER/SEQUENCE.txt`` with a box ``x,y,w,h`` a line.

Boxes are written in the coordinates of the data set's own files, as the benchmarks' toolkits read them. Beside them
stand ``times/SEQUENCE_time.txt`` (seconds of each frame), and where the tracker gives them
``confidence/SEQUENCE_confidence.txt`` and ``states/SEQUENCE_state.txt``; ``run.json`` says what made them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stif_core.evaluation.run import Track
from stif_core.evaluation.sequences import Sequence, read_boxes
from stif_core.files import write_whole

RUN_FILE = "run.json"
# Whole and quarter pixels stay as short as they are, and no threshold falls between a number and what was written.
DIGITS = "%.10g"
FIRST_BOX_TOLERANCE = 0.01  # pixels by which the first box may differ from the truth: others round


@dataclass(frozen=True)
class TrackerResults:
    """The results of one tracker: a folder."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def box_file(self, sequence: str) -> Path:
        return self.folder / f"{sequence}.txt"

    def time_file(self, sequence: str) -> Path:
        return self.folder / "times" / f"{sequence}_time.txt"

    def confidence_file(self, sequence: str) -> Path:
        return self.folder / "confidence" / f"{sequence}_confidence.txt"

    def state_file(self, sequence: str) -> Path:
        return self.folder / "states" / f"{sequence}_state.txt"

    def finished(self, sequence: str) -> bool:
        return self.box_file(sequence).is_file()

    def any_finished(self) -> bool:
        return any(self.folder.glob("[!.]*.txt"))

    def write(self, sequence: Sequence, track: Track) -> None:
        """The boxes come last and at once: where they stand, everything of the sequence stands."""
        write_text(self.time_file(sequence.name), _lines([track.initial_seconds, *track.seconds], "%.6f"))
        if track.confidence is not None:
            write_text(self.confidence_file(sequence.name), _lines(track.confidence, "%.6f"))
        if track.states is not None:
            write_text(self.state_file(sequence.name), "".join(f"{state}\n" for state in track.states))
        write_text(self.box_file(sequence.name), _lines(sequence.as_in_files(track.boxes), DIGITS))

    def read(self, sequence: Sequence) -> Track:
        """The track of a sequence, N frames; without times, confidence or states where they are not there.

        Raises:
            ValueError: A file is missing or broken, or belongs to another sequence; names it.
        """
        path, count = self.box_file(sequence.name), len(sequence.images)
        boxes = read_boxes(path) - (sequence.origin, sequence.origin, 0, 0)
        if len(boxes) != count:
            raise ValueError(f"{path} holds {len(boxes)} boxes, but the sequence has {count} images")
        if not np.allclose(boxes[0], sequence.truth[0], atol=FIRST_BOX_TOLERANCE):
            raise ValueError(
                f"{path} starts with the box {boxes[0].tolist()}, but the sequence with {sequence.truth[0].tolist()}: "
                "these are results of something else"
            )
        times = _numbers(self.time_file(sequence.name), count)
        seconds = [np.nan] * count if times is None else times.tolist()
        states = self.state_file(sequence.name)
        return Track(
            boxes,
            seconds[1:],
            seconds[0],
            _numbers(self.confidence_file(sequence.name), count),
            states.read_text().splitlines() if states.is_file() else None,
        )

    def description(self) -> dict[str, Any]:
        """What ``run.json`` says, empty where there is none. Raises ValueError when it is broken."""
        path = self.folder / RUN_FILE
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not valid JSON: {error}") from None
        if not isinstance(content, dict):
            raise ValueError(f"{path} holds no JSON object: it is not the description of a run")
        return content

    def write_description(self, content: dict[str, Any]) -> None:
        write_text(self.folder / RUN_FILE, json.dumps(content, indent=2) + "\n")


def find_results(paths: list[Path]) -> dict[str, TrackerResults]:
    """Trackers by name in these folders: each the folder of one tracker, or of several.

    Two of one name are told apart by the folder above them.

    Raises:
        ValueError: A folder holds no results, or is given twice.
    """
    found: list[Path] = []
    for path in paths:
        folders = [path] if _holds_results(path) else sorted(p for p in path.glob("*") if _holds_results(p))
        if not folders:
            raise ValueError(f"no results in {path}: expected {RUN_FILE} or SEQUENCE.txt in it or in folders below it")
        found += [folder.resolve() for folder in folders]
    if twice := next((folder for folder in found if found.count(folder) > 1), None):
        raise ValueError(f"the results {twice} are given twice")
    names = [folder.name for folder in found]
    return {
        f"{folder.parent.name}/{folder.name}" if names.count(folder.name) > 1 else folder.name: TrackerResults(folder)
        for folder in found
    }


def write_text(path: Path, text: str) -> None:
    """Writes a whole file or nothing, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())


def _holds_results(folder: Path) -> bool:
    return (folder / RUN_FILE).is_file() or TrackerResults(folder).any_finished()


def _lines(rows: ArrayLike, form: str) -> str:
    rows = np.asarray(rows, np.float64)
    return "".join(",".join(form % value for value in row) + "\n" for row in rows.reshape(len(rows), -1))


def _numbers(path: Path, count: int) -> np.ndarray | None:
    """A number a line, (count,); None without the file. Raises ValueError."""
    if not path.is_file():
        return None
    try:
        numbers = np.array([float(line) for line in path.read_text().splitlines()])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if len(numbers) != count:
        raise ValueError(f"{path} holds {len(numbers)} numbers, but the sequence has {count} images")
    return numbers
