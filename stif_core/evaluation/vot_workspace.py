"""Files for the VOT toolkit: how our tracker is started, and a workspace of sequences that lie on this machine."""

import configparser
import importlib.util
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import stif_core
from stif_core.evaluation.sequences import Sequence as ImageSequence
from stif_core.geometry import FloatArray

REGISTRY = "trackers.ini"
CONFIG = "stack: ./stack.yaml\nregistry:\n- ./trackers.ini\n"
# The experiments of VOT-ST2018 and VOT-LT2018: tracking anew five frames after a failure, the same with frames that do
# not wait, one pass without help, precision and recall over our confidence. Repetitions: one, our runs are all equal.
STACK = """title: Sequences of this machine
experiments:
  baseline:
    type: supervised
    repetitions: 1
    skip_initialize: 5
    analyses:
      - type: supervised_average_ar
        sensitivity: 30
  realtime:
    type: supervised
    realtime:
      grace: 3
    repetitions: 1
    skip_initialize: 5
    analyses:
      - type: supervised_average_ar
        sensitivity: 30
  unsupervised:
    type: unsupervised
    repetitions: 1
    analyses:
      - type: average_accuracy
        name: accuracy
  longterm:
    type: unsupervised
    repetitions: 1
    analyses:
      - type: average_tpr
        name: average_tpr
      - type: pr_curve
      - type: f_curve
"""


def register_tracker(folder: Path, name: str, arguments: Sequence[str]) -> None:
    """Adds our tracker to ``trackers.ini`` in a folder, to be run by the Python that runs now.

    Args:
        folder: The toolkit's workspace.
        name: The tracker's identifier there.
        arguments: For ``python -m stif_core.evaluation.vot``.

    Raises:
        ValueError: vot-trax is not installed, the file cannot be read, or it has a tracker of this name.
    """
    if importlib.util.find_spec("trax") is None:
        raise ValueError(f"the toolkit needs vot-trax beside our tracker: {sys.executable} -m pip install vot-trax")
    path = folder / REGISTRY
    registry = configparser.ConfigParser(interpolation=None)
    try:
        registry.read(path)
    except configparser.Error as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from error
    if name in registry:
        raise ValueError(f"{path} has a tracker [{name}] already: remove it, or choose another with --name")
    command = shlex.join([sys.executable, "-m", "stif_core.evaluation.vot", *arguments])
    section = (
        f"[{name}]\n"
        f"label = {name}\n"
        "protocol = trax\n"
        # The toolkit's ConfigParser takes % for an interpolation.
        f"command = {command.replace('%', '%%')}\n"
        f"env_pythonpath = {str(Path(stif_core.__file__).parents[1]).replace('%', '%%')}\n"
    )
    before = path.read_text() if path.is_file() else ""
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(before + ("\n" if before.strip() else "") + section)


def write_workspace(
    folder: Path, sequences: Sequence[ImageSequence], advance: Callable[[], None] = lambda: None
) -> None:
    """A workspace with a stack of experiments and these sequences; the images are linked, not copied.

    Raises:
        ValueError: The folder holds a workspace already, or a sequence cannot be scored.
    """
    if (folder / "config.yaml").exists():
        raise ValueError(f"{folder} holds a workspace of the toolkit already: choose a folder that does not")
    for sequence in sequences:
        _check(sequence)
    for sequence in sequences:
        _write_sequence(folder / "sequences" / sequence.name, sequence)
        advance()
    (folder / "sequences" / "list.txt").write_text("".join(f"{sequence.name}\n" for sequence in sequences))
    (folder / "stack.yaml").write_text(STACK)
    (folder / "config.yaml").write_text(CONFIG)


def _check(sequence: ImageSequence) -> None:
    if not sequence.has_truth:
        raise ValueError(f"{sequence.name}: {len(sequence.images)} images but {len(sequence.truth)} true boxes")
    if sequence.canvas is not None:
        raise ValueError(f"{sequence.name}: its images differ in size, the toolkit wants one size")
    if len({image.suffix for image in sequence.images}) > 1:
        raise ValueError(f"{sequence.name}: its images have several endings, the toolkit wants one")


def _write_sequence(folder: Path, sequence: ImageSequence) -> None:
    color = folder / "color"
    color.mkdir(parents=True)
    ending = sequence.images[0].suffix
    for number, image in enumerate(sequence.images, 1):
        (color / f"{number:08d}{ending}").symlink_to(image.resolve())
    (folder / "groundtruth.txt").write_text("".join(map(_line, sequence.truth)))
    (folder / "sequence").write_text(f"name={sequence.name}\nfps=30\nchannels.color=color/%08d{ending}\n")


def _line(box: FloatArray) -> str:
    """A line of the toolkit's ground truth; NaN where the target is absent."""
    return ",".join(f"{value:.3f}" for value in box) + "\n"
