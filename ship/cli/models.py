"""The commands that use a tuned model, and the one that makes the embedded backbone."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import typer

from ship.cli.app import app
from ship.cli.progress import progress
from ship.errors import BadInput
from ship.storage import expanded

Tuned = Annotated[
    str, typer.Argument(help="a run, by its place under runs/, or a folder of an export", metavar="MODEL")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: cuda where there is one")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads")]


@app.command()
def predict(
    model: Tuned,
    images: Annotated[list[str], typer.Argument(help="image files, folders of them, or - for a list on stdin")],
    top: Annotated[int, typer.Option(min=1, help="so many classes of each image, the likeliest first")] = 1,
    every: Annotated[bool, typer.Option("--all", help="the probability of every class, too")] = False,
    out: Annotated[Path | None, typer.Option(help="a file .csv or .parquet, instead of standard output")] = None,
    device: Device = "auto",
    threads: Threads = 2,
) -> None:
    """Say what is in images, a row each: path, class, probability. Exits 1 where some could not be read."""
    from tqdm import tqdm

    from ship.experiment.params import Compute
    from ship.inference.files import classify, image_files, named
    from ship.inference.restore import load
    from ship.inference.rows import Columns, to_csv, to_file

    tuned = load(model)
    _doubt(model)
    columns, refused = Columns(tuned.classes, top, every), list[str]()

    def refuse(what: str) -> None:
        refused.append(what)
        print(f"ship: {what}", file=sys.stderr)

    files: Iterable[Path] = image_files(
        named(images, sys.stdin.buffer), refuse, lambda what: print(f"ship: {what}", file=sys.stderr)
    )
    if "-" not in images:
        files = list(files)  # so that the bar knows its end
    answers = classify(tuned, iter(files), Compute(device=device, threads=threads), refuse)
    hidden = True if out is None and sys.stdout.isatty() else None  # None: where there is no terminal
    if (first := next(answers, None)) is None:  # nothing could be read, and was refused
        raise typer.Exit(1)
    with to_csv(sys.stdout, columns) if out is None else to_file(expanded(out), columns) as put:
        total = len(files) if isinstance(files, list) else None
        for answer in tqdm(chain([first], answers), total=total, unit=" images", disable=hidden):
            put(answer)
    if refused:
        raise typer.Exit(1)


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="a run, by its place under runs/ or its folder", metavar="RUN")],
    folder: Annotated[Path, typer.Argument(help="what is written; not there yet")],
    images: Annotated[int, typer.Option(min=1, help="test images on which each file is compared with the run")] = 1000,
    onnx: Annotated[bool, typer.Option(help="model.onnx, which needs ship-tuning[export]")] = True,
    push: Annotated[
        str | None, typer.Option(help="a repository of the Hugging Face Hub that gets the files; a new one is private")
    ] = None,
    threads: Threads = 2,
) -> None:
    """Write a run's model as a folder to take away. It has weights, ONNX, torch.export, model card; each is checked."""
    from ship.inference.export import export as write

    if push is not None:
        from ship.inference import hub

        hub.check_push(push)
    folder = expanded(folder)
    _doubt(run)
    write(run, folder, print, images=images, onnx=onnx, threads=threads)
    print(f"{folder}: done")
    if push is not None:
        print(f"{hub.push(folder, push)}: done")


def _doubt(model: str) -> None:
    """Say on standard error where a run is not of the experiment in params.yaml as it is now."""
    from ship.inference.restore import find
    from ship.report.status import doubts

    try:
        said = doubts(find(model))
    except BadInput as error:
        said = f"{model}: whether it is stale is not known: {error}"
    if said:
        print(f"ship: {said}", file=sys.stderr)


@app.command()
def pretrain(
    preset: Annotated[Path, typer.Argument(help="such as presets/pretrain_vit_mini.yaml")],
    out: Annotated[Path, typer.Argument(help="the weights, a .safetensors file")],
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="what to train on; cpu alone repeats its bits")
    ] = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="processes that draw images")] = 2,
) -> None:
    """Make the embedded backbone again, on images of formulas. Goes on where a killed run stopped."""
    from ship.pretrain.settings import load
    from ship.pretrain.training import pretrain as run

    settings = load(preset)
    with progress(settings.steps, preset.stem) as show:
        for record in run(settings, out, device=device, workers=workers):
            done = f"step {record.step}/{settings.steps}"
            show(record.step, f"{done}, loss {record.loss:.4f}, {record.accuracy:.1%} right")
