"""What `profiles/slurm/site.yaml` may say of a cluster, and what jobs want of it: for the profile and doctor.py."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError, model_validator

from ship.errors import BadInput
from ship.experiment.fields import Clash, Positive, Settings
from ship.experiment.messages import complaints
from ship.experiment.params import Params, read_params
from ship.experiment.yaml_file import read_yaml

SITE = Path("profiles/slurm/site.yaml")
PLAIN = re.compile(r"[A-Za-z0-9_.]*")  # all that Snakemake's plugin takes as gpu_model, or in gres


def _spelt(value: object) -> object:
    """A name that is a number, such as that of a GPU, as text."""
    return str(value) if type(value) is int else value


Text = Annotated[str | None, BeforeValidator(_spelt)]


class Site(Settings):
    """Every key must stand there; where a value may be empty, that is the cluster's default."""

    partition: Text
    gpu_partition: Text
    account: Text
    qos: Text
    reservation: Text
    gpu_model: Text
    gpu_constraint: Text
    gpu_gres: bool
    gpu_share: Text
    max_minutes: Positive | None
    jobs: Positive
    script: bool
    preemptible: bool
    local_cores: Positive
    runs_per_job: Positive
    efficiency: bool

    @model_validator(mode="after")
    def _plain(self) -> "Site":
        if self.gpu_gres and not PLAIN.fullmatch(self.gpu_model or ""):
            rule = "letters, digits, _ and . where gpu_gres is true"
            raise Clash(f"gpu_model: expected {rule}, got {self.gpu_model} (name it by gpu_constraint)")
        return self


def known() -> Params | None:
    """The experiment; None where it cannot be read, which the Snakefile and doctor.py say."""
    try:
        return read_params()
    except BadInput:
        return None


def wants_gpu() -> bool:
    """Whether the experiment asks for GPUs; where it cannot be read, as if it did."""
    params = known()
    return params is None or params.compute.wants_gpu


def read_site() -> dict[str, Any]:
    """The settings of the cluster. Raises BadInput with file and key, and the way out."""
    if not SITE.is_file():
        raise BadInput(f"{SITE}: expected the settings of a cluster, found none (change to the root of a clone)")
    try:
        return Site.model_validate(read_yaml(SITE)).model_dump()
    except ValidationError as error:
        raise BadInput(f"{SITE}: {complaints(error, Site)}") from None
