"""What the model says of a cluster: what sets it apart, and what it makes of the medoid."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.services.checkpoints import active_checkpoint, get_checkpoint
from app.services.clusters.records import ClusterRecord
from app.services.clusters.service import get_run
from app.services.errors import NotFoundError, NotReadyError
from app.services.selection import get_glitch
from app.services.traversals import cluster_traversals
from app.web.cluster_contexts import Comparison
from app.web.figures import StripSection
from app.web.traversal_strips import strip_section
from app.web.words import CARD_WINDOW_S, glitch_href, nearest_window

_CAPTIONS = {
    "views": ("as seen", "Spectrogram of the medoid"),
    "reconstruction": ("as the model paints it", "Reconstruction of the medoid"),
    "residual": ("what is left", "Residual of the medoid"),
}


def strips_of(session: Session, cluster: ClusterRecord) -> StripSection:
    """The latents that set the cluster apart, or why that cannot be told."""
    try:
        window_s = _window_of_medoid(session, cluster)
        return strip_section(cluster_traversals(session, cluster.id), window_s)
    except NotFoundError as error:
        return StripSection((), "", "", str(error))


def comparison_of(session: Session, cluster: ClusterRecord) -> Comparison | None:
    """The medoid before and after the model, in one window; None where it is gone."""
    if cluster.medoid_id is None:
        return None
    window_s = _window_of_medoid(session, cluster)
    own = glitch_href(cluster.medoid_id)
    checkpoint = get_run(session, cluster.run_id).checkpoint_id
    return Comparison(
        pictures=tuple(
            (
                f"{own}/{kind}/{window_s:g}.png"
                + ("" if kind == "views" else f"?checkpoint={checkpoint}"),
                caption,
                f"{name}, {window_s:g} s",
            )
            for kind, (caption, name) in _CAPTIONS.items()
        ),
        window=f"{window_s:g} s",
        href=f"{own}?show=residual#sights",
    )


def model_note(session: Session, cluster: ClusterRecord) -> str | None:
    """That another model serves now than the one that found the cluster, and what follows."""
    run = get_run(session, cluster.run_id)
    try:
        active = active_checkpoint(session)
    except NotReadyError:
        return "No model is active now: this is what the last clustering found."
    if run.checkpoint_id == active.id:
        return None
    found_by = get_checkpoint(session, run.checkpoint_id).name
    return (
        f"The model {found_by} found this cluster; {active.name} serves now. What was decided "
        "stays, and you may go on deciding. Start a clustering to see what the new model finds."
    )


def _window_of_medoid(session: Session, cluster: ClusterRecord) -> float:
    if cluster.medoid_id is None:
        raise NotFoundError("The medoid of this cluster was deleted, so nothing can be painted.")
    views = get_glitch(session, cluster.medoid_id).views
    return nearest_window(views, CARD_WINDOW_S) or CARD_WINDOW_S
