"""Archives in the workflow: before `prepare`, once each, and only when a task is prepared."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from project import command, make_project
from web import serving

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("at_once")]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A zip with 12 images of two classes."""
    folder = tmp_path_factory.mktemp("packed")
    for n in range(12):
        (folder / "in" / "ab"[n % 2]).mkdir(parents=True, exist_ok=True)
        Image.effect_noise((20, 20), 30 + n).convert("RGB").save(folder / "in" / "ab"[n % 2] / f"{n}.png")
    return Path(shutil.make_archive(str(folder / "pets"), "zip", folder / "in")).read_bytes()


def make(folder, *targets):
    """What Snakemake says it ran for these targets."""
    done = command("snakemake", "--cores", "2", *targets, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_download_then_prepare(tmp_path, packed):
    """Two tasks of an archive cost one request; what is prepared needs neither network nor archive any more."""
    with serving(packed) as site:
        task = {"source": "folder", "url": site.url("/pets.zip"), "sha256": hashlib.sha256(packed).hexdigest()}
        task |= {"train": 6, "val": 2, "test": 2}
        tasks = {"pets": task, "again": task, "digits": {"source": "builtin"}}
        folder = make_project(tmp_path / "project", {"tasks": tasks, "grid.tasks": list(tasks)})
        targets = [f"data/{name}/task.json" for name in tasks]
        said = make(folder, *targets)
        assert said.count("rule download") == 2
        assert len(site.asked) == 1
        (kept,) = (folder / "archives").glob("[!.]*")
        assert kept.read_bytes() == packed
        told = next(folder.glob("logs/download/pets/*.log")).read_text()
        assert "verified, at archives/" in told
        assert told in said  # it may take hours
        assert not list((folder / "downloads").rglob("*.json"))
        assert json.loads((folder / targets[0]).read_text())["splits"]["train"]["images"] == 6

        assert "Nothing to be done" in make(folder, *targets)
        kept.rename(tmp_path / "moved.zip")
        assert "Nothing to be done" in make(folder, *targets)

        (folder / targets[0]).unlink()
        (kept.parent / "mine").mkdir()
        (tmp_path / "moved.zip").rename(kept.parent / "mine" / kept.name)
        said = make(folder, *targets)
        assert said.count("rule download") == said.count("rule prepare") == 1
        assert len(site.asked) == 1
