"""Checkpoints as other projects save them: prefixes, heads and old names, made to what timm's ViT has."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

State = dict[str, Tensor]
PATCHES = "patch_embed.proj.weight"  # every ViT has it once
HEADS = (
    "head.",
    "head_dist.",
    "pre_logits.",
    "fc.",
    "classifier.",
    "decoder",
    "projector.",
    "predictor.",
    "proj_head.",
)


def unwrapped(state: State) -> State:
    """The ViT's own tensors: without a common prefix such as `module.` or `backbone.`, heads and decoders.

    A student or query encoder beside a teacher's is not chosen between: then nothing is taken off.
    """
    prefixes = {name.removesuffix(PATCHES) for name in state if name.endswith(PATCHES)}
    if len(prefixes) == 1 and (prefix := prefixes.pop()) and not prefix.startswith("visual"):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if any(name.startswith("decoder") for name in state):  # of a masked autoencoder, as its mask is
        state = {name: tensor for name, tensor in state.items() if name != "mask_token"}
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(HEADS)}
    return {re.sub(r"\.gamma_([12])$", r".ls\1.gamma", name): tensor for name, tensor in kept.items()}


def averages(state: State) -> bool:
    """Whether the head read the mean of the patches: then the last norm stands after it, and timm calls it fc_norm."""
    return "fc_norm.weight" in state and "norm.weight" not in state


def recipe(path: Path) -> str:
    """Three lines of Python that make a .safetensors file of one that is pickled, and run none of its code."""
    return f"""in Python:
  import torch; from safetensors.torch import save_file; state = torch.load({str(path)!r}, weights_only=True)
  state = next((state[key] for key in ("model", "state_dict", "teacher") if key in state), state)
  save_file({{k: v.contiguous().clone() for k, v in state.items()}}, {str(path.with_suffix(".safetensors"))!r})"""
