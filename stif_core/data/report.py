"""What the indices of data sets hold, what is broken in them, and pictures of the samples drawn from them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stif_core.data.images import Image
from stif_core.data.planner import SampleSettings
from stif_core.data.samples import Sample, SampleDataset
from stif_core.data.track_index import TrackIndex
from stif_core.geometry import check_target_box
from stif_core.io.drawing import contact_sheet, draw_box
from stif_core.io.source import read_frame

RENDERED = "rendered"  # name of what is drawn from no single data set
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")  # of a sheet
SHEET_WIDTH, TILE, GAP, CAPTION = 1600, 192, 8, 20  # pixels; a tile is one crop
SCANNED = 20_000  # sample indices among which those of a rare data set are looked for
# BGR
MEMORY_COLOUR, PRESENT_COLOUR, ABSENT_COLOUR = (0, 220, 255), (0, 255, 0), (0, 0, 255)


@dataclass(frozen=True)
class IndexSummary:
    """How much an index holds; videos have more than one frame, stills have one."""

    videos: int
    stills: int
    tracks: int
    frames: int
    boxes: int
    too_small: int  # boxes that are never drawn, see ``SampleSettings.smallest_side``
    too_elongated: int  # of the others those beyond ``SampleSettings.largest_aspect``


class Drawn(NamedTuple):
    """A training sample, its number, and what it was drawn from."""

    number: int
    source: str
    sample: Sample


def summarise(index: TrackIndex, sampling: SampleSettings) -> IndexSummary:
    lengths = np.diff(index.video_frames, axis=1)
    shorter, longer = index.boxes[:, 2:].min(axis=1), index.boxes[:, 2:].max(axis=1)
    small = shorter < sampling.smallest_side
    elongated = longer > sampling.largest_aspect * shorter
    return IndexSummary(
        videos=int((lengths > 1).sum()),
        stills=int((lengths == 1).sum()),
        tracks=len(index.track_rows),
        frames=len(index.frames),
        boxes=len(index.boxes),
        too_small=int(small.sum()),
        too_elongated=int((elongated & ~small).sum()),
    )


# -- what is broken


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """At most ``wanted`` of the numbers below ``count``, evenly spread from first to last; all of them if it is 0."""
    if wanted == 0 or wanted >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, wanted).round().astype(np.int64)


def index_problems(index: TrackIndex, frames: NDArray[np.int64], advance: Callable[[], None]) -> Iterator[str]:
    """Masks that are missing anywhere; and of the images of ``frames``, those that cannot be read, masks that do not
    fit, and boxes that lie outside.
    """
    if index.masks is not None:
        for frame in np.flatnonzero(index.masks != b"").tolist():
            mask = index.mask_path(frame)
            if mask is not None and not mask.is_file():
                yield f"{_unreadable(mask)}: no such file, the mask of {index.path(frame)}"
    rows = np.flatnonzero(np.isin(index.row_frame, frames))
    rows = rows[np.argsort(index.row_frame[rows], kind="stable")]
    firsts = np.searchsorted(index.row_frame[rows], [frames, frames + 1])
    for frame, first, end in zip(frames.tolist(), *firsts, strict=True):
        path, mask = index.path(frame), index.mask_path(frame)
        try:
            height, width = read_whole(path).shape[:2]
            for box in index.boxes[rows[first:end]]:
                yield from _box_problem(path, box, width, height)
            if mask is not None and mask.is_file() and (size := read_whole(mask).shape[:2]) != (height, width):
                yield f"{mask}: the mask has {size[1]}x{size[0]} pixels, its image {width}x{height}"
        except ValueError as error:
            yield str(error)
        advance()


def picture_problems(paths: list[Path], advance: Callable[[], None]) -> Iterator[str]:
    """Those of the images that cannot be read."""
    for path in paths:
        try:
            read_whole(path)
        except ValueError as error:
            yield str(error)
        advance()


def read_whole(path: Path) -> Image:
    """``read_frame`` of an image that is whole; OpenCV fills the rest of a JPEG that is cut short with grey.

    Raises:
        ValueError: The file is missing, cut short or no image.
    """
    if not path.is_file():
        raise ValueError(f"{_unreadable(path)}: no such file")
    content = path.read_bytes()
    # The last scan of a JPEG (after SOS, FF DA) ends with EOI; inside a scan neither pair of bytes can occur.
    if content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xda") > content.rfind(b"\xff\xd9"):
        raise ValueError(f"{_unreadable(path)}: the file is cut short")
    try:
        return read_frame(path)
    except cv2.error as error:
        raise ValueError(f"{_unreadable(path)}: {error.err}") from None


def _unreadable(path: Path) -> str:
    """As ``read_frame`` says it, so that one file is not listed twice."""
    return f"cannot read the image {path}"


def _box_problem(path: Path, box: NDArray[np.float32], width: int, height: int) -> Iterator[str]:
    try:
        check_target_box(box, width, height)
    except ValueError as error:
        yield f"{path}: {error}"


# -- samples


def source_of(dataset: SampleDataset, index: int) -> str:
    """Name of the data set that sample ``index`` is drawn from, or ``RENDERED``."""
    source = dataset.planner.source_of(index)
    return RENDERED if source is None else source.index.name


def first_of_each(dataset: SampleDataset, count: int) -> tuple[list[Drawn], list[str]]:
    """The first ``count`` training samples of every source, ordered by source, and why others could not be drawn."""
    names = [*(source.index.name for source in dataset.planner.sources), RENDERED]
    drawn: dict[str, list[Drawn]] = {
        name: [] for name, share in zip(names, dataset.planner.shares, strict=True) if share > 0
    }
    tries: Counter[str] = Counter()
    errors = []
    for index in range(SCANNED):
        if all(len(samples) == count or tries[name] == 4 * count for name, samples in drawn.items()):
            break
        name = source_of(dataset, index)
        if len(drawn[name]) == count or tries[name] == 4 * count:
            continue
        tries[name] += 1
        try:
            drawn[name].append(Drawn(index, name, dataset.sample(index)))
        except ValueError as error:
            errors.append(str(error))
    return [sample for samples in drawn.values() for sample in samples], errors


def sample_sheet(drawn: list[Drawn]) -> Image:
    """A grid of samples, at most 1600 pixels wide.

    Each shows its memory crops with the target's box in yellow, then the query crop, the box green where the target is
    present and red where it is absent (the box is then that of another object, or of no meaning).
    """
    crops = len(drawn[0].sample.memory) + 1
    tile = min(TILE, (SHEET_WIDTH - GAP) // crops)
    blocks = [_block(item, tile) for item in drawn]
    width = blocks[0].shape[1]
    return contact_sheet(blocks, max(1, min(SHEET_WIDTH // width, len(blocks))), width)


def _block(drawn: Drawn, tile: int) -> Image:
    """The crops of one sample side by side under a caption, with a gap to the right and below."""
    sample = drawn.sample
    colours = [MEMORY_COLOUR] * len(sample.memory) + [PRESENT_COLOUR if sample.present else ABSENT_COLOUR]
    block = np.zeros((CAPTION + tile + GAP, tile * len(colours) + GAP, 3), np.uint8)
    boxes = [*sample.memory_boxes, sample.query_box]
    for i, (crop, box, colour) in enumerate(zip([*sample.memory, sample.query], boxes, colours, strict=True)):
        scale = tile / crop.shape[0]
        shown = cv2.resize(np.ascontiguousarray(crop), (tile, tile), interpolation=cv2.INTER_AREA)
        draw_box(shown, box * scale, colour, 2)
        block[CAPTION : CAPTION + tile, i * tile : (i + 1) * tile] = shown
    text = f"{drawn.source} {drawn.number}, {'present' if sample.present else 'absent'}"
    cv2.putText(block, text, (3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return block


def check_sheet_path(path: Path) -> None:
    """Raises ValueError when no sheet can be written there."""
    if path.suffix.lower() not in IMAGE_ENDINGS:
        raise ValueError(f"cannot write {path}: use the ending {' or '.join(IMAGE_ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.parent}")


def write_sheet(path: Path, drawn: list[Drawn]) -> None:
    """Raises ValueError when it cannot be written."""
    check_sheet_path(path)
    if not cv2.imwrite(str(path), sample_sheet(drawn)):
        raise ValueError(f"cannot write {path}")
