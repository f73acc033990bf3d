"""Golden files: a small backbone, images, tuned parameters, and what the authors' implementation computes from them."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from timm.models.vision_transformer import VisionTransformer

FOLDER = Path(__file__).parents[1] / "golden"
SIZES = ("img_size", "patch_size", "embed_dim", "depth", "num_heads")


def read(name):
    """Settings, backbone and tensors of a golden file."""
    with safe_open(FOLDER / f"{name}.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    vit = VisionTransformer(**{key: config[key] for key in SIZES}, num_classes=0)
    vit.load_state_dict({k.removeprefix("backbone."): v for k, v in tensors.items() if k.startswith("backbone.")})
    return config, vit, tensors


def put_tuned(model, tensors):
    """Load the tuned parameters into the model; their names."""
    tuned = {k.removeprefix("tuned."): v for k, v in tensors.items() if k.startswith("tuned.")}
    assert model.load_state_dict(tuned, strict=False).unexpected_keys == []
    return list(tuned)


def images(tensors):
    """The images as the backbone takes them."""
    return (tensors["images"].float() / 255 - 0.5) / 0.5


def check_gradients(model, names, tensors):
    """Within 1e-4 of the authors', relative to each tensor's norm."""
    for name in names:
        expected, got = tensors[f"expect.grad.{name}"], model.get_parameter(name).grad
        assert (got - expected).norm() <= 1e-4 * expected.norm(), name


def check_close(got, expected):
    """Within 2e-5."""
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)
