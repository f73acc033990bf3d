"""Pre-training is exact: the same settings give the same file, in one go or in several."""

import math
from pathlib import Path

import pytest
import torch

from ship.artifacts import read_tensors, sha256
from ship.errors import BadInput
from ship.models.student import Student, losses, wake
from ship.pretrain import Architecture, Categories, Pretrain, learning_rate, load, pretrain

SMALL = Pretrain(
    categories=Categories(contours=2, strokes=2, fractals=1, textures=1),
    model=Architecture(img_size=16, patch_size=4, embed_dim=16, depth=4, num_heads=2),
    steps=8,
    warmup_steps=2,
    shallow_steps=3,
    stride=2,
    decay_steps=3,
    whole_steps=1,
    batch_size=4,
)


def run(out, settings=SMALL, until=None, **options):
    """The records of a run, which is killed after `until` of them."""
    records = []
    for record in pretrain(settings, out, workers=0, record_every=1, save_every=1, **options):
        records.append(record)
        if record.step == until:
            break
    return records


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("pretrain") / "mini.safetensors"
    return out, run(out)


def student():
    sizes = SMALL.model.model_dump()
    return Student(sizes, stride=2, categories=6, places=6, inks=4, seed=0)


def test_the_result_is_a_backbone(finished):
    """Weights in half precision under timm's names, with all that loading them needs, and no resume file left."""
    out, records = finished
    weights, about = read_tensors(out)
    assert [record.step for record in records] == list(range(1, 9))
    assert weights.keys() == student().vit.state_dict().keys()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert about["model"] == SMALL.model.model_dump()
    assert (about["image_size"], about["mean"], about["interpolation"]) == (16, [0.5, 0.5, 0.5], "bicubic")
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("until", [2, 3, 4, 7])
def test_a_killed_run_goes_on_to_the_same_bits(finished, tmp_path, until):
    """Whether it is killed before, when or after the sleeping blocks wake, or during the decay."""
    out = tmp_path / "mini.safetensors"
    run(out, until=until)
    assert not out.exists()
    records = run(out)
    assert records == finished[1][records[0].step - 1 :]
    assert sha256(out) == sha256(finished[0])


def test_workers_change_no_bit(finished, tmp_path):
    """Images that other processes make are the same images, in the same order."""
    out = tmp_path / "mini.safetensors"
    list(pretrain(SMALL, out, workers=2))
    assert sha256(out) == sha256(finished[0])


def test_the_end_may_be_set_while_a_run_is_under_way(finished, tmp_path):
    """A run that has not come to its decay may get another end, and then equals a run of those settings."""
    out = tmp_path / "mini.safetensors"
    longer = SMALL.model_copy(update={"steps": 20, "shallow_steps": 10})
    run(out, longer, until=3)
    run(out)
    assert sha256(out) == sha256(finished[0])


@pytest.mark.parametrize("change", [{"lr": 0.1}, {"shallow_steps": 1}, {"seed": 1}])
def test_other_settings_do_not_go_on(tmp_path, change):
    """What the steps so far have seen may not change."""
    out = tmp_path / "mini.safetensors"
    run(out, until=3)
    with pytest.raises(BadInput, match="expected settings of a run that is at step"):
        run(out, SMALL.model_copy(update=change))


def test_a_run_that_has_gone_further_is_not_called_shorter(tmp_path):
    """Its weights would be those of more steps than they say."""
    out = tmp_path / "mini.safetensors"
    run(out, until=6)
    with pytest.raises(BadInput, match="expected settings of a run that is at step . of 3, got others"):
        run(out, SMALL.model_copy(update={"stop": 3}))


def test_snapshots(tmp_path):
    """A snapshot is a backbone of its step."""
    out = tmp_path / "mini.safetensors"
    run(out, snapshot_every=4)
    assert "4 steps" in read_tensors(tmp_path / "mini.4.safetensors")[1]["source"]


def test_a_run_may_stop_within_its_schedule(tmp_path):
    """What it leaves is what the whole run had at that step."""
    out = tmp_path / "mini.safetensors"
    run(out, snapshot_every=6)
    run(tmp_path / "short.safetensors", SMALL.model_copy(update={"stop": 6}))
    assert sha256(tmp_path / "short.safetensors") == sha256(tmp_path / "mini.6.safetensors")


def test_learning_rate():
    """Linear to the peak, constant, then down as 1 - sqrt(t), never quite to zero."""
    settings = Pretrain(steps=100, warmup_steps=10, decay_steps=25, lr=2.0)
    rates = [learning_rate(settings, step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.2 * k for k in range(1, 11)])
    assert set(rates[9:76]) == {2.0}
    assert rates[76:] == pytest.approx([2 * (1 - math.sqrt(k / 25)) for k in range(1, 25)])


def test_sleeping_blocks_add_nothing():
    """A shallow student is, to the bit, the whole one; and so it is when its blocks wake."""
    pupil, images = student(), torch.randn(3, 3, 16, 16)
    order = torch.arange(16).expand(3, 16)
    shallow = pupil(images, order, shallow=True)
    for _ in range(2):
        for one, other in zip(shallow, pupil(images, order, shallow=False), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        wake(dict(pupil.named_parameters()), stride=2)


def test_waking_blocks_learn():
    """The first gradients reach the outputs of blocks that wake."""
    pupil = student()
    wake(dict(pupil.named_parameters()), stride=2)
    torch.testing.assert_close(pupil.vit.blocks[1].attn.qkv.weight, pupil.vit.blocks[0].attn.qkv.weight)
    pupil(torch.randn(3, 3, 16, 16), torch.arange(16).expand(3, 16), shallow=False).category.sum().backward()
    assert pupil.vit.blocks[1].mlp.fc2.weight.grad.abs().sum() > 0


def test_what_no_object_owns_has_no_place():
    """Offsets, rotation and size of a patch without object do not count."""
    pupil, place = student(), torch.zeros(2, 16, 6)
    guess = pupil(torch.randn(2, 3, 16, 16), torch.arange(16).expand(2, 16), shallow=True)
    labels = torch.zeros(2, 2, dtype=torch.long), place, torch.zeros(2, 16, 4)
    before = losses(guess, *labels, label_smoothing=0.1)[1]
    place[..., 1:] = 7.0
    assert losses(guess, *labels, label_smoothing=0.1)[1] == before


def test_the_preset_is_the_shipped_backbone():
    """The preset that makes the shipped weights can be read, and says their architecture and steps."""
    root = Path(__file__).parents[1]
    settings = load(root / "presets/pretrain_vit_mini.yaml")
    about = read_tensors(root / "ship/models/weights/vit_mini.safetensors")[1]
    assert about["model"] == settings.model.model_dump()
    assert f"{settings.stop or settings.steps} steps of {settings.batch_size} images" in about["source"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 1.0e3", "steps: expected an integer, got '1.0e3'"),
        ("step: 10", "steps: expected a value, found none"),
        ("steps: 10\nwarmup_steps: 8\ndecay_steps: 5", "whole_steps <= decay_steps <= steps - warmup_steps"),
        ("- 1", "expected keys and values in YAML"),
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
