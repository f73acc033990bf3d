import math
from pathlib import Path

import pytest

from ship.errors import BadInput
from ship.pretrain.settings import Pretrain, learning_rate, load
from ship.storage import read_tensors


def test_learning_rate():
    """Linear to the peak, constant, then down as 1 - sqrt(t), never quite to zero."""
    settings = Pretrain(steps=100, warmup_steps=10, decay_steps=25, lr=2.0)
    rates = [learning_rate(settings, step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.2 * k for k in range(1, 11)])
    assert set(rates[9:76]) == {2.0}
    assert rates[76:] == pytest.approx([2 * (1 - math.sqrt(k / 25)) for k in range(1, 25)])


def test_the_preset_is_the_shipped_backbone():
    """The preset that makes the shipped weights can be read, and says their architecture and steps."""
    root = Path(__file__).parents[2]
    settings = load(root / "presets/pretrain_vit_mini.yaml")
    about = read_tensors(root / "ship/models/weights/vit_mini.safetensors")[1]
    assert about["model"] == settings.model.model_dump()
    assert f"{settings.steps} steps of {settings.batch_size} images" in about["source"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 1.0e3", "steps: expected an integer, got '1.0e3'"),
        ("step: 10", "steps: expected a value, found none"),
        ("steps: 10\nwarmup_steps: 8\ndecay_steps: 5", "whole_steps <= decay_steps <= steps - warmup_steps"),
        ("- 1", "expected keys and values, got list"),
        ("steps: 10\nsteps: 20", "expected YAML, got the key 'steps' twice"),
        ("steps: 10\nmodel: {img_size: 30}", "model: expected img_size divisible by patch_size 4, got 30"),
        ("steps: 10\nmodel: {embed_dim: 130}", "model: expected embed_dim divisible by num_heads 4 and by 4, got 130"),
    ],
)
def test_a_wrong_preset_is_refused_with_its_key(tmp_path, text, message):
    """The error names file and key."""
    path = tmp_path / "preset.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match="preset.yaml") as caught:
        load(path)
    assert message in str(caught.value)


def test_a_missing_preset_is_refused(tmp_path):
    """No traceback for a wrong path."""
    with pytest.raises(BadInput, match="found none"):
        load(tmp_path / "none.yaml")
