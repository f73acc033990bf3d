"""A logger for Snakemake: a line for every job that ends, with the time left; warnings and errors as they are.

What a job has logged as a warning comes below its line, the same words once.

`PYTHONPATH=workflow/plugins snakemake --cores all --logger ship`: Snakemake finds it by the name of this package.
"""

import sys
from collections import Counter
from contextlib import suppress
from logging import WARNING
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

NOTHING = "Nothing to be done"
WARNED = "warning: "  # how such a line of a log begins


class LogHandler(LogHandlerBase):
    """Writes to stderr, in place of Snakemake's own messages, which its log file in .snakemake/log/ still has."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.progress: Progress | None = None
        self.logs: dict[int, tuple[str, list[str]]] = {}
        self.warned: set[str] = set()

    def emit(self, record: Any) -> None:  # a LogRecord, with what Snakemake puts beside
        """Say what matters of one message."""
        event = getattr(record, "event", None)
        if record.levelno >= WARNING or (event is None and record.getMessage().startswith(NOTHING)):
            self.say(self.format(record))
        elif event == LogEvent.RUN_INFO and self.progress is None:  # said again at the end
            counts = {rule: count for rule, count in record.stats.items() if rule != "total"}
            self.progress = Progress(counts, record.created)
            jobs = ", ".join(f"{count} {rule}" for rule, count in counts.items())
            self.say(f"to do: {jobs}")
        elif event == LogEvent.JOB_INFO and self.progress:
            place = [str(part) for part in record.wildcards.values()]
            self.logs[record.jobid] = "/".join(place), record.log
            self.progress.begin(record.jobid, record.rule_name, " ".join([record.rule_name, *place]), record.created)
        elif event == LogEvent.JOB_FINISHED and self.progress:
            self.say(self.progress.end(record.job_id, record.created))
            self.warn(*self.logs.pop(record.job_id, ("", [])))

    def warn(self, place: str, logs: list[str]) -> None:
        """Say what a job has warned of: of a task all, but of a hundred runs the same words once."""
        for line in warnings(logs):
            words = line.replace(place, "*") if "/" in place else f"{place} {line}"
            if words not in self.warned:
                self.warned.add(words)
                self.say(f"      {line}")

    def say(self, text: str) -> None:
        """Print it at once."""
        if text.strip():
            print(text, file=sys.stderr, flush=True)


def warnings(logs: list[str]) -> list[str]:
    """The lines of a job's logs that are warnings."""
    found = []
    for log in logs:
        with suppress(OSError):  # what is gone says nothing
            lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
            found += [line for line in lines if line.startswith(WARNED)]
    return found


class Progress:
    """Which jobs are done, and how long the others will take. Times are in seconds, on one clock."""

    def __init__(self, counts: dict[str, int], start: float) -> None:
        """`counts` says how many jobs each rule has."""
        self.total = sum(counts.values())
        self.left = Counter(counts)
        self.start = start
        self.running: dict[int, tuple[str, str, float]] = {}
        self.seconds: dict[str, list[float]] = {}

    def begin(self, job: int, rule: str, name: str, now: float) -> None:
        """A job starts, or starts again."""
        self.running[job] = rule, name, now

    def end(self, job: int, now: float) -> str:
        """A job is done: the line about it."""
        rule, name, start = self.running.pop(job)
        self.left[rule] -= 1
        self.seconds.setdefault(rule, []).append(now - start)
        done = self.total - self.left.total()
        after = self.seconds_left(now)
        tail = f", about {spoken(after)} left" if after and done < self.total else ""
        return f"[{done}/{self.total}] {name}: {spoken(now - start)}{tail}"

    def seconds_left(self, now: float) -> float | None:
        """Mean seconds of each rule times its jobs left, over the jobs that ran side by side so far.

        None while a rule with several jobs to do has shown no time. Of a rule with one, it counts as no time.
        """
        if any(count > 1 and rule not in self.seconds for rule, count in self.left.items()):
            return None
        means = {rule: sum(times) / len(times) for rule, times in self.seconds.items()}
        busy = sum(map(sum, self.seconds.values())) + sum(now - start for _, _, start in self.running.values())
        abreast = max(1.0, busy / max(now - self.start, 1e-9))
        return sum(count * means.get(rule, 0.0) for rule, count in self.left.items()) / abreast


def spoken(seconds: float) -> str:
    """12 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
