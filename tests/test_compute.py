import os
import platform
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
import torch

from ship import compute
from ship.errors import BadInput
from ship.experiment import params


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """A machine with two GPUs, and their locks."""
    monkeypatch.setattr(compute.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(compute.os, "getpid", lambda: 7)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"gpu-{number}"))


def test_a_run_takes_a_gpu_that_is_free(gpus):
    """The second of two runs at once gets the second; when the first has ended, its GPU is free again."""
    first, held = compute._free_gpu.__wrapped__()
    second, other = compute._free_gpu.__wrapped__()
    third, none = compute._free_gpu.__wrapped__()
    assert (first, second) == (0, 1)
    assert third == 1  # shared, since somebody asked for three at once
    assert none is None
    os.close(held)
    again, lock = compute._free_gpu.__wrapped__()
    assert again == 0
    os.close(other)
    os.close(lock)


def test_a_lock_that_is_not_ours_is_left_alone(gpus, tmp_path):
    """A link that somebody else has put there leads nowhere: the GPU counts as taken."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / f"ship-{os.getuid()}-gpu-0.lock").symlink_to(victim)
    number, lock = compute._free_gpu.__wrapped__()
    assert (number, victim.read_text()) == (1, "kept")
    os.close(lock)


def test_the_device_is_the_one_that_is_asked_for(monkeypatch):
    """No GPU that is there is taken for the CPU, and no CPU for a GPU that is not there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert compute.set_up(params.Compute(device="cpu")).device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert compute.set_up(params.Compute(device="auto")).device.type == "cpu"
    with pytest.raises(BadInput, match=r"compute\.device: expected a CUDA device, .* got none"):
        compute.set_up(params.Compute(device="cuda"))


def test_bits_do_not_depend_on_what_torch_was_told_before():
    """As by a variable of the environment: fp32 is fp32, sums have an order, and threads are those asked for."""
    torch.set_deterministic_debug_mode("default")
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    for threads in (2, 1):
        compute.set_up(params.Compute(device="cpu", threads=threads))
        assert torch.get_num_threads() == threads
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32
    with pytest.raises(RuntimeError, match="deterministic"):
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))


@pytest.mark.parametrize(
    ("capability", "flags", "precision"),
    [((7, 5), "", "fp32"), ((8, 0), "", "bf16"), (None, "neon", "fp32"), (None, "neon BF16", "bf16")],
    ids=["T4", "A100", "ARM", "ARM with bf16"],
)
def test_bf16_is_taken_by_all_that_have_it(monkeypatch, tmp_path, capability, flags, precision):
    """GPUs by their capability, processors of ARM by what they tell."""
    (tmp_path / "cpuinfo").write_text(f"Features : {flags}\n")
    monkeypatch.setattr(compute, "Path", lambda _: tmp_path / "cpuinfo")
    monkeypatch.setattr(compute.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some")
    assert bool(compute._lacks_bf16(capability is not None)) == (precision == "fp32")


@pytest.mark.parametrize(("able", "warnings"), [(False, 1), (True, 0)])
def test_bf16_without_its_instructions_warns(monkeypatch, caplog, able, warnings):
    """With the cure; fp32 never does."""
    monkeypatch.setattr(compute.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for precision in ("fp32", "bf16"):
        compute.set_up(params.Compute(device="cpu", precision=precision))
    assert len(caplog.records) == warnings
    assert all("set compute.precision=auto or fp32" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(("able", "precision"), [(False, "fp32"), (True, "bf16")])
def test_auto_is_the_precision_that_the_processor_has(monkeypatch, caplog, able, precision):
    """Without a warning, and recorded with what else decides bits."""
    monkeypatch.setattr(compute.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    chosen = compute.set_up(params.Compute(device="cpu", precision="auto"))
    assert (chosen.precision, chosen.autocast._enabled) == (precision, able)
    assert compute.environment(chosen)["precision"] == precision
    assert not caplog.records


@pytest.mark.parametrize("tiles", [False, True])
def test_the_environment_tells_processors_with_amx_apart(monkeypatch, tiles):
    """Their products in bf16 have other bits."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    told = compute.environment(compute.set_up(params.Compute(device="cpu", precision="fp32")))
    assert told["device"].endswith(" AMX") == tiles


def test_auto_takes_no_bf16_where_it_cannot_ask(monkeypatch, tmp_path):
    """As on a Mac, whose processor tells nothing in /proc."""
    monkeypatch.setattr(compute.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(compute, "Path", lambda name: tmp_path / "none")
    assert compute.set_up(params.Compute(device="cpu", precision="auto")).precision == "fp32"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries decide for themselves")
def test_freed_memory_stays_with_the_process():
    """After some tensors of 64 MiB, another costs no page more; it would cost 16,384."""
    code = """
        import resource, torch
        from ship.compute import set_up
        from ship.experiment.params import Compute

        def pages():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.ones(2**24)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        set_up(Compute(device="cpu", threads=1))
        print([pages() for _ in range(20)][-1])
    """
    call = [sys.executable, "-c", textwrap.dedent(code)]
    assert int(subprocess.run(call, capture_output=True, text=True, check=True).stdout) < 100
