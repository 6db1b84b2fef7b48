"""Fixtures that every suite shares."""

import gc
from collections.abc import Iterator
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
END_TO_END = Path(__file__).parent / "e2e"


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The gates of coverage hold where there are no public files; so tests of them go untraced.

    Nor does a trace pay for itself end to end: what those tests run in their own process others
    have run, and it makes it a third slower.
    """
    for item in items:
        if item.get_closest_marker("real_data") or END_TO_END in item.path.parents:
            item.add_marker(pytest.mark.no_cover)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Leave the fixtures of an untraced test untraced too, and the threads that they start."""
    plugin = item.config.pluginmanager.get_plugin("_cov")
    controller = getattr(plugin, "cov_controller", None)  # None without --cov
    if controller is None or not item.get_closest_marker("no_cover"):
        return (yield)
    controller.pause()
    try:
        return (yield)
    finally:
        controller.resume()
