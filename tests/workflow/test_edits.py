"""An edit of code reruns what depends on it, and nothing else, whichever engine is asked. Nothing is trained here."""

import os

import pytest
from dvc.repo import Repo
from project import command, edit, summary
from versioned import make_repository, run

SEARCH = {"sampler": "grid", "choices": {"train.lr": [0.1, 0.01]}}
ROWS = {"ssf": {"method": "ssf", "search": SEARCH}, "bitfit": {"method": "bitfit"}, "linear": {"method": "linear"}}
RUNS, TABLES = {f"train {name}" for name in ROWS}, {"aggregate", "report"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Both engines believe that all is done: they take empty files as they are told of them."""
    settings = {"grid.methods": list(ROWS), "grid.seeds": [0, 1], "methods": ROWS}
    folder = make_repository(tmp_path_factory.mktemp("edits") / "repository", settings)
    for row in summary(folder):
        path = folder / row["output_file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run(folder, "snakemake", "--cores", "1", "--touch", "--forceall")
    run(folder, "ship", "code")
    run(folder, "dvc", "commit", "--force", "--quiet")
    return folder


@pytest.mark.parametrize(
    ("module", "old", "new", "stale", "follow"),
    [
        ("methods/ssf.py", "class SSF(", "# a comment\n\n\nclass SSF(", set(), set()),
        ("methods/ssf.py", "normal_(1, 0.02)", "normal_(1, 0.03)", {"search ssf", "train ssf"}, TABLES),
        ("training/search.py", "% 2**32", "% 2**31", {"search ssf"}, {"train ssf", *TABLES}),
        (
            *("models/vit.py", "classifier(0)", "classifier(1)"),
            {"backbone", "features", "search ssf", *RUNS},
            {"hierarchy", "search bitfit", "search linear", *TABLES},
        ),
    ],
    ids=["comment", "a method", "the search", "the ViT"],
)
def test_an_edit_makes_the_same_jobs_stale_in_both(repository, module, old, new, stale, follow):
    """A comment none; a constant of SSF its runs; one of the search, rows that have one; one of the ViT, all runs.

    Snakemake plans what is made of these too; DVC looks whether they came out the same.
    """
    path = repository / "ship" / module
    whole = path.read_bytes()
    edit(repository / "ship", module, old, new)
    try:
        jobs = in_snakemake(repository)
        assert {name for name, status, _ in jobs if status == "params changed"} == stale
        assert {name for name, _, plan in jobs if plan != "no update"} == stale | follow
        assert in_dvc(repository) == stale
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("size", [100, 20_000_000], ids=["small", "large"])
def test_changed_images_make_runs_stale(repository, size):
    """By what they hold, or, where they are too large to be read for every run, by when they were written."""
    path = repository / "data/digits/test.parquet"
    time = path.stat().st_mtime
    try:
        with path.open("wb") as file:
            file.truncate(size)
        assert {name for name, _, plan in in_snakemake(repository) if plan != "no update"} == RUNS | TABLES
    finally:
        path.write_bytes(b"")
        os.utime(path, (time, time))


@pytest.mark.parametrize("text", ["published_vtab1k.csv", "templates/page.html.j2"])
def test_an_edited_text_makes_the_page_stale(repository, text):
    """It is read as it is, and no code reaches it."""
    path = repository / "ship/report" / text
    whole, about = path.read_bytes(), path.stat()
    try:
        path.write_bytes(whole + b"\n")
        assert {name for name, _, plan in in_snakemake(repository) if plan != "no update"} == {"report"}
    finally:
        path.write_bytes(whole)
        os.utime(path, (about.st_atime, about.st_mtime))


def in_snakemake(folder):
    """(rule and row, status, plan) of every output, by a process of its own, which reads the edited package."""
    done = command("snakemake", "--cores", "1", "--detailed-summary", cwd=folder)
    assert done.returncode == 0, done.stderr
    header, *lines = [line.split("\t") for line in done.stdout.splitlines()]
    table = [dict(zip(header, line, strict=True)) for line in lines]
    return [(named(job["rule"], job["output_file"]), job["status"], job["plan"]) for job in table]


def in_dvc(folder):
    """Rule and row of the stages that are stale once the digests of the code are written anew."""
    run(folder, "ship", "code")
    with Repo(str(folder)) as repo:
        found = {stage.rpartition(":")[2] for stage in repo.status()} - {"code"}
        files = {stage.name: stage.outs[0].def_path for stage in repo.index.stages}
    return {named(name.partition("@")[0], files[name]) for name in found}


def named(rule, file):
    """The rule, with the row that the file is of where each row has its own code."""
    row = next((row for row in ROWS if f"/{row}" in file), "")
    return f"{rule} {row}".strip()
