"""Checkpoints as other projects save them: prefixes, heads and old names, made to what timm's ViT has."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

State = dict[str, Tensor]
PATCHES = "patch_embed.proj.weight"  # every ViT has it once
HEADS = (
    "head.",
    "head_dist.",
    "heads.",
    "pre_logits.",
    "fc.",
    "classifier.",
    "pooler.",
    "decoder",
    "projector.",
    "predictor.",
    "proj_head.",
)
ELSEWHERE = {  # by how they call the patches' weight: parts of names, and what timm has for them
    "embeddings.patch_embeddings.projection.weight": {  # transformers: ViT, DeiT, DINO, DINOv2, MAE
        r"embeddings\.patch_embeddings\.projection": "patch_embed.proj",
        r"embeddings\.position_embeddings": "pos_embed",
        r"embeddings\.distillation_token": "dist_token",
        r"embeddings\.register_tokens": "reg_token",
        r"embeddings\.(cls|mask)_token": r"\1_token",
        r"encoder\.layer\.": "blocks.",
        r"attention\.attention": "attn",
        r"attention\.output\.dense": "attn.proj",
        r"intermediate\.dense": "mlp.fc1",
        r"output\.dense": "mlp.fc2",
        r"layernorm_before": "norm1",
        r"layernorm_after": "norm2",
        r"layernorm": "norm",
        r"layer_scale([12])\.lambda1": r"ls\1.gamma",
    },
    "conv_proj.weight": {  # torchvision
        r"conv_proj": "patch_embed.proj",
        r"class_token": "cls_token",
        r"encoder\.pos_embedding": "pos_embed",
        r"encoder\.layers\.encoder_layer_": "blocks.",
        r"self_attention\.in_proj_": "attn.qkv.",
        r"self_attention\.out_proj": "attn.proj",
        r"mlp\.(0|linear_1)\b": "mlp.fc1",
        r"mlp\.(3|linear_2)\b": "mlp.fc2",
        r"\bln_([12])": r"norm\1",
        r"encoder\.ln\b": "norm",
    },
}
PICKLED = {".pth", ".pt", ".ckpt", ".bin", ".pkl", ".tar", ""}


def renamed(state: State) -> State:
    """The tensors under timm's names, where they have those of transformers or torchvision."""
    for patches, rules in ELSEWHERE.items():
        if any(name.endswith(patches) for name in state):
            names = {name: name for name in state}
            for rule, ours in rules.items():
                names = {theirs: re.sub(rule, ours, name) for theirs, name in names.items()}
            state = {names[name]: tensor for name, tensor in state.items()}
    for query in [name for name in state if ".attn.query." in name]:
        parts = [query.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in state for part in parts):
            state[query.replace(".query.", ".qkv.")] = torch.cat([state.pop(part) for part in parts])
    return state


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
    """Three lines of Python that make a .safetensors file of one that is pickled, and run none of its code.

    Empty for a file that is not.
    """
    if path.suffix.lower() not in PICKLED:
        return ""
    return f"""; in Python:
  import torch; from safetensors.torch import save_file; state = torch.load({str(path)!r}, weights_only=True)
  state = next((state[key] for key in ("model", "state_dict", "teacher") if key in state), state)
  save_file({{k: v.contiguous().clone() for k, v in state.items()}}, {str(path.with_suffix(".safetensors"))!r})"""
