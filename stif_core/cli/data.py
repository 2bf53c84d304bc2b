"""``stif data``: training data checked and drawn."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stif_core.cli.common import extra_train, progress_bar, user_errors

app = typer.Typer(no_args_is_help=True, help="Look at training data.")


# Options that are not known here, such as --data.roots.folder DIR, come with the arguments.
DATA_CONTEXT = {"ignore_unknown_options": True}
DataConfig = Annotated[
    list[str],
    typer.Argument(
        metavar="CONFIG... [--data.KEY VALUE]...",
        help="Training YAML files, of which later ones win; options of their section `data` win over them.",
    ),
]
SheetFile = Annotated[Path, typer.Option(help="Image for the contact sheet: .jpg or .png.")]
PROBLEMS_SHOWN = 20
SAMPLES_EACH = 8  # on the contact sheet of a check


@app.command("check", context_settings=DATA_CONTEXT)
def data_check(
    config: DataConfig,
    out: SheetFile = Path("data_check.png"),
    images: Annotated[int, typer.Option(min=0, help="Images to decode in each data set; 0: all.")] = 500,
) -> None:
    """Counts and checks the data sets of a training, and draws samples; exit code 1 when something is broken."""
    with user_errors():
        with extra_train("data check"):
            from stif_core.data import report
            from stif_core.data.sources import normalised
            from stif_core.training.data_config import load_data_module, read_each, sample_dataset

        module = load_data_module(config)
        report.check_sheet_path(out)
        with progress_bar("reading data sets", None) as advance:
            data = read_each(module, advance)
        problems = [f"{name}: {text}" for name, text in data.errors.items()]
        frames = {name: report.spread(len(index.frames), images) for name, index in data.indices.items()}
        backgrounds = [data.backgrounds[i] for i in report.spread(len(data.backgrounds), images)]
        with progress_bar("checking images", sum(map(len, frames.values())) + len(backgrounds)) as advance:
            for name, index in data.indices.items():
                problems += [f"{name}: {text}" for text in report.index_problems(index, frames[name], advance)]
            problems += [f"backgrounds: {text}" for text in report.picture_problems(backgrounds, advance)]

        columns = ("share", "videos", "stills", "tracks", "frames", "boxes", "too small", "too elongated", "checked")
        table = Table("data set", caption="too small or too elongated: boxes never drawn; checked: images decoded")
        for column in columns:
            table.add_column(column, justify="right")
        shares = normalised([*module.ratios.values(), module.rendered])
        for name, share in zip([*module.ratios, report.RENDERED], shares, strict=True):
            cells = ["" if name == report.RENDERED else "not read"]
            if name in data.indices:
                counts = asdict(report.summarise(data.indices[name], module.sampling)).values()
                cells = [f"{count:,}" for count in (*counts, len(frames[name]))]
            table.add_row(name, f"{share:.3f}", *cells)
        if data.backgrounds:
            table.add_row("backgrounds", *[""] * 4, f"{len(data.backgrounds):,}", *[""] * 3, f"{len(backgrounds):,}")
        # Wide enough for large numbers, also where the output is no terminal.
        Console(width=max(Console().width, 110)).print(table)

        dataset = sample_dataset(module, data)
        drawn, errors = report.first_of_each(dataset, SAMPLES_EACH) if dataset else ([], [])
        # Most of them are listed above, with more words.
        problems += [f"samples: {error}" for error in dict.fromkeys(errors) if error not in "\n".join(problems)]
        if drawn:
            report.write_sheet(out, drawn)
            print(f"{out}: {len(drawn)} samples")
        if problems:
            print("1 problem:" if len(problems) == 1 else f"{len(problems)} problems:")
            for problem in problems[:PROBLEMS_SHOWN]:
                print(f"  {problem}")
            if len(problems) > PROBLEMS_SHOWN:
                print(f"  and {len(problems) - PROBLEMS_SHOWN} more")
            raise typer.Exit(1)
        print("nothing is broken")


@app.command("show", context_settings=DATA_CONTEXT)
def data_show(
    config: DataConfig,
    out: SheetFile = Path("data_samples.png"),
    first: Annotated[int, typer.Option(min=0, help="Number of the first sample.")] = 0,
    count: Annotated[int, typer.Option(min=1, max=400, help="Samples to draw.")] = 40,
) -> None:
    """Draws samples as training would see them: memory crops, then the query; its box green, or red when absent."""
    with user_errors():
        with extra_train("data show"):
            from stif_core.data.report import Drawn, check_sheet_path, source_of, write_sheet
            from stif_core.training.data_config import load_data_module, read_each, sample_dataset

        module = load_data_module(config)
        check_sheet_path(out)
        data = read_each(module)
        dataset = sample_dataset(module, data)
        if data.errors or dataset is None:
            raise ValueError(next(iter(data.errors.values()), "no data set has a share"))
        with progress_bar("drawing samples", count) as advance:
            drawn = []
            for index in range(first, first + count):
                drawn.append(Drawn(index, source_of(dataset, index), dataset.sample(index)))
                advance()
        write_sheet(out, drawn)
        print(f"{out}: samples {first} to {first + count - 1}")
