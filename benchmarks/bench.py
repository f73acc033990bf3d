"""What `make bench` measures: steps and inference of every method, growth, and a task by its phases.

    python benchmarks/bench.py                      # all parts but bf16 and gpu: minutes on a free machine
    python benchmarks/bench.py methods task         # some of them; the others stay as they were measured before

Writes docs/performance.json and its pictures. Ratios are of processor time and of one round, so that other work on the
machine changes them little.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import steps
import timm
import torch
from matplotlib.figure import Figure

from ship.compute import keep_memory
from ship.methods import METHODS as ALL

ROOT = Path(__file__).parents[1]
FOUND = ROOT / "docs/performance.json"
BASE = steps.Case("vit_base_patch16_224", batch=2)
BACKBONE, TASK, METHODS = "vit_mini", "digits", ("linear", "vpt", "ship")


def machine() -> dict[str, Any]:
    """What the figures depend on; no name of a host."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    processor = model[1] if model else platform.processor()
    return {
        "processor": f"{processor}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def methods(rounds: int) -> dict[str, Any]:
    """Every method on ViT-Ti/16."""
    return steps.table(steps.Case(), rounds=rounds)


def base(rounds: int) -> dict[str, Any]:
    """The prompt methods on ViT-B/16."""
    return steps.table(BASE, steps.PROMPTED, rounds=rounds)


def growth(rounds: int) -> dict[str, Any]:
    """SHIP on ViT-Ti/16, as prompts, batch or images grow."""
    return steps.growth(steps.Case(), rounds=rounds)


def bf16(rounds: int) -> dict[str, Any]:
    """The prompt methods on both ViTs in bf16, on a processor that has instructions for it; the formulas in fp32."""
    cases = (steps.Case(batch=64, precision="bf16"), BASE._replace(batch=8, precision="bf16"))
    return {case.model: steps.table(case, steps.PROMPTED, rounds) for case in cases}


def gpu(rounds: int) -> dict[str, Any]:
    """On a GPU: every method on ViT-B/16 in bf16, and the prompt methods on both ViTs in both precisions."""
    found: dict[str, Any] = {"gpu": torch.cuda.get_device_name()}
    for case, precision in itertools.product((BASE, steps.Case()), ("bf16", "fp32")):
        names = tuple(ALL) if (case, precision) == (BASE, "bf16") else steps.PROMPTED
        here = case._replace(batch=64, device="cuda", precision=precision)
        peaks = {"peak_bytes": steps.peak(here, "ship"), "bare_peak_bytes": steps.peak(here, "")}
        found[f"{case.model} {precision}"] = {**steps.table(here, names, rounds), **peaks}
    return found


def task(rounds: int) -> dict[str, Any]:  # noqa: ARG001  # once
    """The quick start's runs of one task, command by command, and a run by its phases: seconds."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "presets/quickstart.yaml", Path(folder, "params.yaml"))
        place = f"{BACKBONE}/{TASK}"
        before = [("prepare", TASK), ("backbone", BACKBONE), ("features", place), ("hierarchy", place)]
        found: dict[str, Any] = {name: _command(folder, name, what)[0] for name, what in before}
        for method in METHODS:
            _command(folder, "search", f"{place}/{method}")
            spent, output = _command(folder, "train", f"{place}/{method}/0")
            line = next(line for line in reversed(output) if ": start " in line)
            parts = re.findall(r"(\w+) ([\d.]+) s", line)
            found[f"train {method}"] = {**spent, "phases": {name: float(value) for name, value in parts}}
        return found


def _command(folder: str, *words: str) -> tuple[dict[str, float], list[str]]:
    begin, busy = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    call = [sys.executable, "-m", "ship.cli", *words]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"ship {' '.join(words)}: {done.stderr}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime - busy.ru_utime + used.ru_stime - busy.ru_stime
    seconds = {"seconds": time.perf_counter() - begin, "processor_seconds": processor}
    return {name: round(value, 2) for name, value in seconds.items()}, done.stdout.splitlines()


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "methods": methods,
    "base": base,
    "growth": growth,
    "task": task,
    "bf16": bf16,
    "gpu": gpu,
}
SPECIAL = ("bf16", "gpu")  # not every machine can


def draw(found: dict[str, Any]) -> None:
    """Every method's step and inference beside the bare ViT's, and how SHIP's step grows."""
    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none"})  # the same bytes every time
    if "methods" in found:
        part = found["methods"]
        names = sorted(part["inference"], key=lambda name: part["step"][name]["ratio"])
        figure = Figure(figsize=(6.4, 5.6), layout="constrained")
        axes = figure.subplots()
        for kind, marker in (("step", "o"), ("inference", "x")):
            axes.plot([part[kind][name]["ratio"] for name in names], names, marker, label=kind)
        axes.axvline(1, color="0.7", linewidth=1)
        axes.set(xlabel="processor time, as a multiple of the bare ViT's")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(FOUND.with_name("performance-methods.svg"), metadata={"Date": None})
    if "growth" in found:
        grown = {axis: rows for axis, rows in found["growth"].items() if isinstance(rows, list)}
        figure = Figure(figsize=(8.4, 4.4), layout="constrained")
        for above, below, (axis, rows) in zip(*figure.subplots(2, len(grown)), grown.items(), strict=True):
            x = [row[axis] for row in rows]
            above.plot(x, [row["processor_seconds"] for row in rows], "o-", clip_on=False)
            for key, label in (("peak_bytes", "SHIP"), ("bare_peak_bytes", "bare ViT")):
                below.plot(x, [row[key] / 2**20 for row in rows], "o-", label=label, clip_on=False)
            above.set(ylim=(0, None), ylabel="s a step")
            below.set(ylim=(0, None), ylabel="MiB at most", xlabel={"size": "pixels"}.get(axis, axis))
            below.legend(frameon=False)
        figure.savefig(FOUND.with_name("performance-growth.svg"), metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; without, all but {' and '.join(SPECIAL)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"parts: expected some of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(args.threads)
    keep_memory()
    found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    parts = args.parts or [name for name in PARTS if name not in SPECIAL]
    for name in parts:
        found[name] = {"machine": machine(), **PARTS[name](args.rounds)}
        FOUND.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{name}: measured", flush=True)
    draw(found)
    print(json.dumps({name: found[name] for name in parts}, indent=1))


if __name__ == "__main__":
    main()
