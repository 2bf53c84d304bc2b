"""What the graphs of a model say of themselves, and whether they are those that its JSON file describes."""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path

from stif_core.model.config import StifConfig
from stif_core.weights import LARGEST_WEIGHTS, ModelFiles, check_size


def graph_file(path: Path) -> Path:
    """The path, when a graph may be there. Raises ValueError for a missing, empty or much too large file."""
    if not path.is_file():
        raise ValueError(f"no ONNX file {path}: write it with 'stif export'")
    check_size(path, LARGEST_WEIGHTS)
    return path


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file.

    Raises:
        ValueError: The file is missing or damaged.
    """
    import onnxruntime  # here: the command line must not load it for --help

    graph_file(path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each kind of damage
        raise ValueError(f"cannot read {path}: {error}") from None
    return session.get_modelmeta().custom_metadata_map


def config_hash(config: StifConfig) -> str:
    """Of everything that fixes a network's arithmetic, where it is not the default: graphs outlive new switches."""
    chosen = {field.name: value for field in fields(config) if (value := getattr(config, field.name)) != field.default}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]


def check_graphs(files: ModelFiles) -> None:
    """Checks that the graphs are those of the model's JSON file, in the precision that their names say.

    Raises:
        ValueError: A file is missing or damaged, is of an older version that had other graphs, or belongs to another
            configuration or precision; says what to do.
    """
    expected = {"config_hash": config_hash(files.config()), "precision": files.precision}
    for name, path in files.graphs.items():
        metadata = read_metadata(path)
        if metadata.get("function") != name:
            raise ValueError(
                f"{path} is not the graph '{name}' that this version runs: write {', '.join(files.graphs)} "
                "(again) with 'stif export'"
            )
        for key, value in expected.items():
            if metadata.get(key) != value:
                raise ValueError(
                    f"{path} has {key} {metadata.get(key, 'unknown')}, {files.json} asks for {value}: "
                    "write the graphs again with 'stif export'"
                )


def tracking_batch(files: ModelFiles) -> int | None:
    """1 for graphs that take one crop at a time, None for those that take any number.

    Raises:
        ValueError: They were exported for several crops at a time alone.
    """
    batches = set()
    for path in files.graphs.values():
        batch = read_metadata(path).get("batch", "dynamic")
        if batch not in ("dynamic", "1"):
            raise ValueError(
                f"{path} takes {batch} crops at a time, a tracker gives one: export it with --batch dynamic or 1"
            )
        batches.add(batch)
    return 1 if "1" in batches else None


@dataclass(frozen=True)
class Costs:
    """Of one crop: multiply-accumulates, numbers that layers put out, parameters."""

    multiply_accumulates: int
    activations: int
    parameters: int


def graph_costs(files: ModelFiles) -> dict[str, Costs]:
    """What one run of each function costs, as the graphs' metadata say.

    Raises:
        ValueError: A file is missing, damaged, or was written before graphs held this.
    """
    costs = {}
    for name, path in files.graphs.items():
        metadata = read_metadata(path)
        try:
            costs[name] = Costs(**{field.name: int(metadata[field.name]) for field in fields(Costs)})
        except KeyError:
            raise ValueError(f"{path} does not say what it costs: write it again with 'stif export'") from None
    return costs
