"""The informative latents of a glitch on its page, one strip each."""

from urllib.parse import urlencode

from app.core.wording import count
from app.frame.display import glitch_href
from app.frame.figures import Strip, StripSection, strip_ruler
from app.models.traversals import TraversalRanges
from glitch.traversals import STEPS, UnitRange

_MINUS = "\N{MINUS SIGN}"
_MAX_DEAD_NAMED = 12


def strip_section(found: TraversalRanges, window_s: float) -> StripSection:
    """The strips, painted for one window."""
    return StripSection(
        strips=tuple(_strip(found, one, window_s) for one in found.ranges),
        window=f"{window_s:g} s",
        note=_note(found),
        reason=found.reason,
    )


def _strip(result: TraversalRanges, one: UnitRange, window_s: float) -> Strip:
    query = {
        "low": f"{one.low:.4g}",
        "high": f"{one.high:.4g}",
        "duration": f"{window_s:g}",
        "checkpoint": str(result.checkpoint_id),
    }
    name = f"z{one.unit}"
    return Strip(
        name=name,
        sentence=_sentence(one),
        picture=f"{glitch_href(result.glitch_id)}/traversals/{one.unit}.png?{urlencode(query)}",
        description=(
            f"{STEPS} painted spectrograms of {window_s:g} s while {name} goes from "
            f"{_number(one.low)} to {_number(one.high)}"
        ),
        ruler=strip_ruler(
            one.low, one.high, value=one.value, others=one.others, group=one.group, n_views=STEPS
        ),
    )


def _sentence(unit: UnitRange) -> str:
    low, high = map(_number, unit.others)
    if unit.difference is not None:
        side = "higher" if unit.difference > 0 else "lower"
        return (
            f"{side} here than in other glitches, by {abs(unit.difference):.1f} standard deviations"
        )
    return (
        f"{_number(unit.value)}; nine in ten other glitches lie from {low} to {high}. "
        f"It carries {unit.nats or 0:.1f} nats about this one."
    )


def _note(result: TraversalRanges) -> str:
    compared = count(result.n_others, "other glitch", "other glitches")
    text = f"Compared with {compared}. Active latents of the model: {result.n_active}"
    if not result.dead:
        return f"{text}; none is inactive."
    dead = ", ".join(f"z{unit}" for unit in result.dead[:_MAX_DEAD_NAMED])
    more = " and others" if len(result.dead) > _MAX_DEAD_NAMED else ""
    verb = "is" if len(result.dead) == 1 else "are"
    return f"{text}; {dead}{more} {verb} inactive: the same for all glitches, and not shown."


def _number(value: float) -> str:
    return f"{value:.1f}".replace("-", _MINUS)
