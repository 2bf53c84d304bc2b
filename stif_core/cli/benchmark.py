"""``stif benchmark``: speed."""

import typer

from stif_core.cli.common import PASSED_ON, extra_train, user_errors

app = typer.Typer(no_args_is_help=True, help="Measure speed.")


@app.command("train", context_settings=PASSED_ON)
def benchmark_train(context: typer.Context) -> None:
    """Samples a second of a training, and what its loader costs; takes the options of `stif train fit`."""
    with user_errors():
        with extra_train("benchmark train"):
            from stif_core.training.benchmark import measure
        speed = measure(context.args)
        print(f"real loader       {speed.real:8.1f} samples/s")
        print(f"one cached batch  {speed.cached:8.1f} samples/s")
        print(f"the loader costs  {speed.loader_cost:8.1%}")
        own, loader = (size / 1e9 for size in speed.memory)
        print(f"largest memory: training process {own:.2f} GB, loader process {loader:.2f} GB")
