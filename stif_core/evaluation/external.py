"""A tracker that is a program of its own, spoken to over its standard input and output.

We write a line for each image, the program answers each with a line (docs/evaluation_runs.md):

    PATH <tab> x,y,w,h        a new target; the answer is ok
    PATH                      the next image; the answer is x,y,w,h or x,y,w,h,confidence or x,y,w,h,confidence,STATE

The program stays alive from sequence to sequence; its standard input is closed at the end.
"""

import contextlib
import math
import queue
import shlex
import subprocess
import tempfile
import threading
import weakref
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike

from stif_core.geometry import FloatArray

ANSWER_SECONDS = 60.0


class ExternalTracker:
    """A ``BoxTracker`` that takes paths in place of decoded images.

    Args:
        name: For messages.
        command: As in a shell, without its expansions.
        answer_seconds: How long to wait for an answer.

    Raises:
        ValueError: The program cannot be started; later: it ends, gives no answer in time, or none that can be read.
    """

    def __init__(self, name: str, command: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._name = name
        self._answer_seconds = answer_seconds
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115, open as long as the program
        self.confidence = math.nan
        self.state = ""
        self._sure: bool | None = None  # whether its boxes come with a confidence; None before the first
        try:
            self._process = subprocess.Popen(
                shlex.split(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                bufsize=1,
            )
        except (OSError, ValueError, IndexError) as error:
            raise ValueError(f"tracker '{name}': cannot start '{command}': {error}") from None
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read_lines, args=(self._process.stdout, self._lines), daemon=True).start()
        self._finalizer = weakref.finalize(self, _stop, self._process)

    def init(self, image: Any, box: ArrayLike) -> None:
        self.confidence, self.state = math.nan, ""
        x, y, w, h = np.asarray(box, np.float64).tolist()
        answer = self._ask(image, f"{image}\t{x:.10g},{y:.10g},{w:.10g},{h:.10g}")
        if answer != "ok":  # anything else, and all boxes to come might be those of the image before
            raise ValueError(f"tracker '{self._name}' answered '{answer}' for a new target in {image}, expected ok")

    def track(self, image: Any) -> FloatArray:
        """The box xywh in this image; NaN when the program says so."""
        answer = self._ask(image, str(image))
        values = answer.split(",")
        try:
            numbers = [float(value) for value in values[:5]]
        except ValueError:
            numbers = []
        if len(numbers) < 4 or len(values) > 6:
            raise ValueError(
                f"tracker '{self._name}' answered '{answer}' for {image}, expected x,y,w,h[,confidence[,STATE]]"
            )
        self.confidence = numbers[4] if len(numbers) > 4 else math.nan
        self.state = values[5].strip() if len(values) > 5 else ""
        box = np.array(numbers[:4])
        if not np.isnan(box).any():
            self._check_confidence(answer, image)
        return box

    def _check_confidence(self, answer: str, image: Any) -> None:
        """Figures over the confidence need one of every box, or of none."""
        sure = not math.isnan(self.confidence)
        if self._sure is None:
            self._sure = sure
        if sure != self._sure:
            raise ValueError(
                f"tracker '{self._name}' answered '{answer}' for {image}, but its boxes before came "
                f"{'with' if self._sure else 'without'} a confidence: give one with every box, or with none"
            )

    def _ask(self, image: Any, line: str) -> str:
        path = str(image)
        if "\n" in path or "\t" in path:
            raise ValueError(f"tracker '{self._name}': the path {path!r} holds a tab or a line break")
        if not self._lines.empty() and (unasked := self._lines.get()):
            raise ValueError(f"tracker '{self._name}' said '{unasked.strip()}' unasked, before {image}")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._lines.get(timeout=self._answer_seconds)
        except queue.Empty:
            self._finalizer()
            raise ValueError(
                f"tracker '{self._name}' gave no answer within {self._answer_seconds:g} s for {image}"
            ) from None
        except (OSError, ValueError):  # its standard input is closed
            answer = ""
        if not answer:
            raise ValueError(f"tracker '{self._name}' ended at {image}: {self._last_words()}")
        return answer.strip()

    def _last_words(self) -> str:
        self._finalizer()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return f"exit code {self._process.returncode}, {lines[-1] if lines else 'nothing on its standard error'}"


def _read_lines(stream: IO[str], lines: "queue.Queue[str]") -> None:
    """Hands on every line, and an empty one at the end."""
    for line in stream:
        lines.put(line)
    lines.put("")


def _stop(process: "subprocess.Popen[Any]") -> None:
    """Closes its input, and kills a program that does not end by itself."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
