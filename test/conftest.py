"""What several tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# In CI the same examples every time: a rare one is for a developer to find, not for an unrelated change.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

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
