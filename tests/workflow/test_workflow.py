"""The workflow as a user runs it: what is stale is run, nothing else, and the files are the same everywhere."""

import re
import shutil

import pytest
from PIL import Image
from project import command, commands_in, contents, make_project, summary, write_params

TASKS = ("digits", "textures")
RUNS = {f"runs/vit_random/{task}/{method}/0" for task in TASKS for method in ("linear", "vpt", "ship")}


def snakemake(folder, *arguments):
    """Run Snakemake in `folder`; what it said."""
    done = command("snakemake", "--cores", "2", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def pending(folder):
    """Output files that Snakemake would make again."""
    return {row["output_file"] for row in summary(folder) if row["plan"] != "no update"}


def stale_runs(folder):
    """Folders of the runs that would be run again."""
    return {path.rpartition("/")[0] for path in pending(folder) if path.startswith("runs/")}


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished project, records and all."""
    return shutil.copytree(finished, tmp_path / "project")


def test_a_fresh_clone_knows_every_job(tmp_path):
    """2 tasks x 3 methods: all jobs are pending, and nothing is written by looking."""
    folder = make_project(tmp_path / "project")
    before = contents(folder, "**/*")
    assert stale_runs(folder) == RUNS
    assert {p for p in contents(folder, "**/*") if not p.startswith(".snakemake") and "__pycache__" not in p} == {
        p for p in before if "__pycache__" not in p
    }


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_job_asks_for_what_it_uses(tmp_path, device):
    """A GPU where it computes on one, and its threads; what others wait for comes before linear probes."""
    folder = make_project(tmp_path / "project", {"compute.device": device, "compute.threads": 2})
    gpus, threads, first = set(), {}, set()
    for job in re.split(r"^\[.*\]\n(?:local)?rule ", snakemake(folder, "--dry-run"), flags=re.MULTILINE)[1:]:
        told = dict(re.findall(r"^ +(\w+): (.*)$", job, re.MULTILINE))
        rule = job.partition(":")[0]
        gpus |= {rule} if "gpu=1" in told.get("resources", "") else set()
        threads.setdefault(rule, set()).add(int(told.get("threads", 1)))
        first |= {rule if rule != "train" else told["wildcards"]} if int(told.get("priority", 0)) else set()
    assert gpus == ({"features", "search", "train"} if device == "cuda" else set())
    assert {rule for rule, counts in threads.items() if counts == {2}} == {"features", "hierarchy", "search", "train"}
    runs = {f"backbone=vit_random, task={task}, method={row}, seed=0" for task in TASKS for row in ("vpt", "ship")}
    assert first == {"prepare", "features", "hierarchy", "search", *runs}


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
class TestFinished:
    """After a whole run."""

    def test_it_left_a_table_and_a_page(self, finished):
        """The files that people look at are there."""
        assert "ship" in (finished / "results/table.csv").read_text()
        assert "</html>" in (finished / "report/index.html").read_text()
        assert "ship" in command("ship", "table", cwd=finished).stdout
        assert not (finished / "pixels").exists()  # that was needed while it ran

    def test_a_second_run_does_nothing(self, project):
        """Nothing to be done."""
        assert set() == pending(project)
        assert "Nothing to be done" in snakemake(project)

    def test_an_option_reruns_its_method_only(self, project):
        """Runs of vpt, then what is made of all runs."""
        write_params(project, {"methods.vpt.options": {"prompt_length": 3}})
        assert stale_runs(project) == {run for run in RUNS if "/vpt/" in run}

    def test_a_seed_adds_its_runs_only(self, project):
        """Seed 1 beside seed 0."""
        write_params(project, {"grid.seeds": [0, 1]})
        assert stale_runs(project) == {f"{run[:-1]}1" for run in RUNS}

    def test_another_order_of_methods_is_another_table(self, project):
        """The first one is the baseline."""
        write_params(project, {"grid.methods": ["ship", "vpt", "linear"]})
        assert pending(project) >= {"results/paired.csv", "report/index.html"}
        assert not stale_runs(project)

    def test_a_run_without_its_model_is_run_again(self, project):
        """Which no table needs, and Git does not hold."""
        run = min(RUNS)
        (project / run / "tuned.safetensors").unlink()
        assert stale_runs(project) == {run}

    def test_a_task_reruns_from_its_images(self, project):
        """Another split of one task leaves the other alone."""
        write_params(project, {"tasks.digits.seed": 7})
        assert {"data/digits/task.json"} < pending(project)
        assert stale_runs(project) == {run for run in RUNS if "/digits/" in run}

    def test_deleting_a_run_reruns_it_and_what_is_made_of_all(self, project):
        """The bytes come back."""
        whole = contents(project, "results/**/*", "runs/**/*")
        shutil.rmtree(project / "runs/vit_random/digits/ship")
        said = snakemake(project)
        assert said.count("\nrule train:") + said.count("\nlocalrule train:") == 1
        assert "rule aggregate:" in said
        assert "rule features:" not in said
        assert whole == contents(project, "results/**/*", "runs/**/*")

    def test_git_checkout_results_does_no_harm(self, project):
        """Those of another machine, in their place, are no refusal: page and tables are of these runs again."""
        whole = contents(project, "results/**/*", "report/*")
        for path in ("results/table.csv", "results/metrics.json", "results/plots/curves.csv"):
            (project / path).write_text((project / path).read_text().replace("0.", "0.0"))
        assert "expected the results of the runs here" in command("ship", "table", cwd=project).stderr
        assert pending(project) == {"report/index.html"}
        snakemake(project)
        assert contents(project, "results/**/*", "report/*") == whole
        assert set() == pending(project)

    def test_two_folders_two_equal_results(self, finished, tmp_path):
        """What is kept is the same to the byte, whatever the path, the number of cores and the other tasks."""
        other = make_project(tmp_path / "elsewhere" / "and deeper", {"grid.tasks": ["digits"]})
        runs = [f"{run}/run.json" for run in sorted(RUNS) if "/digits/" in run]
        with commands_in():
            done = command("snakemake", "--cores", "1", "--", *runs, cwd=other)
        assert done.returncode == 0, done.stderr
        kept = (
            "data/digits/*",
            "backbones/*",
            *(f"{step}/**/digits*/**/*" for step in ("features", "hierarchy", "runs")),
        )
        both = contents(finished, *kept), contents(other, *kept)
        assert both[0] == both[1]
        assert {path.partition("/")[0] for path in both[0]} >= {"data", "backbones", "runs"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.lr": "1e-3"}, "params.yaml: train.lr: expected a number, got '1e-3' (YAML reads 1e-3 as text"),
        ({"grid.methods": ["shp"]}, "params.yaml: grid.methods: expected one of linear, ship, vpt, got 'shp'"),
    ],
)
def test_a_bad_experiment_stops_before_any_job(tmp_path, settings, message):
    """Named with file and key while the workflow is read."""
    folder = make_project(tmp_path / "project", settings)
    done = command("snakemake", "--cores", "1", cwd=folder)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_settings_have_one_place(tmp_path):
    """--config would not reach the commands and the records: it is refused."""
    done = command("snakemake", "--cores", "1", "--config", "epochs=3", cwd=make_project(tmp_path / "project"))
    assert done.returncode != 0
    assert "expected params.yaml alone" in done.stdout + done.stderr


@pytest.mark.usefixtures("at_once")
def test_a_changed_folder_is_prepared_again(tmp_path):
    """An image more is a reason; that the folder is gone, once its images are prepared, is none."""
    photos = tmp_path / "photos"
    for name in ("a", "b"):
        (photos / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (16, 16), (number, ord(name), 0)).save(photos / name / f"{number}.png")
    task = {"source": "folder", "path": str(photos), "train": 8, "val": 4, "test": 4}
    folder = make_project(tmp_path / "project", {"grid.tasks": ["own"], "tasks.own": task})
    prepare = ("snakemake", "--cores", "1", "--until", "prepare")
    assert command(*prepare, cwd=folder).returncode == 0
    shutil.copy(photos / "a/0.png", photos / "a/8.png")
    assert "Params have changed" in command(*prepare, "--dry-run", cwd=folder).stdout
    assert command(*prepare, cwd=folder).returncode == 0
    shutil.rmtree(photos)
    assert re.search(r"^total +0$", command(*prepare, "--dry-run", cwd=folder).stdout, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_a_broken_task_fails_alone(tmp_path):
    """The others are done, the page says what is missing and why, and the end is an error; mended, all is done."""
    image = tmp_path / "images/a/0.png"
    for name in ("a", "b"):
        for number in range(8):
            path = tmp_path / "images" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (number, ord(name), 0)).save(path)
    whole = image.read_bytes()
    image.write_bytes(whole[:40])
    task = {"source": "folder", "path": str(tmp_path / "images"), "train": 8, "val": 4, "test": 4}
    settings = {"grid.tasks": ["digits", "broken"], "grid.methods": ["linear"], "tasks.broken": task}
    folder = make_project(tmp_path / "project", settings)
    done = command("snakemake", "--cores", "2", cwd=folder)
    assert done.returncode != 0
    assert (folder / "runs/vit_random/digits/linear/0/run.json").exists()
    assert not (folder / "results/table.csv").exists()
    assert command("ship", "report", "--partial", cwd=folder).returncode == 0
    page = (folder / "report/partial/index.html").read_text()
    assert "1 of 2 runs missing" in page
    assert re.search(r"failed: ship: .*a/0.png.*\(logs/prepare/broken.log\)", page)
    image.write_bytes(whole)
    snakemake(folder)
    assert "broken" in (folder / "results/table.csv").read_text()
