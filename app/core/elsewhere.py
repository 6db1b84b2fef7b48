"""Links to external pages about a detector and a time, configured by the operator."""

from datetime import datetime
from decimal import Decimal
from string import Formatter

from glitch.gps import gps_to_utc

PLACES = ("ifo", "gps", "gps_s", "date", "day", "year", "month", "utc")
EVERY = "*"  # for all detectors; a detector's own pages come in addition

Templates = dict[str, dict[str, str]]  # detector or EVERY -> page name -> address


def check_templates(templates: Templates) -> Templates:
    """Return the templates unchanged if every address is valid and all its placeholders are known.

    Raises:
        ValueError: if an address or placeholder is invalid; the message names it.
    """
    for ifo, pages in templates.items():
        for name, address in pages.items():
            if not address.startswith(("https://", "http://")):
                raise ValueError(f"{name} of {ifo}: {address[:80]!r} does not begin with https://.")
            try:
                parts = list(Formatter().parse(address))
            except ValueError as error:
                raise ValueError(f"{name} of {ifo}: {error}.") from error
            if any(form or conversion for _, _, form, conversion in parts):
                raise ValueError(
                    f"{name} of {ifo} formats a placeholder: values are inserted as text, so write "
                    "only its name, such as {gps_s}."
                )
            unknown = {place for _, place, _, _ in parts} - {None, *PLACES}
            if unknown:
                raise ValueError(
                    f"{name} of {ifo} has an unknown placeholder "
                    f"{{{sorted(map(str, unknown))[0]}}}; the known ones are "
                    f"{', '.join(f'{{{one}}}' for one in PLACES)}."
                )
    return templates


def pages_elsewhere(
    templates: Templates, ifo: str | None, gps_time: Decimal | None
) -> tuple[tuple[str, str], ...]:
    """Return names and addresses of the pages about this time in this detector.

    Empty if the detector or the time is unknown.
    """
    if gps_time is None or ifo is None:
        return ()
    utc: datetime = gps_to_utc(gps_time)
    values = {
        "ifo": ifo,
        "gps": format(gps_time.normalize(), "f"),
        "gps_s": str(int(gps_time)),
        "date": f"{utc:%Y-%m-%d}",
        "day": f"{utc:%Y%m%d}",
        "year": f"{utc:%Y}",
        "month": f"{utc:%m}",
        "utc": f"{utc:%Y-%m-%dT%H:%M:%S}",
    }
    pages = {**templates.get(EVERY, {}), **templates.get(ifo, {})}
    return tuple((name, address.format_map(values)) for name, address in pages.items())
