from ship.cli.progress import Phases, downloading


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
    with downloading("a.bin", every=0.0) as tell:
        tell(0, None)
        tell(50_000_000, None)
        tell(100_000_000, 200_000_000)
    _, unknown, last = capsys.readouterr().out.splitlines()
    assert unknown.startswith("a.bin: 50.0 MB, ")
    assert last.startswith("a.bin: 100.0 of 200.0 MB (50%), ")
    assert last.endswith(" left")
