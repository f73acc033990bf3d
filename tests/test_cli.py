"""The command: bad input ends in one line that names file and place, exit code 2, and nothing left behind."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import typer
import yaml
from PIL import Image
from project import BACKBONE, ROOT, command, environment_of, make_project, ship, write_params

from ship import cli
from ship.cli.app import app
from ship.errors import BadInput
from ship.experiment.params import read_params
from ship.models.backbones import BACKBONES
from ship.storage import write_tensors


def refused(folder, *arguments):
    """The one line that `ship ...` says when it refuses; asserts that it does, and that it leaves nothing new."""
    before = {path for path in folder.rglob("*") if path.is_file()}
    done = ship(*arguments, cwd=folder)
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("ship: ")
    assert before == {path for path in folder.rglob("*") if path.is_file()}
    return lines[0]


@pytest.fixture
def vtab(tmp_path):
    """A small folder in the VTAB layout, named by a params.yaml."""
    folder = tmp_path / "lists"
    (folder / "images").mkdir(parents=True)
    for i in range(12):
        Image.effect_noise((20, 20), 30 + i).convert("RGB").save(folder / "images" / f"{i}.png")
    for name, rows in (("train800", range(4)), ("val200", range(4, 8)), ("test", range(8, 12))):
        (folder / f"{name}.txt").write_text("".join(f"images/{i}.png {i % 2}\n" for i in rows))
    return tmp_path


def point_at(folder, **task):
    """params.yaml whose task `own` is as said."""
    write_params(folder, {"grid.tasks": ["own"], "tasks": {"own": {"source": "vtab", "path": "lists", **task}}})


def test_a_good_folder_is_prepared(vtab, monkeypatch):
    """What the next tests break is whole. Pillow has no word in how large an image may be."""
    point_at(vtab)
    done = command("ship", "prepare", "own", cwd=vtab)
    assert done.returncode == 0, done.stderr
    assert (vtab / "data/own/task.json").is_file()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert ship("prepare", "own", cwd=vtab).returncode == 0


def test_a_missing_image(vtab):
    """Names the list and its line."""
    point_at(vtab)
    (vtab / "lists/images/5.png").unlink()
    assert "val200.txt:2: expected" in refused(vtab, "prepare", "own")


def test_a_truncated_image(vtab):
    """Half a PNG is refused, with its name."""
    point_at(vtab)
    path = vtab / "lists/images/9.png"
    path.write_bytes(path.read_bytes()[:300])
    line = refused(vtab, "prepare", "own")
    assert "9.png" in line
    assert "test.txt:2" in line


@pytest.mark.parametrize("label", ["2", "-1", "cat", "1.5"])
def test_a_label_out_of_range(vtab, label):
    """Names the list and its line."""
    point_at(vtab, classes=2)
    path = vtab / "lists/train800.txt"
    path.write_text(path.read_text().replace("2.png 0", f"2.png {label}"))
    assert "train800.txt:3: expected" in refused(vtab, "prepare", "own")


def test_an_empty_class(vtab):
    """A class that no training image has is named."""
    point_at(vtab, classes=3)
    assert "class" in refused(vtab, "prepare", "own")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["prepare", "digitz"],
            "params.yaml: tasks: expected one of digits, textures, got 'digitz' (did you mean 'digits'?)",
        ),
        (["train", f"{BACKBONE}/digits/shp/0"], "params.yaml: methods: expected one of linear, ship, vpt, got 'shp'"),
        (["train", f"{BACKBONE}/nothing/ship/0"], "params.yaml: tasks: expected one of"),
        (["init", "quickstrat"], "preset: expected one of"),
    ],
)
def test_unknown_names(tmp_path, arguments, message):
    """Names what there is, and the nearest."""
    write_params(tmp_path)
    (tmp_path / "presets").mkdir()
    shutil.copy(ROOT / "presets/quickstart.yaml", tmp_path / "presets")
    assert message in refused(tmp_path, *arguments)


@pytest.mark.parametrize(
    ("key", "value", "arguments", "message"),
    [
        (
            f"backbones.{BACKBONE}.name",
            "vit_mimi",
            ["backbone", BACKBONE],
            f"backbones.{BACKBONE}.name: expected one of",
        ),
        (
            f"backbones.{BACKBONE}.name",
            "resnet18",
            ["backbone", BACKBONE],
            "backbone resnet18: expected a plain pre-norm ViT of timm, got ResNet",
        ),
        (
            f"backbones.{BACKBONE}.weights",
            "absent.safetensors",
            ["backbone", BACKBONE],
            f"backbones.{BACKBONE}.weights: expected pretrained, random or a file",
        ),
        (
            "methods.vpt.options",
            {"promt_length": 3},
            ["train", f"{BACKBONE}/digits/vpt/0"],
            "methods.vpt.options.promt_length: expected",
        ),
        (
            "methods.vpt",
            {"method": "mlp", "options": {"width": 0}},
            ["features", f"{BACKBONE}/digits"],
            "methods.vpt.options.width: expected",
        ),
        ("methods.vpt.method", "vtp", ["train", f"{BACKBONE}/digits/vpt/0"], "methods.vpt.method: expected one of"),
        (
            "train.lr",
            "fast",
            ["train", f"{BACKBONE}/digits/vpt/0"],
            "params.yaml: train.lr: expected a number, got 'fast'",
        ),
        ("train.epochs", True, ["features", "digits"], "params.yaml: train.epochs: expected"),
        ("tasks.digits.source", "kaggle", ["prepare", "digits"], "params.yaml: tasks.digits.source: expected"),
    ],
)
def test_bad_settings(tmp_path, key, value, arguments, message):
    """Names file and key."""
    write_params(tmp_path, {key: value})
    ship("search", f"{BACKBONE}/digits/vpt", cwd=tmp_path)
    assert message in refused(tmp_path, *arguments)


def test_weights_of_another_architecture(tmp_path):
    """Names the first tensor that does not fit."""
    import timm

    write_tensors(tmp_path / "w.safetensors", timm.create_model("vit_tiny_patch16_224", img_size=32).state_dict())
    write_params(tmp_path, {f"backbones.{BACKBONE}.weights": "w.safetensors"})
    assert f"backbones.{BACKBONE}.weights (w.safetensors) for test_vit: " in refused(tmp_path, "backbone", BACKBONE)


def test_wrong_sha256(vtab):
    """An archive that is not the expected one is not opened."""
    with tarfile.open(vtab / "a.tar.gz", "w:gz") as archive:
        archive.add(vtab / "lists", "lists")
    point_at(vtab, path="a.tar.gz", sha256=hashlib.sha256(b"other").hexdigest())
    assert "a.tar.gz: expected an archive with sha256" in refused(vtab, "prepare", "own")


def test_an_archive_that_leaves_its_folder(vtab):
    """A member with `../` is refused, and nothing is written anywhere."""
    with tarfile.open(vtab / "a.tar.gz", "w:gz") as archive:
        archive.add(vtab / "lists", "lists")
        archive.add(
            vtab / "params.yaml" if (vtab / "params.yaml").exists() else vtab / "lists/test.txt", "../../evil.txt"
        )
    point_at(vtab, path="a.tar.gz")
    assert "evil.txt" in refused(vtab, "prepare", "own")
    assert not list(vtab.parent.glob("evil*"))


def test_init_writes_a_preset_with_settings(tmp_path):
    """Keys are set, comments stay, and the result is a valid experiment."""
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    done = ship("init", "quickstart", "train.epochs=3", "grid.seeds=[1, 2]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "params.yaml: train.epochs does not reach linear (set by methods.linear.train.epochs)\n" in done.stdout
    params = read_params(tmp_path / "params.yaml")
    assert (params.train.epochs, params.grid.seeds) == (3, [1, 2])
    assert "# " in (tmp_path / "params.yaml").read_text()
    assert yaml.safe_load((ROOT / "presets/quickstart.yaml").read_text())["tasks"].keys() == params.tasks.keys()


def test_init_keeps_the_experiment_that_was_there(tmp_path):
    """An edited params.yaml is put aside, and it is said where; an equal one stays."""
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    (tmp_path / "params.yaml").write_text("mine")
    assert "params.yaml.before1" in ship("init", "quickstart", cwd=tmp_path).stdout
    assert not ship("init", "quickstart", cwd=tmp_path).stdout
    assert "params.yaml.before2" in ship("init", "ablations", cwd=tmp_path).stdout
    assert (tmp_path / "params.yaml.before1").read_text() == "mine"


def test_backbones_that_have_a_name_are_listed(tmp_path):
    """Without an experiment."""
    lines = ship("backbone", "list", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*BACKBONES]


def test_init_needs_the_presets(tmp_path):
    """They lie in the root of a clone."""
    assert "presets: expected a folder with experiments" in refused(tmp_path, "init", "list")


def test_init_refuses_a_setting_that_is_none(tmp_path):
    """A misspelt key is named, and params.yaml is not written."""
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    assert "train.epoch: expected one of" in refused(tmp_path, "init", "quickstart", "train.epoch=3")
    line = refused(tmp_path, "init", "quickstart", "methods.ship.method=shp")
    assert "methods.ship.method: expected one of" in line
    assert "did you mean 'ship'?" in line
    assert "expected KEY=VALUE" in refused(tmp_path, "init", "quickstart", "train.epochs")


@pytest.mark.parametrize(
    "settings",
    [
        ["methods.ship.options.prompt_lenght=3", "methods.linear.options.prompt_length=3"],
        ["methods.ship.tasks.tissue.options.prompt_length=few", "methods.shared_adapter.options.rank=many"],
    ],
    ids=["names", "types"],
)
def test_init_refuses_what_no_method_takes(tmp_path, settings):
    """At once, not in the first job, on whichever task; another row's fault is named in the same line."""
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    line = refused(tmp_path, "init", "quickstart", *settings)
    assert all(f"{setting.split('=')[0]}: expected" in line for setting in settings)


@pytest.mark.parametrize("arguments", [["-h"], ["train", "-h"]])
def test_help_has_a_short_option(tmp_path, arguments):
    """Of the command and of each step."""
    done = command("ship", *arguments, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ship")


def test_every_command_has_a_line_of_help(monkeypatch):
    """Which is whole on a terminal of 80 columns: it is the first sentence of its help."""
    monkeypatch.setenv("COLUMNS", "80")
    with click.Context(typer.main.get_command(app)) as context:
        lines = context.get_help().splitlines()
    commands = lines[lines.index("Commands:") + 1 :]
    assert len(commands) == len(app.registered_commands)
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []


def test_a_shell_completes_names(tmp_path, monkeypatch):
    """Of the presets, and of what the grid has; elsewhere there are none, and no error."""
    monkeypatch.setenv("_SHIP_COMPLETE", "complete_bash")

    def completed(*typed):
        monkeypatch.setenv("COMP_WORDS", " ".join(["ship", *typed]))
        monkeypatch.setenv("COMP_CWORD", str(len(typed)))
        return command("ship", cwd=tmp_path).stdout.split()

    assert completed("init", "qu") == completed("prepare", "") == []
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    write_params(tmp_path, {"grid.tasks": ["digits", "textures"], "grid.methods": ["vpt"], "grid.seeds": [0, 1]})
    assert completed("init", "qu") == ["quickstart"]
    assert completed("prepare", "") == ["digits", "textures"]
    assert completed("train", f"{BACKBONE}/digits/") == [f"{BACKBONE}/digits/vpt/0", f"{BACKBONE}/digits/vpt/1"]


def test_a_shell_sees_one_line_and_a_2(tmp_path):
    """The command as a process of its own says what it says within the process of the tests."""
    write_params(tmp_path)
    done = command("ship", "prepare", "digitz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ship("prepare", "digitz", cwd=tmp_path).stderr
    assert done.stderr.startswith("ship: params.yaml: tasks: expected one of")
    assert done.stderr.count("\n") == 1


def test_images_of_other_settings_are_not_trained_on(tmp_path):
    """Nor measured, nor searched on; and a run of others is used with a word."""
    make_project(tmp_path, {"grid.tasks": ["digits"], "grid.methods": ["vpt"], "train.epochs": 2})
    for step in (
        ("prepare", "digits"),
        ("backbone", BACKBONE),
        ("features", f"{BACKBONE}/digits"),
        ("hierarchy", f"{BACKBONE}/digits"),
        ("search", f"{BACKBONE}/digits/vpt"),
        ("train", f"{BACKBONE}/digits/vpt/0"),
    ):
        done = ship(*step, cwd=tmp_path)
        assert done.returncode == 0
        assert done.stderr.splitlines()[-1] == f"{'settings' if step[0] == 'search' else step[0]}: done"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    predict = ("predict", f"{BACKBONE}/digits/vpt/0", "a.png", "--device", "cpu")
    assert "stale" not in ship(*predict, cwd=tmp_path).stderr
    others = {"grid.tasks": ["digits"], "grid.methods": ["vpt"], "train.epochs": 2, "tasks.digits.seed": 3}
    searched = {"methods.vpt.search": {"sampler": "grid", "choices": {"train.lr": [0.01, 0.02]}}}
    for step, place, more in (("features", "", {}), ("search", "/vpt", searched), ("train", "/vpt/0", {})):
        write_params(tmp_path, {**others, **more})
        done = ship(step, f"{BACKBONE}/digits{place}", cwd=tmp_path)
        assert done.returncode == 2
        assert "data/digits: expected images that were prepared with tasks.digits.seed 3, got those of 0" in done.stderr
    said = ship(*predict, cwd=tmp_path).stderr
    assert f"ship: {BACKBONE}/digits/vpt/0: is stale: tasks.digits.seed 0 -> 3 (snakemake trains it again)" in said


def test_a_command_hands_on_what_it_is_asked(tmp_path, monkeypatch):
    """And says that a model is stale, or that nobody knows whether it is."""
    asked, doubts = [], iter(["m: is stale", BadInput("params.yaml: expected a file")])

    def doubt(_):
        if isinstance(found := next(doubts), BadInput):
            raise found
        return found

    monkeypatch.setattr("ship.report.status.doubts", doubt)
    monkeypatch.setattr("ship.inference.restore.find", lambda model: model)
    monkeypatch.setattr("ship.inference.restore.load", lambda model: SimpleNamespace(classes=["a", "b"]))
    monkeypatch.setattr("ship.inference.files.classify", lambda _, __, compute, ___: asked.append(compute) or iter(()))
    monkeypatch.setattr("ship.inference.export.export", lambda *_, **options: asked.append(options))
    monkeypatch.setattr("ship.pretrain.training.pretrain", lambda *_, **options: asked.append(options) or [])
    (tmp_path / "a.png").touch()
    done = ship("predict", "m", "a.png", "--device", "cpu", "--threads", "3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "ship: m: is stale\n")
    done = ship("export", "m", "folder", "--images", "7", "--no-onnx", "--threads", "3", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "folder: done\n")
    assert done.stderr == "ship: m: whether it is stale is not known: params.yaml: expected a file\n"
    ship("pretrain", str(ROOT / "presets/pretrain_vit_mini.yaml"), "out", "--workers", "1", cwd=tmp_path)
    compute, options, pretraining = asked
    assert (compute.device, compute.threads) == ("cpu", 3)
    assert options == {"images": 7, "onnx": False, "threads": 3}
    assert pretraining == {"device": "cpu", "workers": 1}


def test_a_full_disk_is_told(tmp_path):
    """Where the answer goes, which is no success."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            ["ship", "schema"],
            cwd=tmp_path,
            env=environment_of(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == b"ship: output: expected room on its disk, got: No space left on device\n"


def test_streams_that_the_caller_has_closed_lead_nowhere(monkeypatch):
    """Python has nothing in their place, which has no end and takes no words."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    monkeypatch.setattr(sys, "argv", ["ship", "schema"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    with sys.stdin, sys.stdout, sys.stderr:
        assert (sys.stdin.read(), sys.stdout.write("a"), sys.stderr.isatty()) == ("", 1, False)
