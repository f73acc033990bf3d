from types import SimpleNamespace

from ship.cli import progress
from ship.cli.progress import Phases, downloading, epoch_line


def test_phases_add_up():
    """A part that comes twice counts as one; their line names them in the order in which they first came."""
    ticks = iter([0.0, 1.5, 2.0, 4.0, 5.0, 5.5])
    phases = Phases(clock=lambda: next(ticks))
    for name in ("images", "training", "images"):
        with phases(name):
            pass
    assert str(phases).endswith(", images 2.0 s, training 2.0 s")


def test_a_download_is_told_in_lines(capsys):
    """Where there is no terminal: size, share, speed, time left; not more often than is asked for."""
    for every, lines in ((0.0, 3), (60.0, 0)):
        with downloading("a.bin", every=every) as tell:
            for done in (0, 50_000_000, 100_000_000):
                tell(done, 200_000_000)
        said = capsys.readouterr().out.splitlines()
        assert len(said) == lines


def test_speed_and_time_left_are_those_of_what_comes_now(capsys, monkeypatch):
    """Not of what an earlier process has left; also where a download begins again, or nobody knows how much it is."""
    clock = iter(range(0, 100, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with downloading("a.bin", every=10) as tell:
        for done, total in ((80, 200), (160, 200), (0, 200), (100, None)):
            tell(10**6 * done, total and 10**6 * total)
    assert capsys.readouterr().out.splitlines() == [
        "a.bin: 80.0 of 200.0 MB (40%), 0.0 MB/s",
        "a.bin: 160.0 of 200.0 MB (80%), 4.0 MB/s, 0:00:10 left",
        "a.bin: 0.0 of 200.0 MB (0%), 0.0 MB/s",
        "a.bin: 100.0 MB, 2.5 MB/s",
    ]


def test_the_last_epoch_is_as_many_as_there_are():
    """And the first is one."""
    lines = [epoch_line(SimpleNamespace(epoch=number, loss=1.0, accuracy=0.5), 3) for number in range(3)]
    assert [line.partition(",")[0] for line in lines] == [f"epoch {number}/3" for number in (1, 2, 3)]
