"""The commands that bring data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ship.artifacts import data_folder
from ship.cli.app import TaskName, app
from ship.cli.progress import downloading
from ship.errors import unknown
from ship.experiment.code import unchanged
from ship.experiment.names import parts
from ship.experiment.params import Params, read_params
from ship.storage import expanded


@app.command()
def download(
    archive: Annotated[str, typer.Argument(help="a name that `ship data` shows")],
    record: Annotated[Path | None, typer.Option(help="JSON file that then says what was found")] = None,
) -> None:
    """Download an archive, or verify the one that is there. Goes on where a killed one stopped."""
    from ship.data.download import check_disk, fetch, write_record
    from ship.data.inventory import needed, served
    from ship.data.sources.catalogue import ARCHIVES

    params = read_params()
    folder = expanded(params.archives)
    known = served({**ARCHIVES, **needed(params.tasks)}.values(), params.mirrors)
    if archive not in known:
        raise unknown("archive", archive, known)
    wanted = {task: params.tasks[task] for task in params.grid.tasks}  # by the workflow: all
    others = needed(wanted) if record else {}
    check_disk([known[name] for name in sorted({*others, archive})], folder)
    with downloading(archive) as tell:
        path = fetch(known[archive], folder, tell)
    print(f"{archive}: verified, at {path}")
    if record is not None:
        write_record(known[archive], path, record)


@app.command()
def data(
    everything: Annotated[bool, typer.Option("--all", help="every data set that there is a name for")] = False,
    machine: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Show the archives that the tasks need, and what they lack. Exits 1 where a person must get or replace one."""
    from ship.data import status
    from ship.data.inventory import needs, served
    from ship.data.sources.catalogue import ARCHIVES, SOURCES

    params = read_params()
    folder = expanded(params.archives)
    needing = {task: needs(task, params.tasks[task]) for task in params.grid.tasks}
    if everything:
        named = {name: tuple(ARCHIVES[archive] for archive in row.archives) for name, row in SOURCES.items()}
        needing = {**{task: needs(task, row) for task, row in params.tasks.items()}, **named}
    found = status.states({task: [*served(some, params.mirrors).values()] for task, some in needing.items()}, folder)
    print(json.dumps(status.as_json(found, folder), indent=2) if machine else status.table(found, folder))
    if any(one.state in ("wrong", "by hand") for one in found):
        raise typer.Exit(1)


@app.command()
def prepare(task: TaskName) -> None:
    """Write a task's images as one parquet file per split. Each is checked, and keeps its bytes."""
    with unchanged("prepare"):
        from ship.data.asked import contents, write_asked
        from ship.data.prepare import prepare as run

        params = read_params()
        (task,) = parts(params, task, "task")
        row, there = params.tasks[task], contents(params, task)
        print(*run(task, row, params.data_root, data_folder(task), _fetched(task, params)), sep="\n")
        write_asked(params, task, there)


@app.command()
def lists(task: TaskName, folder: Annotated[Path, typer.Argument(help="a new one")]) -> None:
    """Write a prepared task for other codes, without loss. Its layout is the literature's: images/, train800.txt ..."""
    from ship.data.layout import write_lists

    (task,) = parts(read_params(), task, "task")
    write_lists(data_folder(task), expanded(folder))


def _fetched(task: str, params: Params) -> dict[str, Path]:
    """The verified archives of a task, by name; whatever is lacking is downloaded."""
    from ship.data.inventory import needs, served

    folder = expanded(params.archives)
    if not (archives := [*served(needs(task, params.tasks[task]), params.mirrors).values()]):
        return {}
    from ship.data.download import check_disk, fetch

    check_disk(archives, folder)
    found = {}
    for archive in archives:
        with downloading(archive.name) as tell:
            found[archive.name] = fetch(archive, folder, tell)
    return found
