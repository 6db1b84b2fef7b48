"""Known classes that occur again after they had not for long, without anybody having said so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters.findings import Finding, found
from glitch.dormancy import Comeback, comeback, days_with_data
from glitch.novelty import LEAST_OF_CLASS

if TYPE_CHECKING:
    from glitch.pool import Pool

AS_NEAR = 0.9  # an unlabelled glitch is of a look if it is as near as this share of the class
_GONE = ("retired", "withdrawn")


@dataclass(frozen=True)
class Returned:
    """A class that is back in one detector."""

    label: str
    ifo: str
    how: Comeback

    @property
    def finding(self) -> Finding:
        """For whoever reads what a run found."""
        return found(
            "back",
            label=self.label,
            ifo=self.ifo,
            silent_days=int(self.how.silent_days),
            n_after=int(self.how.n_after),
            first_after=float(self.how.first_after),
        )


def comebacks_in(
    pool: Pool,
    looks: Int[np.ndarray, " glitch"],
    is_sure: Bool[np.ndarray, " glitch"],
    least_days: int,
    least_glitches: int,
) -> dict[int, Comeback]:
    """The classes of one detector that came back, by id.

    A class occurs where a glitch is labelled so, and where an unlabelled one looks so: most of its
    nearest references are of the class, and it is as near to the known as nine in ten of the class.

    Args:
        pool: The glitches of the detector.
        looks: The class id that most of the nearest references of each name.
        is_sure: Whether that is more than half of them.
        least_days: Days with data and without the class that make a silence.
        least_glitches: Unlabelled ones since then, fewer are chance.
    """
    days = days_with_data(pool.gps_times)
    if len(days) <= least_days:
        return {}
    found = {}
    is_unlabelled = pool.classes < 0
    for class_id in np.unique(pool.classes[np.isfinite(pool.calibration)]).tolist():
        mine = pool.classes == class_id
        own = pool.calibration[mine & np.isfinite(pool.calibration)]
        if mine.sum() < LEAST_OF_CLASS:
            continue
        alike = is_unlabelled & is_sure & (looks == class_id)
        alike &= pool.judged <= np.quantile(own, AS_NEAR)
        back = comeback(pool.gps_times[mine | alike], days, least_days)
        if back is None or (pool.gps_times[alike] >= back.first_after).sum() < least_glitches:
            continue
        if (pool.gps_times[mine] <= back.last_before).any():
            found[class_id] = back
    return found


def returned(
    session: Session, comebacks: Mapping[str, Mapping[int, Comeback]]
) -> tuple[Returned, ...]:
    """The same with names, by detector and name; without classes that are in use no more."""
    ids = {class_id for of_ifo in comebacks.values() for class_id in of_ifo}
    rows = session.execute(
        select(GlitchClass.id, GlitchClass.name).where(
            GlitchClass.id.in_(ids), GlitchClass.state.not_in(_GONE)
        )
    )
    names = {row.id: row.name for row in rows}
    return tuple(
        Returned(names[class_id], ifo, how)
        for ifo, of_ifo in sorted(comebacks.items())
        for class_id, how in sorted(of_ifo.items(), key=lambda one: names.get(one[0], ""))
        if class_id in names
    )
