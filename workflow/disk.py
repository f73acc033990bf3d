"""How much disk an experiment has yet to take, for `doctor.py`: from its grid, before anything is computed."""

from ship.artifacts import TUNED, Run, backbone_file, task_file
from ship.data.inventory import is_likely, lacking, needed, sizes_in
from ship.experiment.params import Params
from ship.report.runs import expected_runs
from ship.storage import expanded

IMAGES = 10**9  # bytes of a task's images and features: VTAB-1k's have some hundred millions, few have more
RUN = 5 * 10**6  # of a run that tunes little: parameters, optimiser's state, predictions
BLOCKS = 12  # of a ViT whose number of blocks is not known yet
BASE = 343 * 10**6  # of a backbone that is not here yet: a ViT-B's
RESUME = 3  # copies of what is tuned that an unfinished run has beside its own
CACHE = 2  # DVC's cache holds all but archives once more


def wanted(params: Params, jobs: int) -> dict[str, int]:
    """Bytes by what they are of; `jobs` is how many runs are unfinished at once."""
    grid, folder = params.grid, expanded(params.archives)
    sizes = sizes_in(folder)
    archives = needed({task: params.tasks[task] for task in grid.tasks}).values()
    images = sum(IMAGES for task in grid.tasks if not task_file(task).exists())
    runs = [tuned(params, run) for run in expected_runs(params) if not (run.folder / TUNED).exists()]
    return {
        "archives": sum(lacking(archive, folder) for archive in archives if not is_likely(archive, folder, sizes)),
        "images": CACHE * images,
        "runs": CACHE * sum(runs) + RESUME * sum(sorted(runs)[-jobs:]),
    }


def tuned(params: Params, run: Run) -> int:
    """Bytes of a run's tuned parameters, and a little: few methods tune a part of the backbone itself."""
    file, row = backbone_file(run.backbone), params.methods[run.method]
    weights = file.stat().st_size if file.exists() else BASE
    blocks = params.options_of(run.method, run.task).get("blocks", 1)
    return RUN + {"full": weights, "partial": weights * blocks // BLOCKS}.get(row.method, 0)
