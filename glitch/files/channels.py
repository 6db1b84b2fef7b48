"""Choose the strain channel of a file when none is given."""

from __future__ import annotations

import re
from collections.abc import Sequence

from glitch.detectors import DETECTORS, detector_of_channel, detector_of_text

# GDS-CALIB_STRAIN, DCS-CALIB_STRAIN_C01, LOSC-STRAIN, CAL-CS_PROC_DARM_STRAIN_DBL_DQ;
# Virgo's Hrec_hoft_16384Hz and h_16384Hz.
_IS_STRAIN = re.compile(r"STRAIN|HREC|(?<![A-Z0-9])H_\d+HZ|HOFT", re.ASCII)
# Least preferred last. Plain strain comes first: Omicron triggers on it, and the Gravity Spy
# pictures that the shipped model was trained on are made from it. Noise-subtracted channels come
# after it.
_VARIANTS = ("CLEAN", "NOLINES", "GATED", "SUB60HZ", "_AR", "INJ", "20000HZ", "DQ_MASK", "MASK")
_LISTED = 10
# usual names of strain arrays, most certain first
STRAIN_NAMES = ("strain", "data", "values", "h", "h(t)")


def is_strain_channel(name: str) -> bool:
    """Return whether a channel has the name of a strain channel."""
    return _IS_STRAIN.search(name.upper()) is not None


def may_be_strain(name: str) -> bool:
    """Return whether an array may be strain: by its name, or because a detector or channel names
    it.
    """
    return (
        name.upper() in DETECTORS
        or detector_of_channel(name) is not None
        or is_strain_channel(name)
        or name.lower() in STRAIN_NAMES
    )


def choose_channel(
    names: Sequence[str], requested: str | None, ifo: str | None, preferred: str | None = None
) -> str | None:
    """Return the one matching channel, or None if there is none or more than one.

    Args:
        names: channels that could be strain by their rate and type.
        requested: the requested channel; matched exactly if possible, else ignoring case and, if it
            names no detector, ignoring the detector.
        ifo: the requested detector; chooses among the channels of several detectors.
        preferred: used like ``requested`` if such a channel exists, otherwise ignored.
    """
    if requested:
        exact = [name for name in names if name == requested]
        key = _bare if detector_of_channel(requested) is None else str.upper
        found = exact or [name for name in names if key(name) == requested.strip().upper()]
        return _one_of(found, ifo)
    if preferred and (found_preferred := choose_channel(names, preferred, ifo)):
        return found_preferred
    of_detector = [name for name in names if ifo and detector_of_text(name) == ifo]
    strain = [name for name in of_detector or names if is_strain_channel(name)]
    candidates = strain or list(of_detector or names)
    least = min((_rank(name) for name in candidates), default=())
    return _one_of([name for name in candidates if _rank(name) == least], ifo)


def listed(names: Sequence[str]) -> str:
    """Return names as messages list them; each of them is accepted as ``channel``."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(repr(name) for name in names[:_LISTED]) + more


def _rank(name: str) -> tuple[int, ...]:
    return tuple(int(variant in name.upper()) for variant in reversed(_VARIANTS))


def _one_of(names: Sequence[str], ifo: str | None) -> str | None:
    if len(names) > 1 and ifo:
        names = [name for name in names if detector_of_text(name) == ifo]
    return names[0] if len(names) == 1 else None


def _bare(name: str) -> str:
    return name.upper().partition(":")[2] if detector_of_channel(name) else name.upper()
