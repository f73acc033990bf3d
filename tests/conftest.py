"""Fixtures that every test may use: a tiny backbone, and the reference material beside the project."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _seed():
    """Random numbers are the same in every test, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture
def tiny_vit():
    """A plain ViT with 4 blocks, 16 + 1 tokens and width 24, in evaluation mode."""
    return VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=4, num_heads=3, num_classes=5).eval()


@pytest.fixture
def shared():
    """The folder with reference material beside the clone; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference material in ../shared, which is not here")
    return SHARED
