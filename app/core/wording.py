"""Numbers and lists in sentences."""

from collections.abc import Iterable


def count(number: int, one: str, many: str | None = None) -> str:
    """Format a number with its noun, such as ``1,204 glitches``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(parts: Iterable[str]) -> str:
    """Join words as "a, b and c"."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
