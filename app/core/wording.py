"""Numbers in sentences."""


def count(number: int, one: str, many: str | None = None) -> str:
    """Format a number with its noun, such as ``1,204 glitches``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
