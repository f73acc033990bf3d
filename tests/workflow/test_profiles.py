"""The profile for Slurm as Snakemake reads it, without a cluster: what site.yaml says stands in it."""

import shutil

import pytest
import yaml
import yte
from project import ROOT

PROFILE = "profiles/slurm/config.v9+.yaml"


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """The profile of a clone with `site` in site.yaml and a device in params.yaml."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    described = tmp_path / "profiles/slurm/site.yaml"
    shipped = yaml.safe_load(described.read_text())

    def read(device="cuda", **site):
        described.write_text(yaml.safe_dump({**shipped, **site}))
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"compute": {"device": device}}))
        return yte.process_yaml((tmp_path / PROFILE).read_text())

    return read


def test_names_of_a_cluster_are_text(profile):
    """Snakemake evaluates them; `all` and `open` mean something in Python, and 2080 is a number."""
    found = profile(partition="all", gpu_partition="open", gpu_model=2080, account="list")
    train, others = found["set-resources"]["train"], found["default-resources"]
    texts = [train["slurm_partition"], train["gpu_model"], others["slurm_partition"], others["slurm_account"]]
    assert [yaml.safe_load(text) for text in texts] == ["open", "2080", "all", "list"]
    assert all(text.startswith("'") for text in texts)


def test_what_is_not_said_is_left_to_the_cluster(profile):
    """An empty value is no value."""
    found = profile()
    assert not {"slurm_partition", "slurm_account", "qos"} & found["default-resources"].keys()
    assert found["set-resources"]["train"].keys() == {"mem_mb", "runtime"}
    assert "groups" not in found


def test_without_gpus_nothing_is_asked_of_their_partition(profile):
    """`compute.device: cpu` needs none."""
    found = profile(device="cpu", gpu_partition="gpu", gpu_share="shard:1", runs_per_job=3)
    assert found["set-resources"]["train"].keys() == {"mem_mb", "runtime"}
    assert found["set-resources"]["train"]["runtime"].startswith("min(180 * attempt")
    assert "groups" not in found


@pytest.mark.parametrize("preemptible", [True, False])
def test_either_slurm_or_snakemake_sends_a_lost_job_again(profile, preemptible):
    """Never both, which would compute it twice."""
    found = profile(preemptible=preemptible)
    assert found.get("slurm-requeue", False) is preemptible
    assert found.get("slurm-no-requeue", False) is not preemptible


def test_grouped_runs_ask_for_the_time_of_one(profile):
    """Slurm adds their times."""
    assert profile()["set-resources"]["train"]["runtime"].startswith("min(180 * attempt")
    found = profile(runs_per_job=19)
    assert found["group-components"] == {"runs": 19}
    assert found["set-resources"]["train"]["runtime"].startswith("min(9 * attempt")
    assert profile(runs_per_job=19, max_minutes=120)["set-resources"]["train"]["runtime"].endswith(", 6)")
