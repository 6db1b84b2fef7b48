"""Settings of `up` in addition to those of the service."""

from pydantic import Field, ValidationError

from app.core.errors import LaunchError
from app.core.settings import Settings
from app.demo.plan import PER_CLASS


class LaunchSettings(Settings):
    """The service's settings and those of its start."""

    api_processes: int | None = Field(default=None, ge=1, le=8)
    """Number of processes that answer requests on one address. Each has its own model (about 0.5
    GB), connections and decoders. Unset: two on machines with at least two cores."""
    demo: bool = True
    """Whether the first start loads the demonstration of simulated glitches."""
    demo_per_class: int = Field(default=PER_CLASS, ge=1, le=1000)
    """Number of simulated glitches of each class in it."""


def read_settings() -> LaunchSettings:
    """Read the settings from the environment; LaunchError if a value is invalid."""
    try:
        return LaunchSettings()
    except ValidationError as error:
        problems = "; ".join(
            _problem_text(item["loc"], item["msg"])
            for item in error.errors(include_url=False, include_input=False)
        )
        raise LaunchError(f"A setting has a wrong value: {problems}.") from None


def _problem_text(location: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ").rstrip(".")
    if text.startswith("GLITCH_"):
        return text
    name = str(location[0]) if location else "?"
    return f"{name if name.isupper() else f'GLITCH_{name.upper()}'}: {text}"
