"""What a reviewer should know before believing a cluster: how alike its members really are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Uuid, any_, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters.selection import Selection
from app.glitches.tables import Embedding, Glitch
from glitch.clustering import FoundCluster

FAINT_SNR = 7.5  # Gravity Spy takes triggers from here on
OFF_CENTRE_S = 0.05  # a tenth of the shortest window
_NAMED = 3  # windows and classes, the commonest ones


def trust_in(
    session: Session, checkpoint_id: int, selection: Selection, cluster: FoundCluster
) -> dict[str, Any]:
    """How the members were seen; how many have a time, are faint, are off centre; which class
    each is predicted to be of.

    A cluster of several such classes, or with parts seen in other windows, is likely a mixture.
    JSON values.
    """
    members = [selection.ids[index] for index in cluster.members]
    mine = [
        Embedding.checkpoint_id == checkpoint_id,
        Embedding.glitch_id == any_(cast(members, ARRAY(Uuid))),
    ]
    seen = session.execute(
        select(Embedding.condition, func.count())
        .where(*mine)
        .group_by(Embedding.condition)
        .order_by(func.count().desc(), Embedding.condition)
    ).all()
    timed, faint, off_centre = session.execute(
        select(
            func.count(Glitch.gps_time),
            func.count().filter(Glitch.snr < FAINT_SNR),
            func.count().filter(
                func.abs(Glitch.peak_gps_time - Glitch.centre_gps_time) > OFF_CENTRE_S
            ),
        ).where(Glitch.id == any_(cast(members, ARRAY(Uuid))))
    ).one()
    predicted: dict[int, int] = {}
    for index in cluster.members:
        class_id = selection.predicted.get(selection.ids[index].bytes)
        if class_id is not None:
            predicted[class_id] = predicted.get(class_id, 0) + 1
    names = {
        row.id: row.name
        for row in session.execute(
            select(GlitchClass.id, GlitchClass.name).where(GlitchClass.id.in_(predicted))
        )
    }
    return {
        "n_timed": timed,
        "n_faint": faint,
        "n_off_centre": off_centre,
        "seen": [{"condition": condition, "n": n} for condition, n in seen],
        "looks": [
            {"label": names[class_id], "n": n}
            for class_id, n in sorted(predicted.items(), key=lambda one: -one[1])
            if class_id in names
        ],
    }


def trust_sentence(size: int, trust: Mapping[str, Any]) -> str:
    """The same in a sentence; empty where nothing is known of it."""
    if not trust:
        return ""
    parts = [f"{trust['n_timed']:,} of {size:,} members carry a time"]
    seen = [one for one in trust["seen"] if one["condition"]]
    if len(seen) == 1:
        parts.append(f"all were seen in {seen[0]['condition']}")
    elif seen:
        parts.append(
            "they were seen otherwise: "
            + "; ".join(f"{one['n']:,} in {one['condition']}" for one in seen[:_NAMED])
        )
    if trust["n_faint"]:
        parts.append(f"{trust['n_faint']:,} are faint (SNR below {FAINT_SNR:g})")
    if trust.get("n_off_centre"):  # earlier versions did not count them
        parts.append(
            f"{trust['n_off_centre']:,} are off centre (loudest over {OFF_CENTRE_S:g} s from the "
            "middle of their views)"
        )
    predicted = trust["looks"]
    if len(predicted) > 1:
        nearest = ", ".join(f"{one['label']} for {one['n']:,}" for one in predicted[:_NAMED])
        parts.append(f"their nearest known classes disagree: {nearest}")
    elif predicted:
        parts.append(f"the nearest known class of each is {predicted[0]['label']}")
    return "; ".join(parts) + "."
