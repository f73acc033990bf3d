"""What the catalogue of Snakemake workflows is told about this one is so."""

import re

import yaml
from project import ROOT


def test_the_catalogue_finds_what_it_looks_for():
    """Its description of the usage, the page of the settings, and a Snakefile."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    assert (ROOT / "config/README.md").read_text().startswith("# ")


def test_a_way_of_deployment_is_one_that_the_rules_know():
    """`--sdm conda` needs rules with an environment, `--sdm apptainer` an image that can be built."""
    rules = "".join(path.read_text() for path in [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))])
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    deployed = usage["software-stack-deployment"]
    assert deployed["conda"] == bool(re.search(r"^ *conda:", rules, re.MULTILINE))
    image = re.search(r'^ *container: "(.*)"', rules, re.MULTILINE)
    assert deployed["apptainer"] == (image is not None and (ROOT / image[1]).with_suffix(".def").is_file())
