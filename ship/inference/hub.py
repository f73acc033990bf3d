"""An exported folder, as a repository of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]  # of the client it has
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from ship.errors import BadInput


def check_push(repo: str) -> None:
    """Raise BadInput, before anything is computed, where nothing can be pushed to `repo`: its name, or no token."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise BadInput(f"export: --push: expected NAME or OWNER/NAME, got {repo!r}: {_line(error)}") from None
    if get_token() is None:
        raise BadInput(
            "export: --push: expected a token of the Hugging Face Hub, found none (hf auth login, or HF_TOKEN)"
        )


def push(folder: Path, repo: str) -> str:
    """Put the files of `folder` into `repo` in one commit; its address. A repository that is new is private.

    Raises BadInput, and leaves the repository as it was, where the Hub does not take them.
    """
    api = HfApi()
    try:
        made = api.create_repo(repo, private=True, exist_ok=True)
        files = [CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
        api.create_commit(made.repo_id, files, commit_message="Export of ship")
    except (HTTPError, OSError, ValueError) as error:
        raise BadInput(
            f"export: --push {repo}: expected the Hub to take the files of {folder}, got {type(error).__name__}: "
            f"{_line(error)} (they are there and checked: hf upload {repo} {folder})"
        ) from None
    return str(made)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or "no reason"
