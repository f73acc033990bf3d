"""Features and hierarchy of a task, from its files to theirs."""

from project import measured

from ship.artifacts import backbone_file, data_folder, features_file, hierarchy_file, read_json, read_tensors, sha256
from ship.measure import measure_hierarchy


def test_a_hierarchy_needs_no_gpu(tmp_path, monkeypatch):
    """On a cluster its job goes to a node without one, whatever the trainings ask for."""
    params = measured(tmp_path, monkeypatch, "digits")
    before = {path: path.read_bytes() for path in (hierarchy_file("digits"), hierarchy_file("digits", ".json"))}
    measure_hierarchy(
        params.model_copy(update={"compute": params.compute.model_copy(update={"device": "cuda"})}), "digits"
    )
    assert {path: path.read_bytes() for path in before} == before


def test_they_say_what_they_are_of(tmp_path, monkeypatch):
    """The backbone and the images of train and val, by their bytes."""
    params = measured(tmp_path, monkeypatch, "digits")
    splits = {name: sha256(data_folder("digits") / f"{name}.parquet") for name in ("train", "val")}
    expected = {"backbone": sha256(backbone_file(params.backbone.name)), **splits}
    assert read_tensors(features_file("digits"))[1]["of"] == expected
    assert read_tensors(hierarchy_file("digits"))[1]["of"] == expected
    assert read_json(hierarchy_file("digits", ".json"))["of"] == expected
