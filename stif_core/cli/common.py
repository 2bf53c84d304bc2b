"""What the commands share: errors in one line, progress bars, options with the same meaning everywhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stif_core.runtime.backend import BACKENDS
from stif_core.weights import PRECISIONS

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
messages = Console(stderr=True)

Model = Annotated[str, typer.Option(help="Name of a shipped model, or path of a model's JSON file.")]
BackendName = Annotated[
    str, typer.Option(help=f"auto, {', '.join(BACKENDS)}; with a precision: NAME:{', NAME:'.join(PRECISIONS)}.")
]
Threads = Annotated[
    int, typer.Option(min=0, help="CPU threads of one inference; 0: a core is left to others, four at most.")
]


@contextmanager
def user_errors() -> Iterator[None]:
    """Turns what a user can mend into one line and exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        messages.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


@contextmanager
def extra_train(command: str) -> Iterator[None]:
    """Says what to install when an import inside finds no package of the extra [train]."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ValueError(f"{command} needs {error.name}: pip install 'stif_core[train]'") from None


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A bar on standard error; yields a function that advances it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


def parse_box(text: str) -> tuple[float, float, float, float]:
    """``x,y,w,h`` as four numbers. Raises ValueError."""
    try:
        x, y, w, h = (float(value) for value in text.split(","))
    except ValueError:
        raise ValueError(f"--box expects x,y,w,h, four numbers, got '{text}'") from None
    return x, y, w, h
