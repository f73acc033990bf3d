"""The commands that use a tuned model, and the one that makes the embedded backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ship.artifacts import Run
from ship.cli.app import PARAMS, RunName, Settings, app
from ship.experiment.params import read_params
from ship.training.progress import progress


@app.command()
def predict(
    run: RunName,
    images: Annotated[list[Path], typer.Argument(help="image files")],
    params: Settings = PARAMS,
) -> None:
    """Print path, class and probability of images as CSV, by the model that a run tuned."""
    import pandas as pd

    from ship.inference.restore import classify, restore

    compute = read_params(params).compute
    anywhere = compute.model_copy(update={"device": "cpu" if compute.device == "cpu" else "auto"})
    rows = classify(restore(Run.named(run)), images, anywhere)
    print(pd.DataFrame(rows).to_csv(index=False, float_format="%.4f"), end="")


@app.command()
def pretrain(
    preset: Annotated[Path, typer.Argument(help="such as presets/pretrain_vit_mini.yaml")],
    out: Annotated[Path, typer.Argument(help="the weights, a .safetensors file")],
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="what to train on; cpu alone repeats its bits")
    ] = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="processes that draw images")] = 2,
) -> None:
    """Make the embedded backbone again, on images that are drawn by formulas. Goes on where a killed run stopped."""
    from ship.pretrain.settings import load
    from ship.pretrain.training import pretrain as run

    settings = load(preset)
    with progress(settings.last, preset.stem) as show:
        for record in run(settings, out, device=device, workers=workers):
            done = f"step {record.step}/{settings.last}"
            show(record.step, f"{done}, loss {record.loss:.4f}, {record.accuracy:.1%} right")
