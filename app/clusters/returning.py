"""Known classes that occur again after they had not for long, without anybody having said so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters.findings import Finding, found
from glitch.clustering.dormancy import Recurrence

_GONE = ("retired", "withdrawn")


@dataclass(frozen=True)
class Returned:
    """A class that is back in one detector."""

    label: str
    ifo: str
    how: Recurrence

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


def returned(
    session: Session, recurrences: Mapping[str, Mapping[int, Recurrence]]
) -> tuple[Returned, ...]:
    """The same with names, by detector and name; without classes that are in use no more."""
    ids = {class_id for of_ifo in recurrences.values() for class_id in of_ifo}
    rows = session.execute(
        select(GlitchClass.id, GlitchClass.name).where(
            GlitchClass.id.in_(ids), GlitchClass.state.not_in(_GONE)
        )
    )
    names = {row.id: row.name for row in rows}
    return tuple(
        Returned(names[class_id], ifo, how)
        for ifo, of_ifo in sorted(recurrences.items())
        for class_id, how in sorted(of_ifo.items(), key=lambda one: names.get(one[0], ""))
        if class_id in names
    )
