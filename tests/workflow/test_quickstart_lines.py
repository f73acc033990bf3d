"""The quick start's logger: a line a job, the time left, and errors whole."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from project import ROOT, write_params

PLUGINS = ROOT / "workflow/plugins"
SNAKEFILE = """
rule all:
    input: expand("{n}.txt", n=[1, 2, 3])
rule make:
    output: "{n}.txt"
    log: "{n}.log"
    shell: "if [ {wildcards.n} = FAILS ]; then echo a reason > {log}; exit 1; fi; WORDS; touch {output}"
"""


@pytest.fixture
def plugin(monkeypatch):
    """The module, found as Snakemake finds it."""
    monkeypatch.syspath_prepend(PLUGINS)
    return importlib.import_module("snakemake_logger_plugin_ship")


def snakemake(folder, fails="none", words=":"):
    """A run of three jobs and `all`, of which one may fail: exit code, and the lines on stderr."""
    (folder / "Snakefile").write_text(SNAKEFILE.replace("FAILS", fails).replace("WORDS", words))
    call = (sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "ship", "--show-failed-logs", "--keep-going")
    environment = {**os.environ, "PYTHONPATH": str(PLUGINS)}
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.slow
def test_a_line_a_job(tmp_path):
    """Before them what there is to do; nothing else. Then there is nothing to do, which is said as well."""
    code, lines = snakemake(tmp_path)
    assert code == 0
    assert sorted(lines[0].removeprefix("to do: ").split(", ")) == ["1 all", "3 make"]
    assert len(lines) == 5
    assert all(re.fullmatch(rf"\[{i}/4\] (make [123]|all): \d+ s(, about \d+ s left)?", lines[i]) for i in range(1, 5))
    code, lines = snakemake(tmp_path)
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("Nothing to be done")


@pytest.mark.slow
def test_what_a_job_warns_of_is_seen(tmp_path):
    """Below its line; nothing else that it logs."""
    words = "printf 'to begin\\nwarning: {wildcards.n} are odd\\nmake: done\\n' > {log}"
    code, lines = snakemake(tmp_path, words=words)
    assert (code, len(lines)) == (0, 8)
    for i in (1, 3, 5):
        assert lines[i + 1].strip() == f"warning: {re.search('make (.):', lines[i])[1]} are odd"


def test_what_the_command_warns_of_is_a_warning(plugin, tmp_path):
    """The log of a step marks it as the logger looks for it."""
    (tmp_path / "images/cat").mkdir(parents=True)
    (tmp_path / "images/dog").mkdir()
    for number in range(12):
        picture = np.full((8, 8), 256 * number, np.uint16)
        Image.fromarray(picture).save(tmp_path / f"images/{('cat', 'dog')[number % 2]}/{number}.png")
    task = {"source": "folder", "path": "images", "train": 6, "val": 2, "test": 4}
    write_params(tmp_path, {"tasks": {"own": task}, "grid.tasks": ["own"], "data_root": str(tmp_path)})
    call = (sys.executable, "-m", "ship.cli", "prepare", "own")
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True)
    (tmp_path / "log").write_text(done.stdout + done.stderr)
    assert [line[:24] for line in plugin.warnings([str(tmp_path / "log")])] == ["warning: own: 11 images "]


def test_a_hundred_runs_warn_once(plugin, tmp_path, capsys):
    """Of the same; two tasks each say their own."""
    handler = object.__new__(plugin.LogHandler)
    handler.warned = set()
    for place in ("a/b/0", "a/b/1", "own", "mine"):
        (tmp_path / "log").write_text(f"{place}: begun\nwarning: {place}: too few\nwarning: dark\n")
        handler.warn(place, [str(tmp_path / "log"), str(tmp_path / "gone")])
    said = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert said == [
        f"warning: {of}" for of in ("a/b/0: too few", "dark", "own: too few", "dark", "mine: too few", "dark")
    ]


@pytest.mark.slow
def test_what_fails_is_seen(tmp_path):
    """Which job, and what it logged; the others are made."""
    code, lines = snakemake(tmp_path, fails="2")
    assert code != 0
    assert "Error in rule make:" in lines
    assert "a reason" in lines
    assert sum(line.startswith("[") and "make" in line for line in lines) == 2


def test_the_time_left_is_that_of_each_rule(plugin):
    """Long jobs that come last are no surprise once one of them has ended."""
    progress = plugin.Progress({"short": 2, "long": 2, "last": 1}, start=0.0)
    progress.begin(1, "short", "short a", 0.0)
    assert progress.end(1, 1.0) == "[1/5] short a: 1 s"  # what a long one takes is not known yet
    progress.begin(2, "long", "long a", 0.0)
    progress.begin(2, "long", "long a", 1.0)  # again, after a failure
    assert progress.end(2, 61.0) == "[2/5] long a: 60 s, about 61 s left"


def test_what_is_not_known_is_not_said(plugin):
    """Where the rules that are left have shown no time yet, nothing is said; least of all that none is left."""
    progress = plugin.Progress({"make": 1, "last": 1}, start=0.0)
    progress.begin(1, "make", "make", 0.0)
    assert progress.end(1, 10.0) == "[1/2] make: 10 s"


def test_jobs_that_run_side_by_side_take_less_time(plugin):
    """Two at once halve it."""
    progress = plugin.Progress({"make": 6}, start=0.0)
    for job in (1, 2):
        progress.begin(job, "make", f"make {job}", 0.0)
    progress.end(1, 10.0)
    assert progress.end(2, 10.0) == "[2/6] make 2: 10 s, about 20 s left"


def test_the_last_job_leaves_nothing(plugin):
    """No time is left, and none is spoken of."""
    progress = plugin.Progress({"make": 1}, start=0.0)
    progress.begin(1, "make", "make 1", 0.0)
    assert progress.end(1, 200.0) == "[1/1] make 1: 3 min"
