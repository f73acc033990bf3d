"""Presets: whole experiments, with some keys set, comments kept."""

import copy

import pytest
import timm
import torch
import yaml
from project import EXPERIMENTS, ROOT, TINY

from ship.errors import BadInput
from ship.experiment import presets
from ship.experiment.params import parse_params, read_params
from ship.methods import build
from ship.methods.base import tuned_parameters
from ship.models.backbones import BACKBONES

SHIPPED = ROOT / "presets"

TEXT = """# A first line.
grid: {backbones: [vit], tasks: [digits], methods: [linear], seeds: [0]}
backbones:
  vit: {name: vit_mini}   # a remark
tasks:
  digits: {source: builtin}
methods:
  linear: {method: linear}
data_root: .
hierarchy: {}
train: {}
protocol: last-epoch
compute: {}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """A folder of presets with one in it."""
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/small.yaml").write_text(TEXT)
    (tmp_path / "presets/pretrain_x.yaml").write_text("steps: 3")
    monkeypatch.chdir(tmp_path)


def test_without_settings_the_text_is_kept():
    """To the byte."""
    assert presets.fill("small", []) == TEXT


def test_settings_are_read_as_yaml_and_comments_stay():
    """Numbers, lists and groups that were not there before."""
    text = presets.fill("small", ["grid.seeds=[1, 2]", "train.lr=0.5", "backbones.vit.weights=w.safetensors"])
    read = yaml.safe_load(text)
    assert (read["grid"]["seeds"], read["train"]["lr"], read["backbones"]["vit"]["weights"]) == (
        [1, 2],
        0.5,
        "w.safetensors",
    )
    assert "# a remark" in text


def test_a_value_is_written_as_it_is_spelt():
    """A small rate stays a number for the YAML that reads it next, a quoted word stays a word."""
    text = presets.fill("small", ["train.lr=1.0e-5", "train.weight_decay=0.00001", 'data_root="on"'])
    read = yaml.safe_load(text)
    assert (read["train"], read["data_root"]) == ({"lr": 1e-5, "weight_decay": 1e-5}, "on")


def test_a_recipe_that_does_not_reach_a_row_is_said():
    """A row's own key stays, and is named, unless it is set too; what reaches every row of the grid needs no word."""
    raw = {**TINY, "methods": copy.deepcopy(TINY["methods"])}
    raw["methods"]["vpt"]["tasks"] = {"digits": {"train": {"epochs": 9}}}
    raw["methods"]["ship"]["search"] = {"trials": 2, "choices": {"train.lr": [0.1, 0.2]}}
    params = parse_params(raw)
    said = presets.unreached(params, ["train.lr=0.5", "train.epochs=20", "train.batch_size=8", "grid.seeds=[1]"])
    assert said == [
        "train.lr does not reach linear, ship (set by methods.linear.train.lr, methods.ship.search.choices.train.lr)",
        "train.epochs does not reach vpt (set by methods.vpt.tasks.digits.train.epochs)",
    ]
    assert presets.unreached(params, ["train.epochs=20", "methods.vpt.tasks.digits.train.epochs=20"]) == []


def test_a_row_that_no_run_has_is_told():
    """A setting of a row outside the grid changes nothing."""
    raw = {**TINY, "grid": {**TINY["grid"], "methods": ["linear"]}}
    settings = ["methods.vpt.train.lr=0.1", "methods.vpt.train.epochs=9", "methods.linear.train.lr=0.1"]
    assert presets.unreached(parse_params(raw), settings) == [
        "methods.vpt: no run has it (grid.methods does not name it)"
    ]


def test_a_folder_that_no_task_reads_is_told():
    """`data_root` is where paths of tasks start; tasks made of archives, and built-in ones, have none."""
    raw = {**TINY, "grid": {**TINY["grid"], "tasks": ["cifar"]}, "tasks": {"cifar": {"source": "vtab1k"}}}
    (said,) = presets.unreached(parse_params(raw), ["data_root=lists"])
    assert said.startswith("data_root does not reach any task (none has a `path`")
    raw["tasks"]["cifar"] = {"source": "vtab", "path": "cifar"}
    assert presets.unreached(parse_params(raw), ["data_root=lists"]) == []


@pytest.mark.parametrize(
    ("preset", "setting", "message"),
    [
        ("large", "a=1", "preset: expected one of small, got 'large'"),
        ("small", "train.lr", "setting: expected KEY=VALUE, got 'train.lr'"),
        ("small", "grid.seeds.x=1", "setting grid.seeds.x: expected a group of keys at seeds"),
        ("small", "train.lrr=1", "preset small: train.lrr: expected one of"),
        ("small", "train.lr=[", "setting train.lr: expected YAML"),
    ],
)
def test_what_is_refused(preset, setting, message):
    """Unknown presets, no assignments, keys of no group, experiments that are none."""
    with pytest.raises(BadInput, match=message.replace("[", r"\[")):
        presets.fill(preset, [setting])


def test_a_folder_is_not_put_aside(tmp_path):
    """Whoever writes the file says that there is one."""
    assert presets.put_aside(tmp_path, "text") is None
    assert tmp_path.is_dir()


def test_the_overview_has_a_line_a_preset():
    """Name and first comment."""
    assert presets.overview().split(maxsplit=1) == ["small", "A first line."]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_what_differs_for_a_task_names_one_of_the_preset(path):
    """A name that is written wrong would leave the row's own settings in force."""
    params = read_params(path)
    for name, row in params.methods.items():
        assert row.tasks.keys() <= params.tasks.keys(), name


@pytest.mark.parametrize("row", ["vpt", "cvpt_published", "ship_published"])
def test_settings_of_a_task_are_there_for_all_nineteen(row):
    """A task that is left out would silently take those of the row."""
    params = read_params(SHIPPED / "vtab1k.yaml")
    assert params.methods[row].tasks.keys() == params.tasks.keys()
    assert len(params.tasks) == 19


def test_vtab1k_from_archives_and_from_lists_have_the_same_recipes():
    """The two presets differ in where images come from, and in nothing else."""
    archives, lists = (read_params(SHIPPED / f"{name}.yaml") for name in ("vtab1k", "vtab1k_lists"))
    places = {"tasks", "data_root"}
    assert archives.model_dump(exclude=places) == lists.model_dump(exclude=places)
    assert archives.tasks.keys() == lists.tasks.keys()
    assert {task.source for task in archives.tasks.values()} == {"vtab1k"}
    assert {task.source for task in lists.tasks.values()} == {"vtab"}


def test_backbones_are_compared_at_one_size_with_one_recipe():
    """Four families of ViT-B at 224 px, rows with a name of their own; nothing is said of a single backbone."""
    params = read_params(SHIPPED / "backbones.yaml")
    rows = [params.backbones[name] for name in params.grid.backbones]
    weights = [timm.get_pretrained_cfg(BACKBONES[row.name].timm) for row in rows]
    assert len({row.name.partition("_")[0] for row in rows}) == 4
    assert {row.image_size or found.input_size[-1] for row, found in zip(rows, weights, strict=True)} == {224}
    assert {row.weights for row in rows} == {"pretrained"}


@pytest.mark.parametrize(
    ("row", "millions"),
    [("linear", 0), ("full", 85.8), ("bitfit", 0.1), ("lora", 0.29), ("adaptformer", 0.16), ("ssf", 0.21)],
)
def test_rows_are_as_large_as_their_papers_say(row, millions):
    """Without the head, on ViT-B/16, as the published rows state it."""
    params = read_params(SHIPPED / "vtab1k.yaml")
    with torch.device("meta"):
        vit = timm.create_model("vit_base_patch16_224", num_classes=0)
        model = build(params.methods[row].method, vit, 10, params.options_of(row), {})
    head = sum(tensor.numel() for tensor in model.head.parameters())
    count = sum(tensor.numel() for tensor in tuned_parameters(model).values()) - head
    assert count / 1e6 == pytest.approx(millions, abs=0.005 if millions < 1 else 0.05)


def test_prompts_are_as_many_as_their_papers_say():
    """VPT-deep on ViT-B/16: 0.56 M on average over the tasks, in agreement with the lengths that were inferred."""
    params = read_params(SHIPPED / "vtab1k.yaml")
    lengths = [params.options_of("vpt", task)["prompt_length"] for task in params.tasks]
    assert 12 * 768 * sum(lengths) / len(lengths) / 1e6 == pytest.approx(0.56, abs=0.01)


@pytest.mark.parametrize(
    "value",
    [
        "My photos #1",
        "2024-05-01",
        "007",
        "1e3",
        "~",
        "~/photos",
        "on",
        "a: b",
        "C:\\photos",
        "[x]",
        "- a",
        "@eaDir",
        "10:30",
    ],
)
def test_text_is_taken_as_it_is_spelt(value):
    """Where the schema wants text, also for a task that is new, and in a group."""
    for setting in (f"tasks.mine.path={value}", f"data_root={value}"):
        text = presets.fill("small", ["tasks.mine.source=folder", "tasks.mine.path=x", setting])
        read = yaml.safe_load(text)
        assert value in (read["tasks"]["mine"]["path"], read["data_root"])


def test_a_list_of_texts_is_a_list():
    """As every list."""
    text = presets.fill("small", ["grid.tasks=[digits]", "mirrors=[http://127.0.0.1:80/x, https://y/z]"])
    read = yaml.safe_load(text)
    assert (read["grid"]["tasks"], read["mirrors"]) == (["digits"], ["http://127.0.0.1:80/x", "https://y/z"])


def test_text_in_a_group_is_taken_as_it_is_spelt():
    """A date or a number is a name there."""
    for value in ("2024-05-01", "007", "on", "1.50"):
        text = presets.fill("small", [f"tasks.mine={{source: folder, path: {value}, train: 0.5}}"])
        assert yaml.safe_load(text)["tasks"]["mine"] == {"source": "folder", "path": value, "train": 0.5}


def test_nothing_is_still_nothing():
    """Null takes a text away."""
    text = presets.fill("small", ["backbones.vit.sha256=null"])
    assert yaml.safe_load(text)["backbones"]["vit"]["sha256"] is None


def test_text_that_is_none_says_how_to_write_it(tmp_path):
    """A file that was edited by hand."""
    (tmp_path / "p.yaml").write_text(TEXT.replace("{source: builtin}", "{source: folder, path: 2024-05-01}"))
    with pytest.raises(BadInput, match=r"path: expected text, got 2024-05-01 \(YAML reads it as a date: write it in"):
        read_params(tmp_path / "p.yaml")


def test_presets_send_no_laptop_to_bf16():
    """Where a CPU may compute, precision is fp32, or bf16 if the processor has it; bf16 is for presets of a GPU."""
    for path in EXPERIMENTS:
        compute = read_params(path).compute
        assert compute.precision != "bf16" or compute.device == "cuda", path.stem
