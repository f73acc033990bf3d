"""What files say is checked where it is read, whatever stands in the place of a value."""

import json

import pytest

from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.records import read_record

WHOLE = {
    records.Task: {"classes": ["cat", "dog"], "splits": {"train": {"images": 3, "sha256": "ab"}}},
    records.Asked: {"settings": {"tasks.own.path": "x"}, "images": {"train": "ab"}},
    records.Hierarchy: {"affinity": [[1, 0.5], [0.5, 1]], "hierarchies": [{"threshold": 1.0, "first_blocks": [0, 1]}]},
    records.Run: {
        "result": {"accuracy": 1, "test_images": 2, "tuned_parameters": 3, "tuned_parameters_without_head": 0},
        "environment": {"torch": "2"},
        "backbone": {"name": "x"},
        "data": {"test": "ab"},
    },
    records.Looks: {
        "images": [{"key": "a", "attention": ["00ff"], "picks": {"3": [1, 2]}}],
        "grid": [1, 2],
        "first_patch": 1,
        "shares": {"patches": 0.5, "others": 0.5, "prompts": 0},
    },
    records.Chosen: {"options": {}, "train": {}, "search": None},
    records.Trials: {"identity": "ab", "trials": [[{"train.lr": 0.1}, 0.5, 1.5, None]]},
    records.Preprocessing: {"image_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"},
    records.Tuned: {"method": "ship", "options": {}, "classes": ["cat"]},
    records.Exported: {
        "weights": "merged",
        "classes": ["cat"],
        "preprocessing": {"image_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"},
    },
    records.Epochs: {"identity": "ab", "log": [[0, 0.1, 1.5, 0.0, 0.5]], "watched": []},
}
OPEN = {"settings", "backbone", "options", "trials", "picks", "attention"}  # what lies below them is not asked about


def places(tree, path=()):
    """The place of every value below `tree`."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield (*path, key)
        if key not in OPEN:
            yield from places(value, (*path, key))


def with_value(tree, path, value):
    """A copy of `tree` that has `value` at the place."""
    copy = json.loads(json.dumps(tree))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy


CASES = [(kind, path) for kind, whole in WHOLE.items() for path in places(whole) if kind is not records.Chosen]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_record_is_what_the_file_holds(tmp_path, kind):
    """Not a key is changed or left out, one that nobody knows neither."""
    (tmp_path / "file.json").write_text(json.dumps({**WHOLE[kind], "later": [1]}))
    assert read_record(tmp_path / "file.json", kind) == {**WHOLE[kind], "later": [1]}


@pytest.mark.parametrize(("kind", "path"), CASES, ids=lambda part: getattr(part, "__name__", part and str(part)))
def test_a_value_of_another_type_is_told(tmp_path, kind, path):
    """File and key."""
    file = tmp_path / "file.json"
    file.write_text(json.dumps(with_value(WHOLE[kind], path, {"x": [None]})))
    if path[-1] in OPEN - {"trials", "picks", "attention"}:
        read_record(file, kind)
        return
    with pytest.raises(BadInput, match=rf"file\.json: (expected )?{path[0]}.* \(make it again\)"):
        read_record(file, kind)


@pytest.mark.parametrize("found", ["[]", "null", "1", '"x"', "{}", "[" * 100_000])
@pytest.mark.parametrize("kind", WHOLE)
def test_other_json_is_no_record(tmp_path, kind, found):
    """A list, nothing, a number; nothing that Python takes for a whole stack either."""
    (tmp_path / "file.json").write_text(found)
    with pytest.raises(BadInput, match=r"file\.json: expected"):
        read_record(tmp_path / "file.json", kind)


def test_no_number_is_no_number(tmp_path):
    """A run whose accuracy is NaN has none, and affinity is square."""
    (tmp_path / "a.json").write_text(json.dumps(with_value(WHOLE[records.Run], ("result", "accuracy"), float("nan"))))
    with pytest.raises(BadInput, match=r"a\.json: result\.accuracy: expected .*, got nan"):
        read_record(tmp_path / "a.json", records.Run, "ship train x")
    (tmp_path / "b.json").write_text(json.dumps(with_value(WHOLE[records.Hierarchy], ("affinity", 0), [1])))
    with pytest.raises(BadInput, match=r"b\.json: expected 2 numbers in each row of affinity, got others"):
        read_record(tmp_path / "b.json", records.Hierarchy)


def test_many_faults_are_counted(tmp_path):
    """Three are told."""
    (tmp_path / "file.json").write_text(json.dumps({"classes": list(range(9)), "splits": {}}))
    with pytest.raises(BadInput, match=r"classes\.0: .*classes\.2: [^;]*; and 6 more"):
        read_record(tmp_path / "file.json", records.Task)
