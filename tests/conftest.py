"""Fixtures that every suite shares."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples everywhere, however slow the machine; `pytest --hypothesis-profile explore`
# looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("fixed")

pytest_plugins = [  # found through `pythonpath` in pyproject.toml
    *(["line_coverage"] if "LINE_COVERAGE" in os.environ else []),  # before what it measures
    "postgres_fixtures",
    "service_fixtures",
]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public files, or a skip that says it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real-data tests need the public files in {SHARED_DATA}, which is absent")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Collect without looking for garbage: what is imported stays, and a sixth of the time goes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # and never look through it again
        gc.enable()
