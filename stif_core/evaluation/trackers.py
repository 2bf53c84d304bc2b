"""Which tracker is to be measured: what a command line names, and what its results depend on."""

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2

import stif_core
from stif_core.evaluation.external import ANSWER_SECONDS, ExternalTracker
from stif_core.evaluation.peers import OPENCV_TRACKERS, PEERS
from stif_core.evaluation.run import OURS, BoxTracker, StifBoxes, make_tracker
from stif_core.weights import DEFAULT_MODEL, find_model

# Where the code stands that decides our tracker's boxes, below stif_core/.
DECIDING_CODE = ("crops.py", "geometry.py", "model", "runtime", "tracking")


@dataclass(frozen=True)
class TrackerChoice:
    """A tracker by its name; the same in every process and on every machine.

    Attributes:
        name: Of its folder of results.
        kind: As ``make_tracker`` knows it; empty for a program.
        command: Of a program of its own.
        model, backend, threads, nanotrack: As for ``make_tracker``.
        answer_seconds: As for ``ExternalTracker``.
    """

    name: str
    kind: str = ""
    command: str = ""
    model: str = DEFAULT_MODEL
    backend: str = "auto"
    threads: int = 0
    nanotrack: Path | None = None
    answer_seconds: float = ANSWER_SECONDS

    def make(self) -> BoxTracker:
        """Raises ValueError when the tracker is not there."""
        if self.command:
            return ExternalTracker(self.name, self.command, self.answer_seconds)
        return make_tracker(self.kind, self.model, self.backend, self.threads, self.nanotrack)

    def identity(self, tracker: BoxTracker) -> dict[str, Any]:
        """What the boxes of this tracker depend on; results of two identities are not to be mixed."""
        if self.command:
            return {"kind": "program", "command": self.command}
        if isinstance(tracker, StifBoxes):
            backend = tracker.tracker.backend
            files = replace(find_model(self.model), precision=backend.precision)
            networks = [files.weights] if backend.name == "torch" else list(files.graphs.values())
            return {
                "kind": self.kind,
                "model": files.name,
                "model_sha256": _digest(networks),
                "backend": backend.name,
                "precision": backend.precision,
                "settings": asdict(tracker.tracker.settings),
                "code_sha256": _digest(_sources()),
            }
        if self.kind in OPENCV_TRACKERS:
            return {"kind": self.kind, "opencv": cv2.__version__}
        assert self.nanotrack is not None
        from stif_core.evaluation import nanotrack

        files_of_it = [self.nanotrack / name for name in (nanotrack.BACKBONE, nanotrack.HEAD)]
        return {
            "kind": self.kind,
            "model_sha256": _digest(files_of_it),
            "code_sha256": _digest([Path(nanotrack.__file__)]),
        }


def choose(text: str, **settings: Any) -> TrackerChoice:
    """A choice from ``KIND``, ``NAME=KIND`` or ``NAME=COMMAND``.

    Raises:
        ValueError: NAME cannot name a folder.
    """
    name, equals, rest = text.partition("=")
    if not equals or not re.fullmatch(r"\s*[\w.+-]+\s*", name):
        if not re.fullmatch(r"[\w.+-]+", text):
            raise ValueError(f"tracker '{text}': a program needs a name for its results, NAME=COMMAND")
        return TrackerChoice(text, text, **settings)
    name, rest = name.strip(), rest.strip()
    if name.startswith(".") or not rest:
        raise ValueError(f"tracker '{text}': expected NAME=COMMAND, NAME made of letters, digits and _ + - .")
    if rest in (*OURS, *PEERS):
        return TrackerChoice(name, rest, **settings)
    return TrackerChoice(name, command=rest, **settings)


@functools.lru_cache(maxsize=4)
def made(choice: TrackerChoice) -> tuple[BoxTracker, dict[str, Any]]:
    """The tracker of this process, and its identity."""
    tracker = choice.make()
    return tracker, choice.identity(tracker)


def _sources() -> list[Path]:
    paths = [Path(stif_core.__file__).parent / part for part in DECIDING_CODE]
    return sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py")))


def _digest(files: Iterable[Path]) -> str:
    """SHA-256 over the files' names and content, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]
