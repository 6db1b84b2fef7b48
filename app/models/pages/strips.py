"""Traversals as the pages show them: one strip for each latent that says something."""

from urllib.parse import urlencode

from app.frame.figures import Strip, StripSection, strip_ruler
from app.frame.words import count, glitch_href
from app.models.traversals import STEPS, Traversals, UnitStory

_MINUS = "\N{MINUS SIGN}"
_DEAD_NAMED = 12


def strip_section(found: Traversals, window_s: float) -> StripSection:
    """The strips, painted for one window."""
    return StripSection(
        strips=tuple(_strip(found, story, window_s) for story in found.stories),
        window=f"{window_s:g} s",
        note=_note(found),
        reason=found.reason,
    )


def _strip(found: Traversals, story: UnitStory, window_s: float) -> Strip:
    query = {
        "low": f"{story.low:.4g}",
        "high": f"{story.high:.4g}",
        "duration": f"{window_s:g}",
        "checkpoint": str(found.checkpoint_id),
    }
    name = f"z{story.unit}"
    return Strip(
        name=name,
        sentence=_sentence(story),
        picture=f"{glitch_href(found.glitch_id)}/traversals/{story.unit}.png?{urlencode(query)}",
        description=(
            f"{STEPS} painted spectrograms of {window_s:g} s while {name} goes from "
            f"{_number(story.low)} to {_number(story.high)}"
        ),
        ruler=strip_ruler(
            story.low,
            story.high,
            value=story.value,
            others=story.others,
            group=story.group,
            n_views=STEPS,
        ),
    )


def _sentence(story: UnitStory) -> str:
    low, high = map(_number, story.others)
    if story.difference is not None:
        side = "higher" if story.difference > 0 else "lower"
        return (
            f"{side} here than in other glitches, by {abs(story.difference):.1f} standard "
            f"deviations"
        )
    return (
        f"{_number(story.value)}; nine in ten other glitches lie from {low} to {high}. "
        f"Says {story.nats or 0:.1f} nats about this one."
    )


def _note(found: Traversals) -> str:
    compared = count(found.n_others, "other glitch", "other glitches")
    text = f"Compared with {compared}. {count(found.n_active, 'latent')} of the model "
    text += "says something" if found.n_active == 1 else "say something"
    if not found.dead:
        return f"{text}; none is dead."
    named = ", ".join(f"z{unit}" for unit in found.dead[:_DEAD_NAMED])
    more = " and others" if len(found.dead) > _DEAD_NAMED else ""
    verb = "is" if len(found.dead) == 1 else "are"
    return f"{text}; {named}{more} {verb} dead: the same for all glitches, and never shown."


def _number(value: float) -> str:
    return f"{value:.1f}".replace("-", _MINUS)
