"""Fixtures shared by the suite."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the checkout; tests that need it are skipped, loudly, where it is absent."""
    folder = Path(os.environ.get("THIRTYTWO_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs real images in {folder} (or THIRTYTWO_TEST_DATA)")
    return folder
