"""`state.py` tells no engine what the other does not vouch for. What both make of it is in test_dvc.py."""

import hashlib
import subprocess
import sys

import pytest
import yaml
from project import ROOT, write_params

from ship.artifacts import Run

sys.path.append(str(ROOT / "workflow"))
import state

DONE = {"rule": "train", "plan": "no update", "status": "ok"}
RUN = Run("vit_random", "digits", "vpt", 0)


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """The commands that were run in a folder with an experiment; none computes anything."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    commands = []
    monkeypatch.setattr(state, "_run", lambda *command: commands.append(command))
    monkeypatch.setattr(state, "summary", list)
    monkeypatch.setattr(state, "not_done", lambda _: {})
    return commands


def test_a_finished_workflow_is_recorded(ran):
    """The digests of the code with it, on which the stages depend."""
    state.record()
    assert ran == [("ship", "code"), ("dvc", "commit", "--force", "--quiet")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda patch, _: patch(state, "summary", lambda: [{**DONE, "output_file": "gone"}]), "gone (train: ok)"),
        (lambda patch, _: patch(state, "not_done", lambda _: {RUN: "stale: train.lr"}), f"{RUN}: stale: train.lr"),
        (lambda _, folder: (folder / "runs").mkdir() or (folder / "runs/notes").touch(), "runs/notes"),
    ],
    ids=["absent", "stale", "stray"],
)
def test_what_is_not_recorded_is_told(ran, tmp_path, monkeypatch, change, told):
    """And nothing is committed."""
    change(monkeypatch.setattr, tmp_path)
    with pytest.raises(SystemExit, match="not recorded") as end:
        state.record()
    assert end.value.code.splitlines()[1:] == [f"  {told}"]
    assert not ran


@pytest.mark.parametrize("lacks", ["status", "changed", "damaged"])
def test_what_is_not_synced_is_told(ran, monkeypatch, lacks):
    """And nothing is believed: no file is touched."""
    answer = subprocess.CompletedProcess((), int(lacks == "status"))
    monkeypatch.setattr(state.subprocess, "run", lambda *_, **__: answer)
    for name in ("changed", "damaged"):
        monkeypatch.setattr(state, name, lambda *_, name=name: ["a"] if name == lacks else [])
    with pytest.raises(SystemExit, match="not synced"):
        state.sync()
    assert ran == [("dvc", "repro", "--quiet", "code")]


def test_what_snakemake_would_make_is_pending(tmp_path, monkeypatch):
    """Or what is not there; of a note on an archive neither counts, since it goes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    new, note = {**DONE, "plan": "update pending"}, {**DONE, "rule": "download", "plan": "update pending"}
    jobs = [{**job, "output_file": file} for job in (DONE, new, note) for file in ("there", "gone")]
    assert [line.split()[0] for line in state.pending(jobs)] == ["gone", "there", "gone"]


def test_a_file_with_other_bytes_is_damaged(tmp_path, monkeypatch):
    """Of those that the workflow makes."""
    monkeypatch.chdir(tmp_path)
    md5 = hashlib.md5(b"whole", usedforsecurity=False).hexdigest()
    outs = [{"path": name, "md5": md5} for name in ("whole", "broken", "code.json")]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    for name in ("whole", "broken"):
        (tmp_path / name).write_text("whole" if name == "whole" else "whale")
    monkeypatch.setattr(state, "summary", lambda: [{**DONE, "output_file": name} for name in ("whole", "broken")])
    assert state.damaged() == ["broken"]


def test_logs_that_a_touch_leaves_are_no_logs(tmp_path, monkeypatch):
    """`ship status` would take an empty one for a job that was killed."""
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "kept.log").write_text("done")
    monkeypatch.setattr(state, "_run", lambda *_: (logs / "new.log").touch())
    state._touch()
    assert [path.name for path in logs.iterdir()] == ["kept.log"]


def test_a_command_that_fails_ends_it():
    """With its exit code."""
    with pytest.raises(SystemExit) as end:
        state._run(sys.executable, "-c", "raise SystemExit(7)")
    assert end.value.code == 7
