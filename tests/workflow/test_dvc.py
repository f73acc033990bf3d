"""What DVC keeps is what Snakemake made, to the byte, in every clone; what is broken is said."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from project import command, commands_in, contents, write_params
from versioned import (
    KEPT,
    SMALL,
    UP_TO_DATE,
    clean,
    clone,
    commit,
    kill,
    make_reproduced,
    pending,
    run,
    state,
)

from ship.report.classes import MEASURES
from ship.storage import read_json, write_json

pytestmark = [pytest.mark.dvc, pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.usefixtures("at_once")]
RUN = "runs/vit_random/digits/vpt/0"


@pytest.fixture(scope="session")
def reproduced(once, started):
    """A committed repository that DVC has computed."""

    def make(folder):
        with commands_in(started):
            make_reproduced(folder / "repository")

    return once("reproduced", make) / "repository"


@pytest.fixture
def repository(reproduced, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(reproduced, tmp_path / "repository", symlinks=True)


@pytest.fixture(scope="session")
def stored_once(once, reproduced):
    """A folder with a copy of it, whose files lie in the remote beside it too."""
    return once("pushed", lambda folder: run(copy(reproduced, folder / "repository"), "dvc", "push"))


@pytest.fixture
def pushed(stored_once, tmp_path):
    """The same, to be changed."""
    copy(stored_once, tmp_path)
    return tmp_path / "repository"


def copy(folder, place):
    """A copy at `place`, links and all."""
    return shutil.copytree(folder, place, symlinks=True, dirs_exist_ok=True)


def stages_run(said):
    """The stages that DVC ran, without the digests of the code, which take a second."""
    return {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")} - {"code"}


def test_a_second_repro_does_nothing(repository):
    """And the first left nothing to commit."""
    assert UP_TO_DATE in run(repository, "dvc", "repro")
    assert not run(repository, "git", "status", "--porcelain")


def test_a_forced_repro_makes_the_same_bytes_twice(repository, but_ship):
    """Every hash in dvc.lock, and every file, where each command of `ship` is a process of its own."""
    lock, before = (repository / "dvc.lock").read_bytes(), contents(repository, *KEPT)
    with commands_in(but_ship):
        run(repository, "dvc", "repro", "--force")
    assert (repository / "dvc.lock").read_bytes() == lock
    assert not run(repository, "git", "status", "--porcelain")
    assert contents(repository, *KEPT) == before


def test_a_changed_option_is_named_rerun_and_compared_alone(repository):
    """Status names the key, repro runs that method's run, and metrics differ in its rows."""
    write_params(repository, {**SMALL, "methods.linear.train.lr": 1.0})
    assert "methods.linear" in run(repository, "dvc", "status")
    assert stages_run(run(repository, "dvc", "repro")) == {
        "search@vit_random-digits-linear",
        "train@vit_random-digits-linear-0",
        "aggregate",
    }
    commit(repository, "Learn faster")
    found = json.loads(run_json(repository, "dvc", "metrics", "diff", "HEAD~1", "--json"))
    changed = {tuple(key.split(".")[:3]) for key in found["results/metrics.json"]}
    assert changed <= {(measure, "vit_random", "linear") for measure in ("accuracy", *MEASURES)}
    assert "accuracy.vit_random.linear.tasks.digits" in found["results/metrics.json"]
    run(repository, "python", "workflow/plots.py", "HEAD~1", "HEAD")
    for name in ("curves", "accuracy", "affinity"):
        assert "</svg>" in (repository / f"dvc_plots/{name}.svg").read_text()
        assert (repository / f"dvc_plots/{name}.png").read_bytes().startswith(b"\x89PNG")


def run_json(folder, *arguments):
    """The lines of JSON among what a command said."""
    return "".join(line for line in run(folder, *arguments).splitlines() if line.startswith("{"))


def test_an_experiment_shows_its_metrics(repository):
    """`dvc exp run -S` runs what the key makes stale."""
    said = run(repository, "dvc", "exp", "run", "--name", "faster", "--set-param", "methods.linear.train.lr=1.0")
    assert stages_run(said) == {"search@vit_random-digits-linear", "train@vit_random-digits-linear-0", "aggregate"}
    shown = run(repository, "dvc", "exp", "show", "--csv")
    assert "faster" in shown
    assert "accuracy.vit_random.linear.task_mean" in shown


def test_a_merge_computes_what_neither_branch_has(repository):
    """By the commands of docs/reproduce.md, whose conflicts nobody edits."""
    faster, seeds = {"methods.linear.train.lr": 1.0}, {"grid.seeds": [0, 1]}
    for branch, settings in (("faster", faster), ("seeds", seeds)):
        run(repository, "git", "checkout", "--quiet", "-b", branch, "main")
        write_params(repository, {**SMALL, **settings})
        run(repository, "dvc", "repro")
        commit(repository, branch)
    assert "dvc.lock" in run(repository, "git", "merge", "faster", fails=True)
    run(repository, "git", "checkout", "MERGE_HEAD", "--", "code.json", "dvc.lock", "results")
    run(repository, "dvc", "pull", "--allow-missing")
    assert stages_run(run(repository, "dvc", "repro")) == {"train@vit_random-digits-linear-1", "aggregate"}
    state(repository, "sync")
    commit(repository, "Merge")
    assert clean(repository)


def test_a_clone_computes_everything_without_a_pull(repository, tmp_path):
    """As in the README: results lie in Git, and all that they are made of is made again, to the same bytes."""
    place = clone(repository, tmp_path / "clone")
    run(place, "snakemake", "--cores", "2")
    assert not run(place, "git", "status", "--porcelain")
    assert contents(place, *KEPT) == contents(repository, *KEPT)


@pytest.mark.parametrize("link", ["copy", "symlink", "hardlink"])
def test_a_clone_has_everything_after_a_pull(pushed, tmp_path, link):
    """Whatever the cache's links, neither DVC nor Snakemake has anything to do."""
    place = clone(pushed, tmp_path / "clone")
    run(place, "dvc", "config", "--local", "cache.type", link)
    run(place, "dvc", "pull")
    assert (place / RUN / "log.csv").is_symlink() == (link == "symlink")
    state(place, "sync")
    assert clean(place)
    assert contents(place, *KEPT) == contents(pushed, *KEPT)


@pytest.fixture
def bucket(tmp_path):
    """Address of an S3 server on this machine, with a bucket `ship`."""
    boto3 = pytest.importorskip("boto3", reason="needs dvc-s3 and moto[server]")
    pytest.importorskip("moto", reason="needs dvc-s3 and moto[server]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=address, **keys)
        client.create_bucket(Bucket="ship")
        client.close()
        yield address
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def use_bucket(folder, address):
    """Make the bucket the remote of this clone alone."""
    options = {
        "url": "s3://ship/storage",
        "endpointurl": address,
        "access_key_id": "key",
        "secret_access_key": "secret",
    }
    for key, value in {**options, "region": "us-east-1"}.items():
        run(folder, "dvc", "remote", "modify", "--local", "storage", key, value)


def test_a_bucket_serves_as_well(repository, tmp_path, bucket):
    """Push, clone, pull, through S3's protocol."""
    use_bucket(repository, bucket)
    run(repository, "dvc", "push")
    place = clone(repository, tmp_path / "clone")
    use_bucket(place, bucket)
    run(place, "dvc", "pull")
    state(place, "sync")
    assert clean(place)


class TestRecord:
    """What Snakemake made goes into dvc.lock, and nothing else."""

    def test_it_records_what_snakemake_made(self, repository):
        """Without computing; then all three agree."""
        write_params(repository, {**SMALL, "methods.linear.train.lr": 1.0})
        run(repository, "snakemake", "--cores", "2")
        state(repository, "record")
        commit(repository, "Learn faster")
        assert clean(repository)

    def test_it_refuses_an_unfinished_workflow(self, repository):
        """Named file by file; the lock stays as it was."""
        lock = (repository / "dvc.lock").read_bytes()
        write_params(repository, {**SMALL, "methods.linear.train.lr": 1.0})
        assert "runs/vit_random/digits/linear/0/tuned.safetensors" in state(repository, "record", fails=True)
        assert (repository / "dvc.lock").read_bytes() == lock

    def test_it_refuses_runs_that_no_clone_would_have(self, repository):
        """A run outside the grid would count as an input of the table."""
        state(repository, "sync")
        shutil.copytree(repository / RUN, repository / "runs/vit_random/digits/vpt/7")
        assert "runs/vit_random/digits/vpt/7/log.csv" in state(repository, "record", fails=True)


class TestSync:
    """What dvc.lock vouches for counts as made, and nothing else."""

    def test_it_refuses_a_clone_without_files(self, repository, tmp_path):
        """Nothing was pulled."""
        assert "not synced" in state(clone(repository, tmp_path / "clone"), "sync", fails=True)

    def test_it_refuses_changed_settings(self, repository):
        """They would be believed."""
        write_params(repository, {**SMALL, "methods.linear.train.lr": 1.0})
        assert "not synced" in state(repository, "sync", fails=True)

    def test_it_names_the_runs_of_another_commit(self, repository):
        """Of a larger grid: DVC may leave them where they are, and calls only the folder changed."""
        shutil.copytree(repository / RUN, repository / "runs/vit_random/digits/vpt/7")
        assert "runs/vit_random/digits/vpt/7/log.csv" in state(repository, "sync", fails=True)
        shutil.rmtree(repository / "runs/vit_random/digits/vpt/7")
        state(repository, "sync")
        assert clean(repository)

    def test_it_refuses_another_folder_of_images(self, repository):
        """DVC does not look at it; Snakemake would be told that nothing has changed, and believe it."""
        (note,) = (repository / "logs/prepare").glob("*.json")
        about = read_json(note)
        about["settings"]["what is at tasks.digits.path"] = "80 images"
        write_json(note, about)
        before = contents(repository, ".snakemake/metadata/**/*")
        said = state(repository, "sync", fails=True)
        assert "other images than were prepared" in said
        assert "what is at tasks.digits.path: 80 images, now" in said
        assert contents(repository, ".snakemake/metadata/**/*") == before

    def test_a_clone_knows_the_settings_of_its_images(self, pushed, tmp_path):
        """Of dvc.lock: `ship status` names what has changed since."""
        place = clone(pushed, tmp_path / "clone")
        run(place, "dvc", "pull")
        state(place, "sync")
        write_params(place, {**SMALL, "tasks.digits.seed": 5})
        assert "stale: tasks.digits.seed 0 -> 5" in run(place, "ship", "status")


class TestBroken:
    """A clear error or the right result."""

    def test_a_damaged_cache_is_found(self, pushed, tmp_path):
        """DVC trusts its cache; `sync` does not."""
        place = clone(pushed, tmp_path / "clone")
        run(place, "dvc", "pull")
        content = (place / RUN / "log.csv").read_bytes()
        [cached] = [path for path in stored(place / ".dvc/cache/files") if path.read_bytes() == content]
        mode = cached.stat().st_mode
        cached.chmod(0o644)
        cached.write_bytes(content.replace(b"1", b"2"))
        cached.chmod(mode)
        (place / RUN / "log.csv").unlink()
        done = command("dvc", "checkout", cwd=place)
        said = done.stdout + done.stderr if done.returncode else state(place, "sync", fails=True)
        assert f"{RUN}/log.csv" in said
        assert pending(place)

    def test_a_damaged_remote_is_found(self, pushed, tmp_path):
        """What is fetched is verified."""
        content = (pushed / RUN / "log.csv").read_bytes()
        [damaged] = [path for path in stored(tmp_path / "ship-storage") if path.read_bytes() == content]
        damaged.chmod(0o644)
        damaged.write_bytes(content.replace(b"1", b"2"))
        place = clone(pushed, tmp_path / "clone")
        run(place, "dvc", "pull", fails=True)
        assert "not synced" in state(place, "sync", fails=True)

    def test_a_missing_remote_is_said(self, pushed, tmp_path):
        """No file comes, and `sync` does not believe that they did."""
        shutil.rmtree(tmp_path / "ship-storage")
        place = clone(pushed, tmp_path / "clone")
        assert "ERROR" in run(place, "dvc", "pull", fails=True)
        assert "not synced" in state(place, "sync", fails=True)

    def test_half_a_push_is_said_and_can_be_finished(self, pushed, tmp_path):
        """A remote that lacks every second file."""
        files = stored(tmp_path / "ship-storage")
        for path in files[::2]:
            path.unlink()
        place = clone(pushed, tmp_path / "clone")
        assert "ERROR" in run(place, "dvc", "pull", fails=True)
        run(pushed, "dvc", "push")
        run(place, "dvc", "pull")
        state(place, "sync")
        assert clean(place)

    @pytest.mark.parametrize("files", [1, 5, 12])
    def test_a_push_killed_on_its_way_is_finished_by_the_next(self, repository, tmp_path, files):
        """Whenever the kill came, what lies in the remote is whole, and the rest follows."""
        remote = tmp_path / "ship-storage"
        assert kill(repository, lambda: len(stored(remote)) >= files, "dvc", "push")
        run(repository, "dvc", "push")
        place = clone(repository, tmp_path / "clone")
        run(place, "dvc", "pull")
        state(place, "sync")
        assert clean(place)
        assert contents(place, *KEPT) == contents(repository, *KEPT)

    def test_a_repro_killed_in_training_comes_to_the_same(self, repository, tmp_path):
        """Killed, unlocked as Snakemake asks for it, repeated: the lock and the bytes of an undisturbed one."""
        undisturbed = shutil.copytree(repository, tmp_path / "undisturbed", symlinks=True)
        for folder in (repository, undisturbed):
            write_params(folder, {**SMALL, "methods.vpt.train.lr": 0.02})
        run(undisturbed, "dvc", "repro")
        log = repository / "logs/train/vit_random/digits/vpt/0.log"
        log.unlink()
        assert kill(repository, lambda: log.exists() and log.stat().st_size, "dvc", "repro")
        assert UP_TO_DATE not in run(repository, "dvc", "status")
        run(repository, "snakemake", "--cores", "1", "--unlock")
        run(repository, "dvc", "repro")
        assert (repository / "dvc.lock").read_bytes() == (undisturbed / "dvc.lock").read_bytes()
        assert contents(repository, *KEPT) == contents(undisturbed, *KEPT)


def stored(folder):
    """Every file in a cache or a remote, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
