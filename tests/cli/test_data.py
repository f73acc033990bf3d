"""The commands that bring data, killed at any moment."""

import os
import random
import signal
import sys
import time

import yaml
from originals import install
from project import changed, contents, ship
from web import mirror

from ship import cli
from ship.data.sources.catalogue import SOURCES
from ship.errors import BadInput
from ship.storage import read_json, sha256

TASK = "oxford_iiit_pet"


def test_the_disk_has_room_for_all_that_the_workflow_fetches(tmp_path, monkeypatch):
    """Before the first of many hours; by hand, for the one archive."""
    asked = []

    def full(archives, _):
        asked.append({archive.name for archive in archives})
        raise BadInput("full")

    monkeypatch.setattr("ship.data.download.check_disk", full)
    folder, names = project(tmp_path / "project", "http://127.0.0.1:9"), SOURCES[TASK].archives
    for more in ((), ("--record", "note.json")):
        assert ship("download", names[0], *more, cwd=folder).stderr == "ship: full\n"
    assert ship("prepare", TASK, cwd=folder).returncode == 2
    assert asked == [{names[0]}, {*names}, {*names}]


def forked(folder):
    """`ship prepare` in a process of its own, which has imported everything already; its id."""
    if process := os.fork():
        return process
    os.chdir(folder)
    sys.argv = ["ship", "prepare", TASK]
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(1, 2)
    try:
        cli.main()
    finally:
        os._exit(0)  # none of pytest's own clean-up


def project(folder, address):
    """An experiment of the one task, whose archives are at `address`."""
    folder.mkdir()
    settings = {"tasks": {TASK: {"source": "vtab1k"}}, "grid.tasks": [TASK], "mirrors": [address]}
    (folder / "params.yaml").write_text(yaml.safe_dump(changed(settings)))
    return folder


def is_whole(data):
    """Whether every byte is the one that task.json speaks of."""
    splits = read_json(data / "task.json")["splits"]
    return all(sha256(data / f"{name}.parquet") == about["sha256"] for name, about in splits.items())


def test_twenty_kills_of_prepare(tmp_path, monkeypatch):
    """Never a task.json beside half a split, and no archive is fetched again once it is there; then the same bytes."""
    (tmp_path / "served").mkdir()
    install(monkeypatch, TASK, tmp_path / "served")
    chance, kills = random.Random(3), 0
    with mirror(tmp_path / "served") as site:
        calm, timed, torn = (project(tmp_path / name, site.address) for name in ("calm", "timed", "torn"))
        data = torn / "data" / TASK
        assert ship("prepare", TASK, cwd=calm).returncode == 0  # in this process, so that all is imported
        start = time.perf_counter()
        os.waitpid(forked(timed), 0)
        usual = time.perf_counter() - start
        assert is_whole(timed / "data" / TASK)
        site.asked.clear()
        while kills < 20:
            there = {name for name in SOURCES[TASK].archives if (torn / "archives" / name).exists()}
            asked = len(site.asked)
            process = forked(torn)
            time.sleep(chance.uniform(0, usual))
            os.kill(process, signal.SIGKILL)
            kills += os.WIFSIGNALED(os.waitpid(process, 0)[1])
            assert not there & {*site.asked[asked:]}
            if (data / "task.json").exists():
                assert is_whole(data)
                (data / "task.json").unlink()
        os.waitpid(forked(torn), 0)
    assert contents(data, "*", ".*") == contents(calm / "data" / TASK, "*")
    assert [path.name for path in (torn / "data").iterdir()] == [TASK]
    assert sorted(path.name for path in (torn / "archives").glob("[!.]*")) == sorted(SOURCES[TASK].archives)
