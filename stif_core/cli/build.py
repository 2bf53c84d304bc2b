"""``stif build``: TensorRT engines of an exported model."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stif_core.cli.common import messages, progress_bar, user_errors
from stif_core.runtime.engine.builder import BuildOptions, build_engine, engine_key
from stif_core.runtime.engine.cache import cached_engine
from stif_core.runtime.engine.cuda import current_gpu, load_cuda
from stif_core.runtime.engine.engine_file import Engine
from stif_core.runtime.engine.graph import Graph, read_graphs
from stif_core.runtime.engine.library import TensorRt, find_library
from stif_core.runtime.engine.targets import Target, parse_targets, target_of
from stif_core.weights import PRECISIONS, ModelFiles, find_model

PERCENT = 100


def build(
    model: Annotated[
        str, typer.Argument(metavar="DIR", help="Folder that `stif export` wrote, or a model's JSON file.")
    ],
    target: Annotated[
        str | None,
        typer.Option(help="Compute capabilities to build for, SM86,SM89 (TensorRT-RTX); default: the GPU at hand."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help=f"Of the graphs to build: {','.join(PRECISIONS)}; default: all that the folder has."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Crops that the engines take at once; the node takes 1.")] = 1,
    workspace: Annotated[
        int | None, typer.Option(min=1, metavar="MB", help="Memory for the work of one layer; default: TensorRT's.")
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(help="File of measured kernels, read and extended: later builds are quicker.")
    ] = None,
    optimization_level: Annotated[
        int | None, typer.Option(min=0, max=5, help="0: quick build, 5: fast engine; default: TensorRT's.")
    ] = None,
) -> None:
    """Builds the TensorRT engines of a model for each target, into its folder, or the user's cache if it must."""
    with user_errors():
        models = exported_models(model, precision)
        graphs = [graph for files in models for graph in read_graphs(files)]
        # Only TensorRT-RTX builds for a GPU that is not there; where it is missing, parse_targets says so.
        library = _library_for_targets() if target else find_library()
        targets = parse_targets(target, library) if target else [_target_at_hand(library)]
        options = BuildOptions(batch, workspace, optimization_level, timing_cache)

        title = f"{models[0].name}, batch {batch}, {library.flavour} {library.version}"
        table = Table("target", "precision", "file", "MB", "seconds", title=title)
        folders = []
        with progress_bar("building", PERCENT * len(targets) * len(graphs)) as advance:
            for goal in targets:
                for graph in graphs:
                    path, seconds = _build(library, graph, goal, options, advance)
                    size = path.stat().st_size / 1e6
                    table.add_row(goal.gpu or goal.name, graph.precision, path.name, f"{size:.1f}", f"{seconds:.1f}")
                    folders.append(path.parent)
        Console(width=max(Console().width, 100)).print(table)
        for folder in dict.fromkeys(folders):
            print(folder)


def _build(
    library: TensorRt, graph: Graph, target: Target, options: BuildOptions, advance: Callable[[], None]
) -> tuple[Path, float]:
    """Builds one engine anew; its file, and how many seconds building took. Raises ValueError."""
    shown, seconds = 0, 0.0

    def report(share: float) -> None:
        nonlocal shown
        for _ in range(shown, int(share * PERCENT)):
            advance()
        shown = int(share * PERCENT)

    def timed() -> Engine:
        nonlocal seconds
        start = time.perf_counter()
        engine = build_engine(library, graph, target, options, report)
        seconds = time.perf_counter() - start
        return engine

    key = engine_key(library, graph, target, options.batch)
    engine = cached_engine(key, graph.path.parent, timed, _say, rebuild=True)
    if engine.path is None:
        raise ValueError(f"the engine of {graph.path} has no place to stay: see above")
    return engine.path, seconds


def _say(line: str) -> None:
    messages.print(line, markup=False, highlight=False, soft_wrap=True)


def exported_models(model: str, precisions: str | None) -> list[ModelFiles]:
    """The graphs of one model: of a folder that holds one, of a JSON file, or of the shipped one with this name.

    Args:
        model: Folder, JSON file or name.
        precisions: ``fp32,fp16``; None takes all that are there.

    Raises:
        ValueError: There is no such model or precision, or the folder holds several models.
    """
    found = _model_in(Path(model)) if Path(model).is_dir() else find_model(model)
    names = PRECISIONS if precisions is None else [name.strip() for name in precisions.split(",")]
    for name in names:
        if name not in PRECISIONS:
            raise ValueError(f"unknown precision '{name}': use {', '.join(PRECISIONS)}")
    every = [replace(found, precision=name) for name in dict.fromkeys(names)]
    # Those that were asked for and are missing are an error of read_graphs.
    models = [files for files in every if files.has_graphs] if precisions is None else every
    if not models:
        raise ValueError(f"{found.folder} has no graphs of '{found.name}': write them with 'stif export'")
    return models


def _model_in(folder: Path) -> ModelFiles:
    """The one model of a folder, by its track graphs: NAME.track.onnx, NAME.fp16.track.onnx and so on."""
    stems = [path.name.removesuffix(".track.onnx") for path in folder.glob("*.track.onnx")]
    names = sorted({stem.rsplit(".", 1)[0] if stem.rsplit(".", 1)[-1] in PRECISIONS else stem for stem in stems})
    if not names:
        raise ValueError(f"{folder} holds no model: write one with 'stif export'")
    if len(names) > 1:
        raise ValueError(f"{folder} holds several models: give one of {', '.join(f'{name}.json' for name in names)}")
    return ModelFiles(names[0], folder)


def _library_for_targets() -> TensorRt:
    try:
        return find_library("tensorrt_rtx")
    except ValueError:
        return find_library()


def _target_at_hand(library: TensorRt) -> Target:
    try:
        return target_of(current_gpu(load_cuda()), library)
    except ValueError as error:
        if not library.targets:
            raise
        raise ValueError(f"{error}; to build for a GPU elsewhere: --target {','.join(library.targets)}") from None
