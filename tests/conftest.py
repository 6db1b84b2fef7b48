"""Fixtures that every suite shares."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples everywhere, however slow the machine; `pytest --hypothesis-profile explore`
# looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("fixed")

pytest_plugins = [
    "postgres_fixtures",
    "service_fixtures",
]  # found through `pythonpath` in pyproject.toml

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public files, or a skip that says it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real-data tests need the public files in {SHARED_DATA}, which is absent")
    return SHARED_DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The gates of coverage hold where there are no public files; so tests of them go untraced."""
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(pytest.mark.no_cover)
