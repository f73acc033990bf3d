"""The profile for Slurm as Snakemake reads it, without a cluster: what site.yaml says stands in it."""

import dataclasses
import re
import shutil

import pytest
import yaml
import yte
from project import ROOT, write_params
from snakemake_executor_plugin_slurm import ExecutorSettings

PROFILE = "profiles/slurm/config.v9+.yaml"


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """The profile of a clone with `site` in site.yaml and a device in params.yaml."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    monkeypatch.chdir(tmp_path)
    described = tmp_path / "profiles/slurm/site.yaml"
    shipped = yaml.safe_load(described.read_text())

    def read(device="cuda", **site):
        described.write_text(yaml.safe_dump({**shipped, **site}))
        write_params(tmp_path, {"compute.device": device})
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
    found = profile(device="cpu", gpu_partition="gpu", gpu_share="shard:1")
    assert found["set-resources"]["train"].keys() == {"mem_mb", "runtime"}


@pytest.mark.parametrize(
    ("site", "asked"),
    [
        ({}, {}),  # the rule's own gpu: 1
        ({"gpu_model": "a100"}, {"gpu_model": "'a100'"}),
        ({"gpu_model": "a100_3g.20gb"}, {"gpu_model": "'a100_3g.20gb'"}),
        ({"gpu_model": "a100-sxm4"}, {"gpu": 0, "slurm_extra": "'--gpus-per-node=a100-sxm4:1'"}),
        ({"gpu_gres": True}, {"gpu": 0, "gres": "'gpu:1'"}),
        ({"gpu_gres": True, "gpu_model": 2080}, {"gpu": 0, "gres": "'gpu:2080:1'"}),
        ({"gpu_share": "shard:1", "gpu_model": "a100-sxm4"}, {"gpu": 0, "gres": "'shard:1'"}),
        ({"gpu_constraint": "a100|h100"}, {"constraint": "'a100|h100'"}),
    ],
)
def test_a_gpu_is_asked_for_in_the_way_of_the_cluster(profile, site, asked):
    """One way at a time, and of the rules that compute on it alone."""
    found = profile(**site)
    for rule in ("features", "search", "train"):
        resources = found["set-resources"][rule]
        assert {key: value for key, value in resources.items() if key not in {"mem_mb", "runtime"}} == asked
    assert not {"gpu", "gres", "gpu_model", "constraint", "slurm_extra"} & found["default-resources"].keys()


def test_a_gpu_that_cannot_be_asked_for_is_refused(profile):
    """The plugin takes no hyphen in --gres; it is said before any job is sent, with the way out."""
    with pytest.raises(Exception, match=r"gpu_model: expected .* got a100-sxm4 \(name it by gpu_constraint\)"):
        profile(gpu_gres=True, gpu_model="a100-sxm4")


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("max_minutes", "2-00:00:00", "expected an integer, got '2-00:00:00'"),
        ("runs_per_job", None, "expected an integer, got None"),
        ("runs_per_job", "4", "expected an integer, got '4'"),
        ("jobs", None, "expected an integer, got None"),
        ("jobs", 0, "expected greater than or equal to 1, got 0"),
        ("gpu_gres", "yes", "expected a boolean, got 'yes'"),
        ("qos", ["a"], "expected a string, got"),
        ("partitoin", "gpu", "did you mean"),
    ],
)
def test_what_stands_wrong_in_the_site_is_named(profile, key, value, rule):
    """For who starts Snakemake, and for who asks the doctor."""
    with pytest.raises(Exception, match=f"site.yaml: {key}.*{rule}"):
        profile(**{key: value})


@pytest.mark.parametrize(
    ("site", "options"),
    [
        ({"reservation": "course"}, {"slurm-reservation": "course"}),
        ({"script": True}, {"slurm-pass-command-as-script": True}),
        ({"efficiency": True}, {"slurm-efficiency-report": True, "slurm-efficiency-report-path": "logs/slurm"}),
    ],
)
def test_what_a_site_may_want_is_off_unless_it_says_so(profile, site, options):
    """Beside the options that every cluster gets."""
    plain, found = profile(), profile(**site)
    assert found == plain | options
    assert not plain.keys() & options.keys()


def test_the_plugin_knows_every_option():
    """As it is installed: an option that it has dropped would stop every run."""
    known = {field.name for field in dataclasses.fields(ExecutorSettings)}
    lines = (ROOT / PROFILE).read_text().splitlines()
    options = [re.match(r" *slurm-([a-z-]+):", line) for line in lines]
    assert {found[1].replace("-", "_") for found in options if found} <= known


def test_every_entry_is_explained():
    """What it is, which values it takes, why this one: a comment beside it, or above the lines of its kind."""
    for name in ("config.v9+.yaml", "site.yaml"):
        lines = (ROOT / "profiles/slurm" / name).read_text().split("\n\n", 1)[1].splitlines()
        bare = [line for line in lines if re.match(r" *[\w-]+: ", line) and "  #" not in line and " # " not in line]
        named = (
            "slurm_partition",
            "slurm_account",
            "qos",
            "constraint",
            "gres",
            "slurm_extra",
        )  # site.yaml explains them
        assert not [line for line in bare if line.split(":")[0].strip() not in named]


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


@pytest.mark.parametrize(
    ("device", "site"),
    [
        ("cuda", {}),
        ("cuda", {"gpu_model": "a100-sxm4"}),
        ("cuda", {"gpu_gres": True}),
        ("cuda", {"gpu_share": "shard:1"}),
        ("cpu", {}),
    ],
)
def test_grouped_runs_wait_for_each_other(profile, device, site):
    """However a GPU is asked for: else the job would ask for the memory and cores of all of them at once."""
    found = profile(device, runs_per_job=4, **site)
    assert found["set-resources"]["train"]["turn"] == 1
    assert "turn" not in found["set-resources"]["search"]
    assert yaml.safe_load((ROOT / "profiles/default/config.v9+.yaml").read_text())["resources"]["turn"] == 1
