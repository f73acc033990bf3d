"""Pre-training is exact: the same settings give the same file, in one go or in several."""

import pytest
import torch

from ship.errors import BadInput
from ship.pretrain.settings import Architecture, Categories, Pretrain
from ship.pretrain.student import Student
from ship.pretrain.training import pretrain
from ship.storage import read_tensors, sha256

SMALL = Pretrain(
    categories=Categories(contours=2, strokes=2, fractals=1, textures=1),
    model=Architecture(img_size=16, patch_size=4, embed_dim=16, depth=4, num_heads=2),
    steps=8,
    warmup_steps=2,
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


def test_the_result_is_a_backbone(finished):
    """Weights in half precision under timm's names, with all that loading them needs, and no resume file left."""
    out, records = finished
    weights, about = read_tensors(out)
    names = Student(SMALL.model.model_dump(), categories=6, places=6, inks=4, seed=0).vit.state_dict()
    assert [record.step for record in records] == list(range(1, 9))
    assert weights.keys() == names.keys()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert about["model"] == SMALL.model.model_dump()
    assert (about["image_size"], about["mean"], about["interpolation"]) == (16, [0.5, 0.5, 0.5], "bicubic")
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("until", [2, 3, 4, 7])
def test_a_killed_run_goes_on_to_the_same_bits(finished, tmp_path, until):
    """Whether it is killed in the warm-up, after it, or in the decay."""
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
    longer = SMALL.model_copy(update={"steps": 20})
    run(out, longer, until=3)
    run(out)
    assert sha256(out) == sha256(finished[0])


@pytest.mark.parametrize("change", [{"lr": 0.1}, {"kept": 0.7}, {"seed": 1}])
def test_other_settings_do_not_go_on(tmp_path, change):
    """What the steps so far have seen may not change."""
    out = tmp_path / "mini.safetensors"
    run(out, until=3)
    with pytest.raises(BadInput, match="expected settings of a run that is at step"):
        run(out, SMALL.model_copy(update=change))


def test_a_run_that_has_gone_further_is_not_called_shorter(tmp_path):
    """Its weights would be those of more steps than they say."""
    out = tmp_path / "mini.safetensors"
    run(out, SMALL.model_copy(update={"steps": 20}), until=6)
    with pytest.raises(BadInput, match=r"expected settings of a run that is at step \d of 4, got others"):
        run(out, SMALL.model_copy(update={"steps": 4, "decay_steps": 1}))
