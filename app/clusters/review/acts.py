"""The effect of each review action on the catalogue, and its exact reversal.

Every action is a pair of functions. ``do`` changes the catalogue and returns what the event must
record. ``take_back`` restores the previous state from that record. A redo calls ``do`` with the
action recorded in the event. The caller holds the lock of the cluster.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.classes import naming
from app.classes.service import active_merges, class_history, note_withdrawal, refuse_used
from app.classes.tables import GlitchClass
from app.clusters.chosen import store_chosen
from app.clusters.review import log as requests
from app.clusters.review.context import (
    Memory,
    ReviewContext,
    hold_latest,
    lock_identity,
    members_named,
    read_log,
    require_flagged,
    set_state,
    suggest,
    take_open_suggestions,
    take_suggestions,
)
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember, LabelSuggestion
from app.core.database import is_any_of
from app.core.errors import ConflictError, InvalidRequestError
from app.core.events import check_remark
from app.glitches.labels import append_labels, revoke_labels
from app.glitches.tables import Glitch, Label


def split(context: ReviewContext, action: requests.SplitRequest) -> Memory:
    """Split the given members off as a new cluster; the rest keeps the identity.

    The split cluster stays stored with its members, for the undo.
    """
    require_flagged(context)
    hold_latest(context)
    session, cluster = context.session, context.cluster
    split_off = set(members_named(context.session, context.cluster, action.member_ids))
    rows = session.execute(
        select(ClusterMember.glitch_id, ClusterMember.probability)
        .where(ClusterMember.cluster_id == cluster.id)
        .order_by(ClusterMember.glitch_id)
    ).all()
    if len(split_off) == len(rows):
        raise InvalidRequestError(
            "These are all members: leave some out, which stay in this cluster."
        )
    probabilities = {row.glitch_id: row.probability for row in rows}
    rest = {key: value for key, value in probabilities.items() if key not in split_off}
    part = {key: value for key, value in probabilities.items() if key in split_off}
    run = session.get_one(ClusteringRun, cluster.run_id)
    of_whole: dict[str, Any] = {
        **{"stability": cluster.stability, "significance": cluster.significance},
        **{"more": {"is_part": True, "split_from": cluster.size}, "previous": cluster},
    }
    # In this order, so that the rest gets the highest id of its identity.
    new_id = store_chosen(session, run, part, **of_whole)
    rest_id = store_chosen(session, run, rest, identity=cluster.identity, **of_whole)
    cluster.state = "split"
    return {
        "n_glitches": len(part),
        "whole": str(cluster.id),
        "rest": str(rest_id),
        "part": str(new_id),
    }


def undo_split(context: ReviewContext, memory: Mapping[str, Any]) -> None:
    """Remove the parts and flag the whole again, unless others built on the parts."""
    session = context.session
    parts = [UUID(memory["rest"]), UUID(memory["part"])]
    lock_identity(session, parts[1])
    refuse_to_join(session, context.cluster, memory)
    whole = session.get_one(Cluster, UUID(memory["whole"]))
    session.execute(
        delete(Cluster).where(Cluster.id.in_(parts)).execution_options(synchronize_session=False)
    )
    session.expire_all()
    whole.state = "flagged"


def refuse_to_join(session: Session, cluster: Cluster, memory: Mapping[str, Any]) -> None:
    """Refuse to undo a split if a part was reviewed or found again by a later run."""
    parts = [UUID(memory["rest"]), UUID(memory["part"])]  # the second is also the identity
    if session.get(Cluster, UUID(memory["whole"])) is None or cluster.id != parts[0]:
        raise ConflictError(
            "A later clustering run found the parts of this cluster again, so the split stays: "
            "name one of them, and merge the others into that class."
        )
    log = read_log(session, parts[1])
    if log.done:
        last = log.event(log.last_event_of[log.done[-1]])
        raise ConflictError(
            f"The part that was split off has been reviewed ({last.author}: "
            f"{last.summary}): undo that first."
        )
    found_again = session.scalar(
        select(Cluster.id).where(Cluster.identity == parts[1], Cluster.id != parts[1]).limit(1)
    )
    if found_again is not None:
        raise ConflictError(
            "A later clustering run found the part that was split off again, so the split stays: "
            "name one part, and merge the other into that class."
        )


SOURCE = "review"  # of labels that reviewers accept or assign


def promote(context: ReviewContext, action: requests.PromoteRequest) -> Memory:
    """Create a class and suggest it for the unlabelled members."""
    require_flagged(context)
    description = action.description or (
        f"Named by {context.author.name} from a cluster of {context.cluster.size:,} glitches."
    )
    naming.create_class(
        context.session,
        action.class_name,
        description=description,
        author=context.author,
        is_from_review=True,
    )
    return _become(context, "promoted", action.class_name)


def undo_promotion(context: ReviewContext, memory: Mapping[str, Any]) -> None:
    """Withdraw the class, unless it is used elsewhere by now."""
    naming.lock_classes(context.session)
    refuse_to_withdraw(context.session, context.cluster, memory)
    row = _class_of(context.session, memory)
    if row is not None:
        row.state = naming.WITHDRAWN
        note_withdrawal(context.session, row.id, author=context.author)
    flag_again(context, memory)


def refuse_to_withdraw(session: Session, cluster: Cluster, memory: Mapping[str, Any]) -> None:
    """Refuse to withdraw a class that was changed or used elsewhere since."""
    row = _class_of(session, memory)
    if row is None:
        return
    log = class_history(session, row.id)
    later = [log.event(one) for one in log.done if log.event(one).kind != "create"]
    if later:
        raise ConflictError(
            f"The class {row.name} was changed since ({later[-1].author}: {later[-1].summary}): "
            "undo that on the class's page first."
        )
    refuse_used(session, row, exempt=cluster.identity)


def merge(context: ReviewContext, action: requests.MergeRequest) -> Memory:
    """Suggest a known class for the unlabelled members."""
    require_flagged(context)
    return _become(context, "merged", action.class_name)


def flag_again(context: ReviewContext, _memory: Mapping[str, Any]) -> None:
    """Remove the suggested labels, if any, and flag the cluster again."""
    take_suggestions(context.session, context.cluster.identity)
    set_state(context, "flagged")


def dismiss(context: ReviewContext, _action: requests.DismissRequest) -> Memory:
    """Mark the cluster as dismissed."""
    require_flagged(context)
    set_state(context, "dismissed")
    return {}


def assign(context: ReviewContext, action: requests.AssignRequest) -> Memory:
    """Label members; their suggestions are removed."""
    member_ids = members_named(context.session, context.cluster, action.member_ids)
    taken = take_suggestions(context.session, context.cluster.identity, member_ids)
    labels = append_labels(
        context.session, member_ids, action.class_name, author=context.author, source=SOURCE
    )
    row = naming.find_class(context.session, action.class_name)
    return {
        "class_name": action.class_name,
        "class_name_id": None if row is None else row.id,
        "n_glitches": len(member_ids),
        "labels": [str(one) for one in labels],
        **_remember(context.session, taken),
    }


def accept(context: ReviewContext, action: requests.AcceptRequest) -> Memory:
    """Turn suggestions into labels."""
    chosen = sorted(set(action.member_ids)) or None
    taken = take_open_suggestions(context.session, context.cluster.identity, chosen)
    if not taken:
        raise ConflictError("No label is suggested for these glitches, or they are labelled now.")
    if chosen is not None and len(taken) < len(chosen):
        raise InvalidRequestError(
            f"For {len(chosen) - len(taken)} of these glitches no label is suggested by this "
            "cluster, or they are labelled now: leave them out, or assign them to a class."
        )
    memory = _remember(context.session, taken)
    glitch_ids = [row.glitch_id for row in taken]
    name = memory["suggested_class"]
    labels = append_labels(context.session, glitch_ids, name, author=context.author, source=SOURCE)
    return {
        "class_name": name,
        "n_glitches": len(glitch_ids),
        "labels": [str(one) for one in labels],
        **memory,
    }


def undo_accepted_labels(context: ReviewContext, memory: Mapping[str, Any]) -> None:
    """Revoke the labels and restore the suggestions that they replaced."""
    refuse_labels_merged(context.session, context.cluster, memory)
    revoke_labels(context.session, [UUID(one) for one in memory["labels"]], reviewer=context.author)
    suggested = memory.get("suggested", [])
    if suggested:
        row = _class_of(context.session, memory, "suggested_class")
        if row is None:
            raise ConflictError(
                f"The class {memory['suggested_class']} that was suggested does not exist any more."
            )
        suggest(  # not for glitches deleted since
            context.session,
            is_any_of(Glitch.id, [UUID(one) for one in suggested]),
            identity=context.cluster.identity,
            class_id=row.id,
            event_id=memory["suggested_by"],
        )


def refuse_labels_merged(session: Session, _cluster: Cluster, memory: Mapping[str, Any]) -> None:
    """Refuse to revoke labels whose class was merged since: the labels of the merge would stay."""
    key = "class_name" if memory.get("class_name_id") else "suggested_class"
    row = _class_of(session, memory, key)
    rows = select(Label.created_at).where(
        is_any_of(Label.id, [UUID(one) for one in memory["labels"]])
    )
    made = session.scalar(rows.limit(1))
    for one in active_merges(session):
        if row is not None and made is not None and one.class_id == row.id and one.at >= made:
            into = session.get_one(GlitchClass, one.into_id).name
            raise ConflictError(
                f"The class {row.name} was merged into {into} since: undo that on the class's "
                "page first."
            )


def comment(_scene: ReviewContext, action: requests.CommentRequest) -> Memory:
    """Record a comment."""
    return {"text": check_remark(action.text)}


def _become(context: ReviewContext, state: str, class_name: str) -> Memory:
    row = naming.usable_class(context.session, class_name)
    members = select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == context.cluster.id)
    n_suggested = suggest(
        context.session,
        Glitch.id.in_(members),
        Glitch.class_id.is_(None),
        identity=context.cluster.identity,
        class_id=row.id,
        event_id=context.event_id,
    )
    set_state(context, state)
    return {"class_name": row.name, "class_name_id": row.id, "n_glitches": n_suggested}


def _remember(session: Session, suggestions: Sequence[LabelSuggestion]) -> Memory:
    if not suggestions:
        return {}
    suggested = session.get_one(GlitchClass, suggestions[0].class_id)
    return {
        "suggested": [str(row.glitch_id) for row in suggestions],
        "suggested_class": suggested.name,
        "suggested_class_id": suggested.id,
        "suggested_by": suggestions[0].event_id,
    }


def _class_of(
    session: Session, memory: Mapping[str, Any], key: str = "class_name"
) -> GlitchClass | None:
    """Return the class that an event recorded, also if renamed since; None if it was withdrawn."""
    class_id = memory.get(f"{key}_id")
    if class_id is None:  # recorded before classes could be renamed
        return naming.find_class(session, memory[key])
    row = session.get(GlitchClass, class_id, populate_existing=True)
    return None if row is None or row.state == naming.WITHDRAWN else row


@dataclass(frozen=True)
class Act:
    """The request of an action and its functions."""

    request: type[requests.Action]
    do: Callable[[ReviewContext, Any], Memory]
    take_back: Callable[[ReviewContext, Mapping[str, Any]], None]
    refuse_undo: Callable[[Session, Cluster, Mapping[str, Any]], None] = lambda *_: None


ACTS: dict[str, Act] = {
    "promote": Act(requests.PromoteRequest, promote, undo_promotion, refuse_to_withdraw),
    "merge": Act(requests.MergeRequest, merge, flag_again),
    "dismiss": Act(requests.DismissRequest, dismiss, flag_again),
    "split": Act(requests.SplitRequest, split, undo_split, refuse_to_join),
    "assign": Act(requests.AssignRequest, assign, undo_accepted_labels, refuse_labels_merged),
    "accept": Act(requests.AcceptRequest, accept, undo_accepted_labels, refuse_labels_merged),
    # the history strikes out an undone comment
    "comment": Act(requests.CommentRequest, comment, lambda *_: None),
}


def refuse_redo(session: Session, cluster: Cluster, action: requests.Action) -> None:
    """Refuse to redo an action that the current catalogue does not allow.

    Raises:
        ConflictError: if another class has the name now, or the class is retired.
        InvalidRequestError: if the class or the members do not exist any more.
    """
    if isinstance(action, requests.PromoteRequest):
        naming.refuse_taken(session, action.class_name)
    if isinstance(action, requests.MergeRequest | requests.AssignRequest):
        naming.usable_class(session, action.class_name)
    if isinstance(action, requests.SplitRequest | requests.AssignRequest):
        members_named(session, cluster, action.member_ids)


def recall_action(session: Session, kind: str, payload: Mapping[str, Any]) -> requests.Action:
    """Return the action that an event recorded, with the current name of its class."""
    request = dict(payload["asked"])
    if kind in ("merge", "assign"):
        row = _class_of(session, payload)
        request["class_name"] = request["class_name"] if row is None else row.name
    return ACTS[kind].request.model_validate({"action": kind, "last_event_id": 0, **request})
