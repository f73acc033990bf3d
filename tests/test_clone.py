"""A clone holds the bytes that were committed, whatever its owner's git is told about the ends of lines."""

from __future__ import annotations

import subprocess

import pytest
from project import ROOT


def git(folder, *arguments, text=""):
    """What a git command prints."""
    call = ("git", "-C", str(folder), *arguments)
    return subprocess.run(call, input=text, capture_output=True, text=True, check=True).stdout


def blobs(folder):
    """The committed files, links left out: path, and the digest of its bytes."""
    rows = (row.split(maxsplit=3) for row in git(folder, "ls-tree", "-r", "HEAD").splitlines())
    return {path: digest for mode, _, digest, path in rows if mode != "120000"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone in the way of Git for Windows: text is to get CR LF."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git clone: this folder is none")
    place = tmp_path_factory.mktemp("clones") / "a clone"
    git(ROOT, "clone", "--quiet", "-c", "core.autocrlf=true", str(ROOT), str(place))
    return place


def test_every_file_has_the_committed_bytes(clone):
    """So what DVC, Snakemake and the sums in `results/` compare is the same, and a shell can read the scripts."""
    committed = blobs(clone)
    digests = git(clone, "hash-object", "--no-filters", "--stdin-paths", text="\n".join(committed)).splitlines()
    assert dict(zip(committed, digests, strict=True)) == committed


def test_nothing_is_changed_in_it(clone):
    """`git status` is clean, also after git looked at every file anew."""
    assert git(clone, "status", "--porcelain") == ""
    git(clone, "add", "--all", "--renormalize", ".")
    assert git(clone, "status", "--porcelain") == ""


def test_text_is_committed_with_lf():
    """A file with CR LF in it would be the one exception that no clone can mend."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git clone: this folder is none")
    assert [
        line for line in git(ROOT, "ls-files", "--eol").splitlines() if line.startswith(("i/crlf", "i/mixed"))
    ] == []


def test_what_is_no_text_is_named(clone):
    """Git guesses from the first bytes whether a file is text; what is not is told by its name instead."""
    guessed = [
        line.split("\t")[1]
        for line in git(clone, "ls-files", "--eol").splitlines()
        if line.startswith("i/-text") and "attr/-text" not in line
    ]
    assert guessed == []
