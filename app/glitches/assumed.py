"""Assumptions about values missing from an upload: names in the API, a sentence for people."""

from collections.abc import Sequence

START = "gps_start"  # of strain
_SCALES = {
    "frequency_range": "a frequency axis of 10 to 2048 Hz",
    "energy_max": "a colour scale of 0 to 25.5",
}


def assumption(assumed: Sequence[str]) -> str | None:
    """Sentence on the assumptions about strain or pictures; None if there are none."""
    if START in assumed:
        return (
            "The file does not state its start time, so its middle was assumed to be at the GPS "
            "time, or at the time of the only event that it names. If that is wrong, save it with "
            "the GPS time of its first sample."
        )
    scales = [_SCALES[field] for field in assumed]
    if not scales:
        return None
    return f"Assumed, because the picture has no labels that state it: {' and '.join(scales)}."
