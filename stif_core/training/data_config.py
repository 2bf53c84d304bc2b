"""The section ``data`` of training configurations, for commands that look at the data without training on it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from stif_core.data.datasets import FOLDER_PARTS, READERS, read_data
from stif_core.data.samples import SampleDataset
from stif_core.data.sources import TrackSource
from stif_core.data.track_index import TrackIndex
from stif_core.model.config import NANO
from stif_core.training.data_module import TrackingDataModule

CROP_SIZE = "model.network.crop_size"


@dataclass
class ReadData:
    """Data sets that could be read, by name, and what is wrong with the others."""

    indices: dict[str, TrackIndex] = field(default_factory=dict)
    sources: dict[str, TrackSource] = field(default_factory=dict)  # of those with a box to draw
    backgrounds: list[Path] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


def load_data_module(arguments: list[str]) -> TrackingDataModule:
    """The data module that training would make of these arguments; reads no data yet.

    Args:
        arguments: YAML files, of which later ones win, and options such as ``--data.roots.folder DIR``, which win over
            the files. Sections of the files other than ``data`` are ignored, except for the network's crop size.

    Raises:
        ValueError: A file or the list of validation clips cannot be read, or a key or a value is wrong.
    """
    files, options = _split(arguments)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(TrackingDataModule, "data")
    parser.add_argument(f"--{CROP_SIZE}", type=int, default=NANO.crop_size)
    parser.link_arguments(CROP_SIZE, "data.crop_size")
    sections = [item for file in files for item in ("--config", _data_section(Path(file)))]
    try:
        config = parser.parse_args([*sections, *options])
    except ArgumentError as error:
        raise ValueError(" ".join(str(error).split())) from None
    # The older name warns since 4.49, the newer one is not there before.
    instantiate: Callable[[Any], Any] = getattr(parser, "instantiate", None) or parser.instantiate_classes
    module: TrackingDataModule = instantiate(config).data
    if unknown := {name: ratio for name, ratio in module.ratios.items() if name not in (*FOLDER_PARTS, *READERS)}:
        read_data(unknown, module.roots, set())  # says what is known
    module.check_shares()
    module.held_out()  # a missing list is a mistake here, not a broken data set
    return module


def read_each(module: TrackingDataModule, advance: Callable[[], None] = lambda: None) -> ReadData:
    """Reads the data sets one by one, so that a broken one does not hide the others."""
    held_out = module.held_out()
    found = ReadData()
    parts = [name for name in module.ratios if name in FOLDER_PARTS]
    groups = [parts] * bool(parts) + [[name] for name in module.ratios if name not in FOLDER_PARTS]
    for names in groups:
        ratios = {name: module.ratios[name] for name in names}
        try:
            data = read_data(ratios, module.roots, held_out, module.got10k_exclude, module.cache)
        except (ValueError, OSError) as error:
            found.errors[", ".join(names)] = str(error)
            continue
        finally:
            advance()
        found.indices.update(zip(names, data.indices, strict=True))
        found.backgrounds.extend(data.backgrounds)
    for name, index in found.indices.items():
        try:
            found.sources[name] = module.source(index)
        except ValueError as error:
            found.errors[name] = str(error)
    if module.rendered > 0 and not found.errors and not any(source.masked for source in found.sources.values()):
        found.errors["rendered"] = "rendered clips need a data set with masks, such as folder_stills"
    return found


def sample_dataset(module: TrackingDataModule, data: ReadData) -> SampleDataset | None:
    """Training samples of the data sets that could be read; None where nothing can be drawn.

    The same samples as in training if ``data`` has no errors.
    """
    names = [name for name in module.ratios if name in data.sources]
    sources = [data.sources[name] for name in names]
    ratios = [module.ratios[name] for name in names]
    rendered = module.rendered if any(source.masked for source in sources) else 0.0
    if sum(ratios) + rendered <= 0:
        return None
    return module.samples(sources, ratios, rendered, data.backgrounds)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Files, and options with their values."""
    files, options = [], []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            files.append(argument)
            continue
        options.append(argument)
        if "=" not in argument:
            options.extend(value for value in [next(rest, None)] if value is not None)
    return files, options


def _data_section(path: Path) -> str:
    """What concerns the data in a training configuration, as YAML."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no training configuration: expected sections such as data: and model:")
    kept: dict[str, Any] = {key: value for key, value in content.items() if key == "data"}
    network = content.get("model")
    network = network.get("network") if isinstance(network, dict) else None
    if isinstance(network, dict) and "crop_size" in network:
        kept["model"] = {"network": {"crop_size": network["crop_size"]}}
    return yaml.safe_dump(kept)
