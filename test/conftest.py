"""What several tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture
def repository() -> Path:
    return ROOT


@pytest.fixture
def shared_data() -> Path:
    """The real images beside the repository; they are not part of it."""
    if not (SHARED / "data" / "sequences").is_dir():
        pytest.skip("no ../shared/data beside this repository")
    return SHARED / "data"


@pytest.fixture
def shared_weights() -> Path:
    if not (SHARED / "weights").is_dir():
        pytest.skip("no ../shared/weights beside this repository")
    return SHARED / "weights"
