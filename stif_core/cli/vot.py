"""``stif eval vot-init``: our tracker in the VOT toolkit."""

from pathlib import Path
from typing import Annotated

import typer

from stif_core.cli.common import BackendName, Model, Threads, messages, progress_bar, user_errors
from stif_core.weights import DEFAULT_MODEL


def vot_init(
    folder: Annotated[Path, typer.Argument(help="Workspace of the toolkit; with --root a new one.")],
    root: Annotated[
        Path | None, typer.Option(help="Sequences to make a workspace of; left out: trackers.ini alone.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Kind of data set at --root; docs/evaluation.md lists them.")] = "folder",
    name: Annotated[str, typer.Option(help="Our tracker's identifier in the toolkit.")] = "stif",
    model: Model = DEFAULT_MODEL,
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """Registers our tracker with the VOT toolkit, and makes a workspace of sequences on this machine."""
    from stif_core.evaluation.datasets import read_dataset
    from stif_core.evaluation.vot_workspace import register_tracker, write_workspace
    from stif_core.weights import find_model

    with user_errors():
        find_model(model)
        # The toolkit starts the tracker in another folder.
        where = str(Path(model).resolve()) if Path(model).is_file() else model
        arguments = ["--model", where, "--backend", backend, "--threads", str(threads)]
        if root is not None:
            sequences = read_dataset(dataset, root).sequences
            with progress_bar("sequences", len(sequences)) as advance:
                write_workspace(folder, sequences, advance)
        register_tracker(folder, name, arguments)
    messages.print(f"vot evaluate --workspace {folder} {name}", highlight=False, soft_wrap=True)
