"""What `ship` does with a tuned model: `ship predict`, `ship export`. Loads torch when it is called."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

Tuned = Annotated[
    str, typer.Argument(help="a run, by its place under runs/, or a folder of an export", metavar="MODEL")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: cuda where there is one")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads")]


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
    from ship.inference.files import classify, image_files
    from ship.inference.restore import load
    from ship.inference.rows import Columns, to_csv, to_file

    tuned = load(model)
    columns, refused = Columns(tuned.classes, top, every), list[str]()

    def refuse(what: str) -> None:
        refused.append(what)
        print(f"ship: {what}", file=sys.stderr)

    listed = (line.rstrip("\n") for name in images for line in (sys.stdin if name == "-" else [name]))
    files: Iterable[Path] = image_files(listed, refuse, lambda what: print(f"ship: {what}", file=sys.stderr))
    if "-" not in images:
        files = list(files)  # so that the bar knows its end
    answers = classify(tuned, iter(files), Compute(device=device, threads=threads), refuse)
    hidden = True if out is None and sys.stdout.isatty() else None  # None: where there is no terminal
    with to_csv(sys.stdout, columns) if out is None else to_file(out, columns) as put:
        total = len(files) if isinstance(files, list) else None
        for answer in tqdm(answers, total=total, unit=" images", disable=hidden):
            put(answer)
    if refused:
        raise typer.Exit(1)


def export(
    run: Annotated[str, typer.Argument(help="a run, by its place under runs/ or its folder", metavar="RUN")],
    folder: Annotated[Path, typer.Argument(help="what is written; not there yet")],
    images: Annotated[int, typer.Option(min=1, help="test images on which each file is compared with the run")] = 1000,
    onnx: Annotated[bool, typer.Option(help="model.onnx, which needs ship-tuning[export]")] = True,
    threads: Threads = 2,
) -> None:
    """Write a run's model as a folder to take away: weights, ONNX, torch.export, model card. Each file is checked."""
    from ship.inference.export import export as write

    write(run, folder, print, images=images, onnx=onnx, threads=threads)
    print(f"{folder}: done")
