"""Affinity, hierarchy and prototypes are what the paper says."""

import json

import pytest
import torch
from project import BACKBONE, changed, measured
from safetensors import safe_open

from ship.artifacts import features_file, hierarchy_file
from ship.experiment.params import parse_params
from ship.models.hierarchy import affinity, first_blocks, hierarchies, measure_hierarchy, prototypes
from ship.storage import read_tensors, write_tensors


def test_published_affinities_give_the_published_hierarchies(shared):
    """All six affinities that the authors published give their first blocks at their thresholds."""
    with safe_open(shared / "golden/affinity.safetensors", "pt") as file:
        published = json.loads(file.metadata()["hierarchy"])
        found = {task: first_blocks(file.get_tensor(task), published[task]["threshold"]) for task in published}
    assert {task: row["first_blocks"] for task, row in published.items()} == found
    assert len(found) == 6


def test_affinity_is_the_mean_cosine():
    """Symmetric, diagonal exactly 1, and equal to the cosines written out."""
    tokens = torch.randn(4, 7, 5)
    found = affinity(tokens)
    plain = torch.cosine_similarity(tokens[1].double(), tokens[3].double()).mean()
    assert torch.equal(found, found.T)
    assert torch.equal(found.diagonal(), torch.ones(4))
    assert found[1, 3].item() == pytest.approx(plain.item(), abs=1e-6)


@pytest.mark.parametrize(("threshold", "starts"), [(-1.0, [0]), (0.65, [0, 2]), (0.85, [0, 1, 2]), (2.0, [0, 1, 2, 3])])
def test_a_level_ends_before_the_first_unlike_block(threshold, starts):
    """Blocks are compared with the first block of their level, not with their neighbour."""
    similarity = torch.tensor([[1, 0.8, 0.6, 0.5], [0.8, 1, 0.7, 0.6], [0.6, 0.7, 1, 0.9], [0.5, 0.6, 0.9, 1]])
    assert starts == first_blocks(similarity, threshold)


def test_every_threshold_falls_into_a_listed_hierarchy():
    """`hierarchies` lists, for any threshold, the hierarchy of the first entry that is at least as large."""
    similarity = affinity(torch.randn(6, 9, 8) + 0.7)
    listed = hierarchies(similarity)
    for threshold in torch.linspace(-1, 1.2, 89).tolist():
        expected = next(starts for largest, starts in listed if threshold <= largest)
        assert expected == first_blocks(similarity, threshold)


def test_prototypes_are_repeatable_and_at_most_one_an_image():
    """The same seed gives the same centres, another others; more centres than images are cut to one an image."""
    tokens = torch.randn(30, 4)
    assert torch.equal(prototypes(tokens, 5, seed=3), prototypes(tokens, 5, seed=3))
    assert not torch.equal(prototypes(tokens, 5, seed=3), prototypes(tokens, 5, seed=4))
    assert prototypes(tokens, 200, seed=0).shape == (30, 4)


def test_prototypes_are_of_the_last_block_and_the_seed(tmp_path, monkeypatch):
    """As the file holds them, beside the affinity of all blocks."""
    monkeypatch.chdir(tmp_path)
    tokens = torch.randn(3, 30, 4)
    write_tensors(features_file(BACKBONE, "digits"), {"blocks": tokens}, {})
    measure_hierarchy(parse_params(changed({"hierarchy.seed": 3})), BACKBONE, "digits")
    found, _ = read_tensors(hierarchy_file(BACKBONE, "digits"))
    assert torch.equal(found["prototypes"], prototypes(tokens[-1], 8, seed=3))
    assert torch.equal(found["affinity"], affinity(tokens))


def test_a_hierarchy_needs_no_gpu(tmp_path, monkeypatch):
    """On a cluster its job goes to a node without one, whatever the trainings ask for."""
    params = measured(tmp_path, monkeypatch, "digits")
    before = {
        path: path.read_bytes()
        for path in (hierarchy_file(BACKBONE, "digits"), hierarchy_file(BACKBONE, "digits", ".json"))
    }
    measure_hierarchy(
        params.model_copy(update={"compute": params.compute.model_copy(update={"device": "cuda"})}), BACKBONE, "digits"
    )
    assert {path: path.read_bytes() for path in before} == before
