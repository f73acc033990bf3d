"""Every method's exported files on ViT-Ti: how near they are to the model, how large, and what an image costs.

    python benchmarks/exports.py WEIGHTS PHOTOS --size 112 --images 1000
    python benchmarks/exports.py WEIGHTS PHOTOS --images 64 --methods ship cvpt vpt --batches 1 8 32 --rounds 25

WEIGHTS are ViT-Ti/16's in timm's names, PHOTOS a folder with a sub-folder per class. Each method is trained for some
steps first, since many start where they change nothing; its seed is its own, so that it is the same model whichever
other methods are measured. "From float64" speaks of the images where a file is farthest from the model: how far the
model and both files are from the model in double precision, so what rounding alone does. A file and the bare
ViT's of the same format run in turn on one thread, in processor time: the last columns have the median of pairs'
ratios, so that the speed of the machine and other work on it cancel.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import onnxruntime
import torch
from torch import Tensor

import ship
from ship.data.images import normaliser, pixels
from ship.experiment.params import Backbone
from ship.inference import formats
from ship.inference.model import Model
from ship.inference.network import Network, network
from ship.methods import METHODS
from ship.methods.base import Foldable
from ship.models import backbones
from ship.models.preprocessing import Preprocessing

MEASURED, BATCH, STEPS, TRAINED, LR = 64, 50, 15, 16, 2e-3
WORST = 8  # images that double precision judges
FORMATS = ("program", "onnx")


class Files(NamedTuple):
    """A network's files, as what they compute and how large they are."""

    runs: dict[str, formats.Forward]
    bytes: dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vit_tiny.safetensors")
        backbones.fetch("vit_tiny", Backbone(name="vit_tiny", weights=str(given.weights), image_size=given.size), file)
        vit, made = backbones.load(file)
        images, labels = photos(given.photos, given.images, given.size, made.interpolation)
        classes = int(labels.max()) + 1
        vit.reset_classifier(classes)
        bare = written(Network(vit, made).eval(), given.size, Path(folder))
        print(head(given.batches))
        print(line("bare ViT", "", bare, "", speeds(bare, images, given.batches[-1:], given.rounds), ""))
        for name in given.methods:
            torch.manual_seed(0)
            wrapped = ship.wrap(
                vit, name, num_classes=classes, images=normalised(images[:: len(images) // MEASURED], made)
            )
            model = trained(wrapped, images, labels, made)
            form = network(model, made)
            files = written(form, given.size, Path(folder))
            kind = "folded" if isinstance(form.model, Foldable) else "merged" if form.model is not model.method else ""
            near = compared(files, model, images, made)
            own = speeds(files, images, given.batches[-1:], given.rounds)
            print(line(name, kind, files, near, own, ratios(files, bare, images, given)), flush=True)


def photos(folder: Path, count: int, size: int, interpolation: str) -> tuple[Tensor, Tensor]:
    """Images from all over the folder, (n, 3, S, S) uint8, and the numbers of the folders that they lie in, (n,)."""
    names = sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".jpeg", ".png"})
    chosen = [names[place * len(names) // count] for place in range(min(count, len(names)))]
    places = sorted({path.parent for path in chosen})
    labels = torch.tensor([places.index(path.parent) for path in chosen])
    return pixels([path.read_bytes() for path in chosen], size, interpolation, 1), labels


def normalised(images: Tensor, made: Preprocessing) -> Tensor:
    """As the ViT wants them."""
    return normaliser(made.mean, made.std, torch.device("cpu"))(images)


def trained(model: Model, images: Tensor, labels: Tensor, made: Preprocessing) -> Model:
    """The model in evaluation mode, after a few steps on batches of the images."""
    optimiser = torch.optim.AdamW(model.tuned_parameters, lr=LR)
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (TRAINED,))
        optimiser.zero_grad()
        model.loss(normalised(images[chosen], made), labels[chosen]).backward()
        optimiser.step()
    return model.eval()


def written(form: Network, size: int, folder: Path) -> Files:
    """Both files of a network, read again; ONNX on one thread."""
    paths = {"program": folder / formats.PROGRAM, "onnx": folder / formats.ONNX}
    program = formats.trace(form, size)
    runs = {"program": formats.write_program(program, paths["program"])}
    formats.write_onnx(program, paths["onnx"], {})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(paths["onnx"], options, providers=["CPUExecutionProvider"])
    runs["onnx"] = lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
    return Files(runs, {name: path.stat().st_size for name, path in paths.items()})


@torch.no_grad()
def compared(files: Files, model: Model, images: Tensor, made: Preprocessing) -> str:
    """The largest difference of logits from the model's by format, what rounding does, and images of the same class."""
    parts = images.split(BATCH)
    logits = torch.cat([model(normalised(part, made)) for part in parts])
    found = {name: torch.cat([run(part) for part in parts]) for name, run in files.runs.items()}
    apart = torch.stack([(own - logits).abs().amax(1) for own in found.values()])
    worst = apart.amax(0).topk(WORST).indices
    exact = copy.deepcopy(model).double()(normalised(images[worst], made).double())
    rounding = " and ".join(f"{(own[worst] - exact).abs().max():.1e}" for own in [logits, *found.values()])
    same = torch.stack([own.argmax(1) == logits.argmax(1) for own in found.values()]).all(0).sum()
    return f"{' and '.join(f'{a:.1e}' for a in apart.amax(1))} | {rounding} | {same} of {len(images)}"


@torch.no_grad()
def seconds(run: formats.Forward, images: Tensor) -> float:
    """Of a core, for one batch."""
    start = time.process_time()
    run(images)
    return time.process_time() - start


def speeds(files: Files, images: Tensor, batches: list[int], rounds: int) -> str:
    """Images a second of a core by format, in the largest batch: the median."""
    batch = images[: batches[-1]]
    found = {name: [seconds(run, batch) for _ in range(rounds)] for name, run in files.runs.items()}
    return " and ".join(f"{len(batch) / statistics.median(times):.0f}" for times in found.values())


def ratios(files: Files, bare: Files, images: Tensor, given: argparse.Namespace) -> str:
    """What a batch costs by format, as a multiple of the bare ViT's: a column for each size of batch."""
    columns = []
    for size in given.batches:
        batch, found = images[:size], []
        for name in FORMATS:
            pairs = [
                (seconds(files.runs[name], batch), seconds(bare.runs[name], batch)) for _ in range(given.rounds + 2)
            ][2:]  # the first two warm up
            found.append(statistics.median(own / plain for own, plain in pairs))
        columns.append(" and ".join(f"{ratio:.2f}" for ratio in found))
    return " | ".join(columns)


def head(batches: list[int]) -> str:
    """Of the table."""
    names = [
        "method",
        "form",
        "MB",
        "largest difference",
        "from float64",
        "same class",
        "images/s",
        *(f"x bare, {n}" for n in batches),
    ]
    return f"| {' | '.join(names)} |\n| {' | '.join(['---'] * 2 + ['---:'] * (len(names) - 2))} |"


def line(name: str, kind: str, files: Files, near: str, speed: str, costs: str) -> str:
    """Of the table; both formats in a cell, the program first."""
    sizes = " and ".join(f"{size / 1e6:.1f}" for size in files.bytes.values())
    return f"| {name} | {kind} | {sizes} | {near or ' | | '} | {speed} | {costs} |"


if __name__ == "__main__":
    main()
