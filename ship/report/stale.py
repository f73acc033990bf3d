"""Whether what runs left is of the settings, the backbone and the images that there are now."""

from __future__ import annotations

from pathlib import Path

from ship.artifacts import Run, backbone_file, data_folder, hierarchy_file, read_json, sha256
from ship.errors import BadInput
from ship.experiment.params import Params
from ship.experiment.settings import read_settings
from ship.report.aggregate import expected_runs


def check_current(params: Params, root: Path = Path()) -> None:
    """Raise BadInput where a run under `root` is of another experiment than `params`."""
    for run in stale_runs(params, root)[:1]:
        raise BadInput(
            f"{root / run.folder}/run.json: expected a run of the settings, backbone and images that there are, found "
            "none or another's (snakemake makes it, ship report --partial leaves it out)"
        )


def stale_runs(params: Params, root: Path = Path()) -> list[Run]:
    """The runs of the grid that are of another experiment, or not there."""
    files = {name: root / backbone_file(name) for name in params.grid.backbones}
    weights = {name: sha256(path) if path.exists() else "" for name, path in files.items()}
    return [run for run in expected_runs(params) if not _is_current(params, run, root, weights[run.backbone])]


def _is_current(params: Params, run: Run, root: Path, backbone: str) -> bool:
    """Whether a run says of itself the `backbone` (its sha256), the images and the settings that there are now."""
    try:
        about = read_json(root / run.folder / "run.json")
        task = read_json(root / data_folder(run.task) / "task.json")
        hierarchy = read_json(root / hierarchy_file(run.backbone, run.task, ".json"))
        options, recipe, _ = read_settings(params, run.backbone, run.task, run.method, root)
    except BadInput:
        return False
    images = {split: part["sha256"] for split, part in task["splits"].items()}
    now = {"method": params.methods[run.method].method, "options": options, "train": recipe.model_dump()}
    now |= {"data": images, "compute": params.compute.model_dump()}
    now |= {"hierarchy": {key: hierarchy[key] for key in ("prototypes", "seed")}}
    return about["backbone"]["sha256"] == backbone and {key: about.get(key) for key in now} == now
