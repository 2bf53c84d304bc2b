"""The command ``stif``: one module a group of commands."""

import typer

from stif_core.cli import bags, benchmark, benchmark_infer, build, data, evaluate, model, track, vot
from stif_core.cli.common import PASSED_ON

app = typer.Typer(no_args_is_help=True, add_completion=False, help="STIF: follow one object through images.")
app.command()(track.track)
app.command()(bags.replay)
app.command()(model.export)
app.command()(build.build)
app.command()(model.weights)
app.command()(model.calibrate)
# Its options, --help among them, are Lightning's.
app.command(context_settings=PASSED_ON, add_help_option=False)(model.train)
app.command("model-info")(model.model_info)
evaluate.app.command("vot-init")(vot.vot_init)
app.add_typer(evaluate.app, name="eval")
app.add_typer(data.app, name="data")
app.add_typer(bags.app, name="bag")
benchmark.app.command("infer")(benchmark_infer.benchmark_infer)
benchmark.app.command("memory")(benchmark_infer.benchmark_memory)
app.add_typer(benchmark.app, name="benchmark")


def main() -> None:
    app()
