"""A tuned model, built again from what a run, `Model.save` or an export left: `ship.load`."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ship.artifacts import TUNED
from ship.data.decoding import Reading
from ship.errors import BadInput, unknown
from ship.experiment import records
from ship.experiment.records import check_record, read_record
from ship.inference.model import Model, copied, form
from ship.methods import METHODS, build, method_class
from ship.methods.base import Method, frozen_digest, load_tuned
from ship.methods.options import check_arguments
from ship.models import backbones
from ship.models.preprocessing import Preprocessing
from ship.models.vit import require_plain
from ship.storage import expanded, read_tensors, sha256

BACKBONE = "backbone.safetensors"
ABOUT = "ship.json"
"""of an exported folder: what is in it"""
FOREIGN = {".onnx", ".pt2"}
"""its files for other programs"""


def find(name: str | Path) -> Path:
    """The folder or file that `name` means: a path, or a run by its place under `runs/`."""
    found = [path for path in (expanded(name), Path("runs", name)) if os.path.exists(path)]  # noqa: PTH110
    if not found:
        runs = ["/".join(path.parts[1:-1]) for path in sorted(Path("runs").glob(f"*/*/*/*/{TUNED}"))]
        near = get_close_matches(str(name), runs, n=1)
        elsewhere = "" if Path("runs").is_dir() else " (change to the root of the clone that has it)"
        hint = f" (did you mean {near[0]!r}?)" if near else elsewhere
        raise BadInput(
            f"{name}: expected a run (its place under runs/), an exported folder or a saved file, found none{hint}"
        )
    return found[0]


def way_out(place: Path) -> str:
    """What to do where there is no finished run at `place`: name one below, or train it, or name another folder."""
    below = sorted(str(file.parent) for file in place.glob(f"*/{TUNED}"))
    other = "ship status" if "runs" in place.parts else "name a run, an export or a saved file"
    return f"name one of {', '.join(below[:20])}" if below else other


def load(path: str | Path, vit: nn.Module | None = None) -> Model:
    """The model in evaluation mode that a run, `Model.save` or `ship export` left.

    Args:
        path: The folder of a run or of an export, or a file of tuned tensors.
        vit: The ViT that was tuned; it stays as it is. A file of `Model.save` needs it, since it holds no backbone. A
            run looks for its backbone in `backbones/` of its project, an export has its own; for both it may be given.

    Raises:
        BadInput: Nothing there, a file of another kind, or a ViT that is not the one that was tuned.
    """
    place = find(path)
    if place.is_dir() and (place / ABOUT).is_file() and _exported(place)["weights"] == "merged":
        if vit is not None:
            raise BadInput(f"{place}: expected no vit= beside an export that holds the whole ViT, got one")
        return _merged(place)
    file = place / TUNED if place.is_dir() else place
    if file.suffix in FOREIGN:
        raise BadInput(f"{file}: expected a run or an export, got a file for other programs (name its folder)")
    if not file.is_file():
        raise BadInput(f"{file}: expected what a run leaves when it is finished, found none ({way_out(place)})")
    state, about = read_tensors(file)
    _check(about, file)
    preprocessing = Preprocessing.of(about["backbone"]) if "backbone" in about else None
    if vit is not None:
        plain = copied(vit, "load")
    elif "backbone" in about:
        plain, preprocessing = backbones.load(backbone_of(about, file))
    else:
        raise BadInput(f"{file}: expected vit=, the ViT that was tuned, beside a file without a backbone, got none")
    if lacking := [name for name in method_class(about["method"]).statistics if name not in state]:
        raise BadInput(f"{file}: expected the tensor {lacking[0]}, found none")
    try:
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to draw
            method = build(about["method"], plain, len(about["classes"]), about["options"], state)
        load_tuned(method, state, str(file))
    except BadInput as error:
        if vit is None:
            raise
        raise BadInput(f"{file}: expected the ViT that was tuned, got one that does not fit ({error})") from None
    if vit is not None:
        _check_given(method, about, file)
    reading = Reading(**about.get("reading", {}))
    known = about.get("frozen")
    model = Model(method, about["method"], about["options"], about["classes"], preprocessing, reading, known)
    return model.to(next(plain.parameters()).device).eval()


def _check(about: dict[str, Any], file: Path) -> None:
    """Raise BadInput unless `about` describes a method that can be built, and images as it reads them."""
    if not {"method", "options", "classes"} <= about.keys():
        raise BadInput(
            f"{file}: expected tuned tensors of a run or of Model.save, got a file that does not describe them"
        )
    check_record(about, records.Tuned, file)
    if "backbone" in about:
        check_record(about["backbone"], records.Preprocessing, f"{file}: backbone")
    if about["method"] not in METHODS:
        raise unknown(f"{file}: method", about["method"], METHODS)
    check_arguments(about["method"], about["options"], f"{file}: options")


def _check_given(method: Method, about: dict[str, Any], file: Path) -> None:
    """Raise BadInput unless the ViT in `method` is the one that was tuned, as far as the file tells."""
    if "frozen" not in about:
        raise BadInput(f"{file}: expected no vit= beside a file of an older version, which cannot tell it, got one")
    told, found = about.get("form", {}), form(method.vit)
    if odd := [key for key in told if found.get(key) != told[key]]:
        wanted, got = (", ".join(f"{key} {of.get(key)}" for key in odd) for of in (told, found))
        raise BadInput(f"{file}: expected the ViT that was tuned, with {wanted}, got {got}")
    if frozen_digest(method) != about["frozen"]:
        raise BadInput(f"{file}: expected the ViT that was tuned, got one with other weights")


def backbone_of(about: dict[str, Any], file: Path) -> Path:
    """The backbone that the run of `file` was tuned on, known by its content: beside it or in `backbones/` above."""
    name, digest = about["backbone"]["name"], about["backbone"]["sha256"]
    above = [path for parent in file.resolve().parents for path in sorted(parent.glob("backbones/*.safetensors"))]
    above.sort(key=lambda path: path.stem not in {name, *file.resolve().parts})  # the likely ones first
    there = [path for path in (file.with_name(BACKBONE), *above) if path.is_file()]
    if (own := next((path for path in there if sha256(path) == digest), None)) is not None:
        return own
    got = f"others: {', '.join(map(str, there))}" if there else "none"
    raise BadInput(
        f"{file}: expected the backbone with sha256 {digest} ({name}), on which it was tuned, in backbones/, got {got} "
        "(ship backbone, or vit=)"
    )


def _exported(folder: Path) -> dict[str, Any]:
    """What an export says of itself."""
    return read_record(folder / ABOUT, records.Exported, "copy it again")


def _merged(folder: Path) -> Model:
    """A plain ViT that has all in its weights: what it reads as a frozen backbone, and a head."""
    about = _exported(folder)
    try:
        whole: VisionTransformer = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True)
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(f"{folder}: expected all files of an export, whole, got: {reason} (copy it again)") from None
    head = {f"head.{name}": tensor for name, tensor in whole.head.state_dict().items()}
    method = build("linear", require_plain(whole, str(folder)), len(about["classes"]), {}, {})
    load_tuned(method, head, str(folder))
    preprocessing = Preprocessing.of(about["preprocessing"])
    reading = Reading(**about.get("reading", {}))
    return Model(method, "linear", {}, about["classes"], preprocessing, reading).eval()
