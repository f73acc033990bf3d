"""Installation: every file has the hash that requirements.lock gives, or nothing is installed by it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import pytest
from project import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
MARK = ".venv/bin/.installed"
WHEEL = "tiny-1.0-py3-none-any.whl"
PIP = ".venv/bin/python -m pip install"


def entries():
    """What the lock says of each package: name, and everything after it."""
    for entry in re.split(r"\n(?=\S)", LOCK.strip()):
        yield re.match(r"[a-z0-9-]+(?===)", entry)[0], entry


def commands(folder, *settings):
    """What `make` would run to install in `folder`."""
    call = ("make", "--dry-run", "--no-print-directory", *settings, MARK)
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()


def installing(folder, *settings):
    """The command that installs what the lock names."""
    [line] = [line for line in commands(folder, *settings) if line.endswith("--requirement requirements.lock")]
    return shlex.split(line)


def write_wheel(folder, value):
    """A package without dependencies that no registry has, in `folder`: a whole archive, whatever the digit is."""
    files = {
        "tiny.py": f"VALUE = {value}\n",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, "tiny-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, text in {**files, "tiny-1.0.dist-info/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # without the time of writing


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the Makefile, a lock that names one wheel, and that wheel as all there is to install from."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "wheels").mkdir()
    write_wheel(tmp_path / "wheels", 1)
    digest = hashlib.sha256((tmp_path / "wheels" / WHEEL).read_bytes()).hexdigest()
    (tmp_path / "requirements.lock").write_text(f"tiny==1.0 \\\n    --hash=sha256:{digest}\n")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "VIRTUAL_ENV"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def environment(folder, with_pip):
    """A new environment in `folder`, as the Makefile has it before it installs the lock."""
    bare = [] if with_pip else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *bare, "--clear", folder / ".venv"], check=True)
    if not with_pip:
        (folder / ".venv/bin/uv").symlink_to(shutil.which("uv", path=sysconfig.get_path("scripts")))


def run(folder, *command):
    """The finished process."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [[], [f"INSTALL={PIP}"]], ids=["uv", "pip"])
def test_a_changed_byte_in_a_wheel_is_refused(project, settings):
    """By the very command of the Makefile, which installs the wheel as it was."""
    command = installing(project, *settings)
    environment(project, with_pip=bool(settings))
    assert "--require-hashes" in command
    value = (".venv/bin/python", "-c", "import tiny; print(tiny.VALUE)")

    write_wheel(project / "wheels", 2)
    refused = run(project, *command)
    assert refused.returncode != 0
    assert re.search(r"hash mismatch|do not match the hashes", refused.stderr, re.IGNORECASE), refused.stderr
    assert run(project, *value).returncode != 0

    write_wheel(project / "wheels", 1)
    done = run(project, *command)
    assert done.returncode == 0, done.stderr
    assert run(project, *value).stdout == "1\n"


@pytest.mark.slow
def test_an_installation_that_was_cut_off_starts_anew(project):
    """The mark is set last, and what has none is cleared; with it, the environment is brought up to date in place."""
    write_wheel(project / "wheels", 2)
    done = run(project, "make", f"INSTALL={PIP}", f"PYTHON={sys.executable}", MARK)
    assert done.returncode != 0
    assert (project / ".venv/bin/python").exists()
    assert not (project / MARK).exists()
    first = commands(project)[0]
    assert "-m venv --clear .venv" in first
    assert run(project, "sh", "-c", first.replace("python3 -m venv --clear .venv", "echo anew")).stdout == "anew\n"

    (project / MARK).touch()
    os.utime(project / MARK, (0, 0))  # older than the lock
    first, second = commands(project)[:2]
    assert run(project, "sh", "-c", first.replace("python3 -m venv --clear .venv", "echo anew")).stdout == ""
    assert second == f"rm -f {MARK}"


def test_the_lock_has_hashes_of_everything_and_no_place():
    """A version, where it is for, and sums: no address that one network alone reaches."""
    for name, entry in entries():
        first, *hashes = entry.split(" \\\n")
        assert re.fullmatch(r"[a-z0-9-]+==[^ ;]+( ; .+)?", first), name
        assert hashes, name
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", line) for line in hashes), name
    assert "://" not in LOCK


def test_the_lock_names_what_the_package_asks_for():
    """With every extra, and what the Makefile itself needs; what is missing is found before an installation fails."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    names = {re.match(r"[A-Za-z0-9._-]+", name)[0].lower().replace("_", "-").replace(".", "-") for name in asked}
    assert names - {"ship-tuning"} <= dict(entries()).keys()
    assert {"setuptools", "uv"} <= names
