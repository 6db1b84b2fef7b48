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
from glitch.taxonomy import SimulatedClass

NOVEL_P_VALUE = 0.01
UNUSUAL_P_VALUE = 0.05
CARD_WINDOW_S = 1.0
# Upper limit of the p-value; level, word, and the phrase that compares distances.
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
    """Convert a GPS time to both clocks, to a tenth of a millisecond.

    No window resolves shorter times. JSON and exports have the exact value.
    """
    if gps_time is None:
        return None
    utc = gps_to_utc(gps_time)
    millisecond = utc.microsecond // 1000
    text = f"{utc:%Y-%m-%d %H:%M:%S}.{millisecond:03d}"
    gps = format(gps_time.quantize(_GPS_SHOWN).normalize(), "f")
    return Moment(gps=gps, utc=text, iso=f"{utc:%Y-%m-%dT%H:%M:%S}.{millisecond:03d}Z")


def stamp(when: datetime) -> str:
    """Format a time of the service's own actions, to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def frequency(hz: float | None) -> str | None:
    """Format a frequency with its unit, to about three significant digits."""
    return None if hz is None else f"{hz:.0f} Hz" if hz >= 100 else f"{hz:.3g} Hz"


def snr(value: float | None) -> str | None:
    """Format a signal-to-noise ratio to one decimal place."""
    return None if value is None else f"{value:.1f}"


def seconds(value: float | None) -> str | None:
    """Format a short duration in ms or s."""
    if value is None:
        return None
    return f"{value * 1000:.3g} ms" if value < 0.1 else f"{value:.3g} s"


def breakable(name: str) -> Markup:
    """Allow line breaks after underscores, so that long names do not break within words."""
    return escape(name).replace("_", Markup("_<wbr>"))


_LONG = 40  # characters of a word that may not fit a line of a phone


def coded(sentence: str) -> Markup:
    """Convert a sentence to HTML, with text between backticks as code.

    Unpaired backticks are kept, because they come from a name or a text of a user.
    """
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    return Markup().join(_code(part) if index % 2 else part for index, part in enumerate(parts))


def _code(text: str) -> Markup:
    """Keep each word on one line: browsers would break ``--ifo`` after its hyphens."""
    words = (
        Markup("<span>{}</span>").format(word) if "-" in word and len(word) < _LONG else word
        for word in text.split(" ")
    )
    return Markup("<code>{}</code>").format(Markup(" ").join(words))


def p_value_text(p_value: float) -> str:
    """Format a p-value to two significant digits, or with an exponent below 0.0001."""
    return f"{p_value:.2g}" if p_value >= 0.0001 else f"{p_value:.0e}"


def novelty(judgement: Judgement | None) -> Novelty:
    """Describe a novelty result in words. "Could not be judged" never means "not novel"."""
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
        f"known glitches of this detector are {lie} from their nearest neighbours ({figure})."
    )
    return Novelty(level, f"{word}, {figure}", sentence)


def address(path: str, /, **values: str | None) -> str:
    """Return an address with these query parameters; empty ones are left out."""
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{path}?{query}" if query else path


def numbered(page: int, n_items: int, n_shown: int, href: Callable[[str | None], str]) -> Pages:
    """Links from one numbered page to the others; the address of the first has no number."""
    n_pages = max(-(-n_items // n_shown), 1)
    is_more, is_later = page < n_pages, page > 1
    before = min(page - 1, n_pages)
    place = f"Page {page:,} of {n_pages:,}" if is_more or is_later else ""
    return Pages(
        first=href(None) if is_later else None,
        previous=href(str(before) if before > 1 else None) if is_later else None,
        next=href(str(page + 1)) if is_more else None,
        last=href(str(n_pages)) if is_more else None,
        place=f"The list ends with page {n_pages:,}" if page > n_pages else place,
    )


def glitch_href(glitch_id: UUID) -> str:
    """Return the address of a glitch's page."""
    return f"/ui/glitches/{glitch_id}"


def view_href(glitch_id: UUID, duration_s: float, kind: str = "views") -> str:
    """Return the address of the image of a view, or of its ``reconstruction`` or ``residual``."""
    return f"{glitch_href(glitch_id)}/{kind}/{duration_s:g}.png"


def card_picture_href(glitch_id: UUID, duration_s: float) -> str:
    """Return the address of the same image in the size of a card."""
    return f"{glitch_href(glitch_id)}/cards/{duration_s:g}.png"


def nearest_window(present: Sequence[float], wanted_s: float) -> float | None:
    """Return the available window closest to the requested one; of two, the shorter."""
    return min(present, key=lambda length: (abs(length - wanted_s), length), default=None)


def card(
    glitch: GlitchRecord,
    *,
    wanted_s: float = CARD_WINDOW_S,
    judgement: Judgement | None = None,
    distance: float | None = None,
    simulated: SimulatedClass | None = None,
) -> Card:
    """Make the card of a glitch for a gallery."""
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
        simulated_class=None
        if simulated is None
        else f"{simulated.label}, {100 * simulated.probability:.0f}{_NBSP}%",
    )


def export_links(
    catalogue_href: str, *, n_glitches: int = 0, may_start: bool = True
) -> tuple[Download, ...]:
    """Return links to download a selection, given by its address in the catalogue.

    For many glitches a job writes the file, except for CSV, which is streamed.
    """
    _, _, query = catalogue_href.partition("?")
    links = (
        Download(
            file_format.title,
            f"/ui/exports?format={file_format.name}" + (f"&{query}" if query else ""),
            is_job=n_glitches > DIRECT_ROWS and not file_format.is_streamed,
        )
        for file_format in FORMATS.values()
    )
    return tuple(link for link in links if may_start or not link.is_job)


def neighbour_card(neighbour: Neighbour) -> Card:
    """Make the card of a neighbour for a gallery, with its distance."""
    return card(neighbour.glitch, distance=neighbour.distance)
