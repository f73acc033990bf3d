"""How often a fit is saved, and what is done with a file that cannot be used."""

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from ship.compute import set_up
from ship.experiment.params import Compute
from ship.experiment.rows import Train
from ship.storage import read_tensors, write_tensors
from ship.training.loop import Epoch, make_optimiser
from ship.training.resume import Keeper, Origin, Progress, identity


def test_a_mark_is_of_all_that_decides_bits():
    """Settings, files, code, threads and precision; in whatever order files and modules come."""
    files, code, runtime = {Path("a"): "1", Path("b"): "2"}, {"m.py": "3"}, set_up(Compute(device="cpu", threads=1))
    whole = identity(["x"], Origin(files, code), runtime)
    assert whole == identity(["x"], Origin(dict(reversed(files.items())), code), runtime)
    others = {
        identity(["y"], Origin(files, code), runtime),
        identity(["x"], Origin(files | {Path("b"): "0"}, code), runtime),
        identity(["x"], Origin(files, {"m.py": "0"}), runtime),
        identity(["x"], Origin(files, code), runtime._replace(threads=2)),
        identity(["x"], Origin(files, code), runtime._replace(precision="bf16")),
    }
    assert len(others - {whole}) == 5


def test_saving_takes_a_twentieth_of_the_time(tmp_path):
    """The first epoch is saved at once; then as many pass as it takes, here 2 s of saving to 10 s of an epoch."""
    times = iter([10, 12, 22, 32, 42, 52, 54, 64])  # two looks at the clock for an epoch that is saved, one for others
    model = nn.Linear(2, 2)
    path = tmp_path / "resume.safetensors"
    keeper = Keeper(path, model, make_optimiser(model, Train()), "mark", clock=lambda: next(times))
    seen = []
    for epoch in range(6):
        keeper.keep(Progress([Epoch(epoch, 0.1, 0.2, 0.3, 0.4)], []))
        seen.append(int(read_tensors(path)[1]["log"][0][0]))
    assert seen == [0, 0, 0, 0, 4, 4]


@pytest.mark.parametrize("about", [None, {}, {"identity": "another"}])
def test_a_file_that_cannot_be_used_stops_nobody(tmp_path, caplog, about):
    """Garbage, a file of something else, or of another fit: the fit starts anew, and says so."""
    path, model = tmp_path / "resume.safetensors", nn.Linear(2, 2)
    if about is None:
        path.write_bytes(b"half of it")
    else:
        write_tensors(path, {"a": torch.ones(1)}, about)
    with caplog.at_level(logging.INFO):
        assert Keeper(path, model, make_optimiser(model, Train()), "mark").resume() == Progress([], [])
    assert "starting anew" in caplog.text
