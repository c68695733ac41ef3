"""Where the real test data lie; tests on them skip, with the reason, where they are absent."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def data_root() -> Path:
    """The folder of the real data: ``HAPCTL_TEST_DATA``, or ``../shared/data`` beside the repository."""
    named = Path(os.environ.get("HAPCTL_TEST_DATA", "../shared/data"))
    return named if named.is_absolute() else (REPOSITORY / named).resolve()


def data_file(name: str) -> Path:
    """Path of a real data file; the test is skipped where it is absent."""
    path = data_root() / name
    if not path.exists():
        pytest.skip(f"no real data file {name} (set HAPCTL_TEST_DATA)")
    return path
