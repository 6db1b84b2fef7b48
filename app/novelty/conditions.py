"""SQL conditions for references and calibrating glitches."""

from sqlalchemy import ColumnElement, Double, cast, func, literal, select
from sqlalchemy.orm import aliased

from app.classes.tables import GlitchClass
from app.glitches.tables import Embedding, Glitch
from glitch.novelty import MIN_OF_CLASS
from glitch.taxonomy import CATCH_ALLS

Population = tuple[str, bool]  # detector, is simulated; only compared within a population


def in_population(checkpoint_id: int, population: Population) -> list[ColumnElement[bool]]:
    """Return conditions for the embeddings of a population under a checkpoint."""
    ifo, is_simulated = population
    return [
        Embedding.checkpoint_id == checkpoint_id,
        Embedding.ifo == ifo,
        Embedding.is_simulated.is_(is_simulated),
    ]


def angle(cosine_distance: ColumnElement[float]) -> ColumnElement[float]:
    """Return the distance; 1 from a vector of zeros, for which pgvector returns NaN."""
    not_a_number = cast(literal("NaN"), Double)
    return func.coalesce(func.nullif(cosine_distance, not_a_number), 1.0)


def is_of_a_class() -> ColumnElement[bool]:
    """Whether the enclosing statement's glitch has the label of a class that explains it."""
    return (
        select(GlitchClass.id)
        .where(GlitchClass.id == Glitch.class_id, GlitchClass.name.not_in(CATCH_ALLS))
        .correlate(Glitch)
        .exists()
    )


def is_established() -> ColumnElement[bool]:
    """Whether the enclosing statement's glitch is of a class with enough members to calibrate.

    Reads only the last member needed: a short index scan, however large the class is.
    """
    peer = aliased(Glitch)
    return (
        select(peer.id)
        .where(
            peer.class_id == Glitch.class_id,
            peer.ifo == Glitch.ifo,
            peer.is_simulated == Glitch.is_simulated,
        )
        .offset(MIN_OF_CLASS - 1)
        .limit(1)
        .correlate(Glitch)
        .exists()
    )
