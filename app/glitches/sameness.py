"""Recognising a glitch that is stored, where the last bit of a float would make it another.

The views of one trigger differ in their last bits with the batch that they were made in, and one of
65,536 cells then falls on the other side of a step; a digest of them is another one altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.postgres.one_trip import in_one_trip
from app.glitches.records import GlitchMetadata
from app.glitches.tables import View
from glitch.codec import STEPS, unpack_view
from glitch.views import Views

# No two may store what was seen at one time by one detector at once: neither would see the other's
# row. Held in one order until the transaction's end, so that two who store many never deadlock.
_AT_THESE_TIMES = (
    "SELECT pg_advisory_xact_lock(key) FROM unnest(%(locks)s::bigint[]) AS key;"
    "SELECT id, ifo, gps_time, content_digest FROM glitch"
    " JOIN unnest(%(ifos)s::text[], %(times)s::numeric[]) AS key (ifo, gps_time)"
    " USING (ifo, gps_time)"
)
_STEP = Decimal("1e-9")  # s; the column's resolution
_SAME_STEPS = 1  # of 255; what rounding moves a cell by


def known_digests(
    session: Session, found: Sequence[tuple[Views, GlitchMetadata]]
) -> dict[int, bytes]:
    """Digests of stored glitches that are the same as these, by their places.

    The same is what has detector and GPS time in common, and the same windows and rows with
    energies that differ by no more than rounding. What has no detector or no time is never taken
    for the same here: its digest decides.
    """
    keys = {
        place: (one.ifo, one.gps_time.quantize(_STEP))
        for place, (_, one) in enumerate(found)
        if one.ifo is not None and one.gps_time is not None
    }
    if not keys:
        return {}
    ifos, times = zip(*sorted(set(keys.values())), strict=True)
    values = {"locks": sorted(map(_lock, ifos, times)), "ifos": list(ifos), "times": list(times)}
    stored = in_one_trip(session, _AT_THESE_TIMES, values)
    if not stored:
        return {}
    views: dict[UUID, dict[float, View]] = {}
    for view in session.scalars(select(View).where(View.glitch_id.in_([one[0] for one in stored]))):
        views.setdefault(view.glitch_id, {})[view.duration] = view
    return {
        place: digest
        for place, key in keys.items()
        for glitch_id, *at, digest in stored
        if tuple(at) == key and _are_same(found[place][0], views.get(glitch_id, {}))
    }


def _lock(ifo: str, time: Decimal) -> int:
    digest = sha256(f"{ifo} {time}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _are_same(views: Views, stored: dict[float, View]) -> bool:
    if set(views.durations_s) != set(stored):
        return False
    for duration_s, view in stored.items():
        index = views.preprocessing.view_index(duration_s)
        values = np.rint(views.values[index] * STEPS)
        if values.shape != (view.n_frequency, view.n_time):
            return False
        if np.packbits(views.observed[index]).tobytes() != view.observed:
            return False
        known = np.rint(unpack_view(view.packed, values.shape) * STEPS)
        if np.abs(values - known).max() > _SAME_STEPS:
            return False
    return True
