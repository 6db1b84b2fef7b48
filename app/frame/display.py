"""Display forms of service records: times, numbers, novelty, cards."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode
from uuid import UUID

from markupsafe import Markup, escape

from app.frame.contexts import Card, Download, Moment, Novelty, NoveltyLevel, Pages
from app.glitches.exports.service import DIRECT_ROWS
from app.glitches.records import GlitchRecord, Neighbour
from glitch.gps import gps_to_utc
from glitch.novelty import Judgement
from glitch.tables.exports.formats import FORMATS

NOVEL_P_VALUE = 0.01
UNUSUAL_P_VALUE = 0.05
CARD_WINDOW_S = 1.0
# What a p-value is called up to where, and how far known glitches with a lower one lie.
_LEVELS: tuple[tuple[float, tuple[NoveltyLevel, str, str]], ...] = (
    (NOVEL_P_VALUE, ("novel", "novel", "as far")),
    (UNUSUAL_P_VALUE, ("unusual", "unusual", "as far")),
    (float("inf"), ("ordinary", "familiar", "at least as far")),
)
_GPS_SHOWN = Decimal("0.0001")  # s
_NBSP = "\N{NO-BREAK SPACE}"

ORIGIN_TEXTS = {
    "upload": "uploaded",
    "simulated": "simulated",
    "gravityspy": "Gravity Spy",
    "omicron": "Omicron trigger",
}
NOVELTY_TEXTS = {
    "novel": f"novel (p ≤ {NOVEL_P_VALUE:g})",
    "unusual": f"unusual (p ≤ {UNUSUAL_P_VALUE:g})",
    "unjudged": "not judged",
}


def moment(gps_time: Decimal | None) -> Moment | None:
    """A GPS time in both clocks, to a tenth of a millisecond: no window resolves more.

    JSON and exports have it exactly.
    """
    if gps_time is None:
        return None
    utc = gps_to_utc(gps_time)
    millisecond = utc.microsecond // 1000
    text = f"{utc:%Y-%m-%d %H:%M:%S}.{millisecond:03d}"
    gps = format(gps_time.quantize(_GPS_SHOWN).normalize(), "f")
    return Moment(gps=gps, utc=text, iso=f"{utc:%Y-%m-%dT%H:%M:%S}.{millisecond:03d}Z")


def stamp(when: datetime) -> str:
    """When something was done here, to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def frequency(hz: float | None) -> str | None:
    """A frequency with its unit, to about three figures."""
    return None if hz is None else f"{hz:.0f} Hz" if hz >= 100 else f"{hz:.3g} Hz"


def snr(value: float | None) -> str | None:
    """A signal-to-noise ratio to one decimal."""
    return None if value is None else f"{value:.1f}"


def seconds(value: float | None) -> str | None:
    """A short duration with the unit that fits it."""
    if value is None:
        return None
    return f"{value * 1000:.3g} ms" if value < 0.1 else f"{value:.3g} s"


def breakable(name: str) -> Markup:
    """A name that a narrow line breaks after its underscores rather than within its words."""
    return escape(name).replace("_", Markup("_<wbr>"))


def coded(sentence: str) -> Markup:
    """A sentence as HTML, what stands between backticks in it as code.

    Without their pairs they stay as they are: they came with a name or a text of somebody's.
    """
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    return Markup().join(
        Markup("<code>{}</code>").format(part) if index % 2 else part
        for index, part in enumerate(parts)
    )


def p_value_text(p_value: float) -> str:
    """Two significant figures, without a power of ten where it can be helped."""
    return f"{p_value:.2g}" if p_value >= 0.0001 else f"{p_value:.0e}"


def novelty(judgement: Judgement | None) -> Novelty:
    """A novelty result in words. "Could not be judged" never means "not novel"."""
    if judgement is None:
        return Novelty(
            "unjudged",
            "not judged",
            "Could not be judged: the active model has not embedded this glitch.",
        )
    if not judgement.is_judged or judgement.p_value is None:
        reason = judgement.reason or "Could not be judged; no reason is recorded."
        return Novelty("unjudged", "not judged", reason)
    p_value = judgement.p_value
    figure = f"p{_NBSP}={_NBSP}{p_value_text(p_value)}"
    level, word, lie = next(words for limit, words in _LEVELS if p_value <= limit)
    percent = 100 * p_value
    share = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
    sentence = (
        f"{word.capitalize()}: {'at most' if level == 'novel' else 'about'} {share}{_NBSP}% of "
        f"known glitches of this detector lie {lie} from their nearest neighbours ({figure})."
    )
    return Novelty(level, f"{word}, {figure}", sentence)


def address(path: str, /, **values: str | None) -> str:
    """An address with these parameters; empty ones are left out."""
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{path}?{query}" if query else path


def numbered(page: int, n_items: int, n_shown: int, href: Callable[[int], str]) -> Pages:
    """Ways from one page of so many items to the others, by their numbers."""
    n_pages = max(-(-n_items // n_shown), 1)
    is_more = page < n_pages
    return Pages(
        first=href(1) if page > 1 else None,
        previous=href(min(page - 1, n_pages)) if page > 1 else None,
        next=href(page + 1) if is_more else None,
        last=href(n_pages) if is_more else None,
        place=f"Page {page:,} of {n_pages:,}" if 1 < page <= n_pages or is_more else "",
    )


def glitch_href(glitch_id: UUID) -> str:
    """Address of a glitch's page."""
    return f"/ui/glitches/{glitch_id}"


def view_href(glitch_id: UUID, duration_s: float, kind: str = "views") -> str:
    """Address of the bare picture of one view, or of its ``reconstruction`` or ``residual``."""
    return f"{glitch_href(glitch_id)}/{kind}/{duration_s:g}.png"


def card_picture_href(glitch_id: UUID, duration_s: float) -> str:
    """Address of the same picture in the size of a card."""
    return f"{glitch_href(glitch_id)}/cards/{duration_s:g}.png"


def nearest_window(present: Sequence[float], wanted_s: float) -> float | None:
    """The available window most similar to the requested one; the shorter of two equal ones."""
    return min(present, key=lambda length: (abs(length - wanted_s), length), default=None)


def card(
    glitch: GlitchRecord,
    *,
    wanted_s: float = CARD_WINDOW_S,
    judgement: Judgement | None = None,
    distance: float | None = None,
) -> Card:
    """One glitch for a gallery."""
    window_s = nearest_window(glitch.views, wanted_s)
    return Card(
        id=str(glitch.id),
        name=f"{glitch.label or 'unlabelled'} {glitch.public_id}",
        href=glitch_href(glitch.id),
        picture=None if window_s is None else card_picture_href(glitch.id, window_s),
        window="" if window_s in {None, wanted_s} else f"{window_s:g} s",
        label=glitch.label,
        ifo=glitch.ifo,
        moment=moment(glitch.gps_time),
        snr=snr(glitch.snr),
        peak_frequency=frequency(glitch.peak_frequency),
        is_simulated=glitch.is_simulated,
        novelty=None if judgement is None else novelty(judgement),
        distance=None if distance is None else f"{distance:.2f}",
    )


def export_links(
    catalogue_href: str, *, n_glitches: int = 0, may_start: bool = True
) -> tuple[Download, ...]:
    """A selection of the catalogue, by its address, as files.

    Of many glitches they are written by a job, but for CSV, which streams.
    """
    _, _, query = catalogue_href.partition("?")
    links = (
        Download(
            one.title,
            f"/ui/exports?format={one.name}" + (f"&{query}" if query else ""),
            is_job=n_glitches > DIRECT_ROWS and not one.is_streamed,
        )
        for one in FORMATS.values()
    )
    return tuple(link for link in links if may_start or not link.is_job)


def neighbour_card(neighbour: Neighbour) -> Card:
    """One neighbour for a gallery, with its distance."""
    return card(neighbour.glitch, distance=neighbour.distance)
