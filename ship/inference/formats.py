"""Files of a network that others can run: ONNX, a program of `torch.export`, a folder of timm."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ship.errors import BadInput
from ship.inference.network import Network
from ship.models.backbones import pooling
from ship.models.preprocessing import Preprocessing
from ship.storage import replacing, write_json

PROGRAM, ONNX = "program.pt2", "model.onnx"
EXTRA = ("onnx", "onnxruntime", "onnxscript")
Forward = Callable[[Tensor], Tensor]  # from uint8 images (B, 3, S, S) to logits (B, C)


def check_extra() -> None:
    """Raise BadInput where the packages that ONNX needs are not installed."""
    if lacking := [name for name in EXTRA if find_spec(name) is None]:
        raise BadInput(
            f"export: expected the packages {', '.join(EXTRA)}, found no {lacking[0]} "
            "(pip install 'ship-tuning[export]', or --no-onnx)"
        )


def trace(network: Network, size: int) -> torch.export.ExportedProgram:
    """The network's operations, for any number of images of `size` pixels."""
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    with torch.no_grad():
        return torch.export.export(network, (images,), dynamic_shapes={"images": {0: torch.export.Dim("batch")}})


def write_program(program: torch.export.ExportedProgram, path: Path) -> Forward:
    """Write the program; what the file computes."""
    with _quiet():
        torch.export.save(program, path)
        forward: Forward = torch.export.load(path).module()
    return forward


def write_onnx(program: torch.export.ExportedProgram, path: Path, about: dict[str, Any]) -> Forward:
    """Write the program as ONNX, `images` to `logits`, with `about` as its metadata; what the file computes."""
    import onnxruntime

    with _quiet():
        onnx = torch.onnx.export(
            program, dynamo=True, input_names=["images"], output_names=["logits"], verbose=False, optimize=True
        )
        if onnx is None:
            raise TypeError("torch.onnx.export gave no program")
        onnx.model.metadata_props.update({key: json.dumps(value) for key, value in about.items()})
        onnx.save(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def timm_config(backbone: dict[str, Any], classes: list[str], made: Preprocessing) -> dict[str, Any]:
    """config.json of a folder that `timm.create_model("local-dir:FOLDER")` reads; `backbone` is what its file says.

    Images are resized as a whole, which timm calls squash.
    """
    model = backbone["model"]
    name, sizes = (model, {}) if isinstance(model, str) else ("vit_tiny_patch16_224", model)
    size = [3, made.image_size, made.image_size]
    look = {"interpolation": made.interpolation, "mean": list(made.mean), "std": list(made.std)}
    inputs = {"input_size": size, "fixed_input_size": True, "crop_pct": 1.0, "crop_mode": "squash"}
    places = {"num_classes": len(classes), "first_conv": "patch_embed.proj", "classifier": "head"}
    return {
        "architecture": name.split(".")[0],
        "num_classes": len(classes),
        "label_names": classes,
        "model_args": {**sizes, **pooling(backbone), "img_size": made.image_size},
        "pretrained_cfg": {**inputs, **look, **places, "custom_load": False},
    }


def fits_timm(vit: VisionTransformer, config: dict[str, Any]) -> bool:
    """Whether the tensors of `vit` are those of timm's own model; a shift where timm has no bias does not fit."""
    plain = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
    own, theirs = vit.state_dict(), plain.state_dict()
    return {k: t.shape for k, t in own.items()} == {k: t.shape for k, t in theirs.items()}


def write_timm(vit: VisionTransformer, config: dict[str, Any], folder: Path) -> None:
    """Write `config.json` and `model.safetensors`."""
    from safetensors.torch import save

    write_json(folder / "config.json", config)
    with replacing(folder / "model.safetensors") as draft:
        draft.write_bytes(save({k: t.detach().contiguous() for k, t in vit.state_dict().items()}))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the exporters: what they wrote is run and compared afterwards."""
    log = logging.getLogger("onnxscript")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        log.setLevel(before)
