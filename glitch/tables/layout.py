"""Find the layout of a text table: comments, header, separator."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, takewhile

from glitch.files.text import encoding_of
from glitch.gps import utc_as_gps
from glitch.tables.columns import (
    is_header,
    is_known,
    is_time,
    may_be_times,
    plain_name,
    says_unit,
    with_unit,
)
from glitch.tables.markup import PlainLines, markup_of
from glitch.tables.zooniverse import are_of_subjects

HEAD_BYTES = 1 << 14
COMMENTS = "#%"
_MAX_HEADER_LINES = 200
# rows examined, and rows needed, to tell a series from triggers
_SAMPLES, _FEWEST_SAMPLES = 200, 20
_WORD = re.compile(r"\s*(%|[^\W\d][\w\s()\[\]/^*%.:+-]{0,20}|[\[(][\w /^*%.-]{0,20}[\])]|-+|1|)\s*")
_NUMBERED = re.compile(r"\A\d+\s*[-:.)]\s*")  # cWB numbers its columns
_WIDE_BLANKS = re.compile(r"\s{2,}")
_MAX_REPEATED = 100  # columns of one name that are distinguished
_SEPARATORS = (",", "\t", ";", "|")
_BOXES = dict.fromkeys(range(0x2500, 0x2580), "+")  # drawn by SQLite, DuckDB and rich
_BOXES |= dict.fromkeys(map(ord, "─━┄┅┈┉╌╍═"), "-") | dict.fromkeys(map(ord, "│┃┆┇┊┋╎╏║"), "|")
_ERROR_CELL = re.compile(r"#(?:#{2,}|N/A|(?:REF|VALUE|DIV/0|NUM|NULL)!|NAME\?)\s*[,;\t|]")
_COUNT = re.compile(
    r"\(?\d+ rows?( in set.*| selected\.?|)\)?|Length = \d+ rows?|\[\d+ rows x \d+ columns\]",
    re.IGNORECASE,
)
_ECSV_UNIT = re.compile(r"- \{name: ('[^']*'|\"[^\"]*\"|[^,}]*), unit: ([^,}]+)")
_ECSV_CLASS = "astropy.time.core.Time"  # a column of these states its format and time scale
_ECSV_NESTED = re.compile(r"#?\s*(\w+): (?:!\S+ \{name: )?([^}]*?)\}?\s*")
_ECSV_DELIMITER = re.compile(r"#\s*delimiter:\s*'?(.)'?")


@dataclass(frozen=True)
class Layout:
    """Where the rows of a table begin, and how its columns are named.

    Attributes:
        columns: names as written.
        separator: separator of the columns; a blank means any number of blanks.
        n_skipped: lines before the first row.
        markup: markup language, of a wiki or LaTeX; empty for none.
    """

    columns: tuple[str, ...]
    separator: str
    n_skipped: int
    markup: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether the content of a row can be recognised."""
        return is_header(self.columns) or are_of_subjects(self.columns)

    @property
    def is_table(self) -> bool:
        """Whether this is a table, so that reading it can report what it lacks."""
        return self.is_readable or self.n_known > 1

    @property
    def is_telling(self) -> bool:
        """Whether this is a header even if the line above is not one; prose has blanks too."""
        is_prose = self.separator == " " and not all(is_known(name) for name in self.columns)
        return self.is_readable and len(self.columns) > 1 and not is_prose

    @property
    def n_known(self) -> int:
        """Number of columns that are used here."""
        return sum(map(is_known, self.columns))

    @property
    def last_known(self) -> int:
        """Index of the last column that is used here."""
        return max((at for at, name in enumerate(self.columns) if is_known(name)), default=0)

    def with_units(self, units: Mapping[str, str]) -> Layout:
        """Return the layout with these units added to the names of its columns."""
        names = (with_unit(name, units.get(name.strip(), "")) for name in self.columns)
        return replace(self, columns=tuple(names)) if units else self

    def with_row_of_units(self, row: list[str]) -> Layout | None:
        """Return the layout with the units or types in the row below the header.

        None if the row does not hold units or types.
        """
        pairs = list(zip(self.columns, row, strict=False))
        if not any(says_unit(*pair) for pair in pairs) or not all(map(_WORD.fullmatch, row)):
            return None
        named = (with_unit(name, cell.strip(" []()")) for name, cell in pairs)
        return replace(self, columns=(*named, *self.columns[len(pairs) :]))


def find_layout(head: bytes) -> Layout | None:
    """Find the layout of a table from its beginning; None if it is not a table.

    Leading lines with ``#`` or ``%`` are comments (ECSV's among them). The header is the first line
    after them that names known columns, so a title above it does no harm. It may also be the last
    of the comments, or one comment per column, if rows follow directly, as numpy, Omicron and cWB
    write. Lines of one GPS time each need no header, as in lists of times for
    gwdetchar-omega-batch.
    """
    text = unboxed(head.decode(encoding_of(head), "replace"))
    if "\0" in text:
        return None
    if markup := markup_of(text):
        plain = PlainLines(io.StringIO(text), markup)
        return _layout("".join(iter(plain.readline, "")), markup)
    return _layout(text, "")


def _layout(text: str, markup: str) -> Layout | None:
    comments: list[str] = []
    first: Layout | None = None
    lines = list(io.StringIO(text, newline=""))
    number = 0
    while number < min(len(lines), _MAX_HEADER_LINES):
        line = lines[number]
        number += 1
        # a quoted name continues on the next line
        while line.count('"') % 2 and number < len(lines):
            line += lines[number]
            number += 1
        stripped = line.strip()
        if not stripped or is_comment(stripped):
            comments.append(stripped)
            continue
        if is_rule(stripped):
            continue
        layout = _header(stripped, number, _declared(comments)).with_units(ecsv_units(comments))
        is_heading = layout.is_telling or (
            number < len(lines) and _is_over(layout, lines[number].strip())
        )
        if layout.is_table and (first is None or is_heading):
            below = (
                _header(lines[number].strip(), number + 1, layout.separator)
                if (number < len(lines) and lines[number].strip())
                else layout
            )
            # pandas' two-level column names
            if below.is_readable and below.n_known >= layout.n_known:
                layout, number = below, number + 1
            return _with_rows(replace(layout, markup=markup), stripped, lines[number:])
        if first is None and (commented := _commented(comments, stripped, number)) is not None:
            return commented
        if first is None and may_be_times(stripped):  # only a list of times
            return Layout(("gps_time",), ",", number - 1)
        first = first or layout
    return first if first is not None and len(first.columns) > 1 else None


def n_nameless(head: bytes) -> int:
    """Return the number of columns of a table of triggers without a header; 0 for anything else.

    Two columns of numbers are excluded: they may be strain.
    """
    layout = find_layout(head)
    text = head.decode(encoding_of(head), "replace")
    if "\0" in text or (layout is not None and layout.is_table):
        return 0
    rows = (line.strip() for line in text.splitlines() if line.strip() and not is_comment(line))
    first = next(rows, "")
    cells = next((one for sep in (*_SEPARATORS, " ") if len(one := _split(first, sep)) > 1), [])
    times = [may_be_times(cell) for cell in cells]
    are_of_strain = len(cells) == 2 and not re.search("[A-Za-z]{2}|[A-Z]\\d", first)
    return len(cells) if any(times[:4]) and not are_of_strain else 0


def are_pairs_of_times(head: bytes) -> bool:
    """Return whether every line holds two GPS times and nothing else, as starts and ends do."""
    text = head.decode(encoding_of(head), "replace")
    rows = [re.split(r"[\s,;]+", row.strip()) for row in text.splitlines() if not is_comment(row)]
    rows = [row for row in rows if row != [""]]
    return bool(rows) and all(len(row) == 2 and all(map(may_be_times, row)) for row in rows)


def _is_over(layout: Layout, row: str) -> bool:
    """Return whether the line below fits these columns, with a GPS time in a time column."""
    cells = _split(row, layout.separator)
    pairs = zip(layout.columns, cells, strict=False)
    times = [may_be_times(cell) for name, cell in pairs if is_time(name)]
    return len(cells) == len(layout.columns) and any(times)


def _commented(comments: list[str], row: str, number: int) -> Layout | None:
    """Return the layout given by comments above the first row, if nothing else precedes it."""
    lines = [one.lstrip(COMMENTS).strip() for one in comments if one]
    if not lines or len(comments) != number - 1:
        return None
    header = _header(lines[-1], number - 1, None)
    if len(lines) > 1 and not header.is_readable:
        above = _header(lines[-2], number - 1, None)
        header = above.with_row_of_units(_split(lines[-1], above.separator)) or header
    fitted = _with_separator_of(header, row) if header.is_readable else None
    if fitted is not None and len(_split(row, fitted.separator)) == len(fitted.columns):
        return fitted
    for separator in (*_SEPARATORS, " "):
        listed = [_NUMBERED.sub("", one) for one in lines[-len(_split(row, separator)) :]]
        layout = Layout(tuple(listed), separator, number - 1)
        if len(listed) > 1 and len(_split(row, separator)) == len(listed) and layout.is_readable:
            return layout
    # A comment of GWOSC's strain, "starting GPS 1126259446 duration 32", does not name columns.
    is_shorter = fitted is None or len(_split(row, fitted.separator)) <= fitted.last_known
    return None if is_shorter else fitted


def _with_rows(layout: Layout, header: str, rows: list[str]) -> Layout:
    """Correct the layout by the first row, if blanks or tabs separate the columns.

    One value more than names means a first column without a name, as pandas and R write row names;
    a trailing comma is ignored. A single value below several words is one column with all of them
    as its name.
    """
    heading = list(takewhile(lambda row: row.lstrip().startswith("|"), rows))
    below = rows[len(heading) : len(heading) + 1]
    is_ruled = any(map(is_rule, [*heading, *below]))
    is_ipac = not (is_ruled or layout.markup)
    if header.startswith("|") and below and "|" not in below[0] and is_ipac:
        # IPAC: types, units and null values follow the names, and blanks separate the cells of
        # rows.
        units = _split(heading[1].strip(), "|") if len(heading) > 1 else [""] * len(layout.columns)
        columns = tuple(map(with_unit, layout.columns, units))[1:-1]
        return Layout(columns, " ", layout.n_skipped + len(heading))
    texts = enumerate(row.strip("\r\n") for row in rows)
    at, first = next(((at, row) for at, row in texts if row.strip() and not is_rule(row)), (0, ""))
    values = _split(first.strip(" ").lstrip(COMMENTS), layout.separator)
    if (of_units := layout.with_row_of_units(values)) is not None:
        return replace(of_units, n_skipped=layout.n_skipped + at + 1)
    n_values = len(values)
    apart = _WIDE_BLANKS.split(header) if layout.separator == " " else []
    if 0 < len(apart) == n_values < len(layout.columns):  # blanks within names: "GPS time   SNR"
        return replace(layout, columns=tuple(apart))
    if layout.separator in " \t" and n_values == len(layout.columns) + 1:
        layout = replace(layout, columns=("", *layout.columns))
    if not (layout.columns[0] or layout.is_readable) and values and may_be_times(values[0]):
        return replace(layout, columns=("gps_time", *layout.columns[1:]))
    if layout.separator == " " and n_values == 1 and is_time(header):
        names = layout.columns if len(layout.columns) == 1 else (header,)
        return replace(layout, columns=names, separator=",")
    return layout


def unboxed(text: str) -> str:
    """Replace box-drawing characters around cells by ASCII: "┌──┬──┐" becomes "+--+--+"."""
    return text if text.isascii() else text.translate(_BOXES)


def is_comment(line: str) -> bool:
    """Return whether a line is a comment, and not a row such as "#REF!,H1" of a spreadsheet."""
    text = line.lstrip()
    return text[:1] in tuple(COMMENTS) and _ERROR_CELL.match(text) is None


def is_no_row(line: str) -> bool:
    """Return whether a line among rows is a rule, or a row count that a database printed."""
    return is_rule(line) or _COUNT.fullmatch(line.strip()) is not None


def is_heading(row: Sequence[str]) -> bool:
    """Return whether a row names columns, like the header of another table."""
    return not any(cell.strip()[:1].isdigit() for cell in row) and len(row) > 1 and is_header(row)


def are_named_alike(row: Sequence[str], columns: Sequence[str]) -> bool:
    """Return whether a row repeats the header of its table."""
    return [plain_name(cell) for cell in row if cell] == [plain_name(one) for one in columns if one]


def is_rule(line: str) -> bool:
    """Return whether a line only separates header and rows: "---- + ----"."""
    text = line.strip()
    return len(text) > 1 and not text.strip("-=+|: \t") and ("--" in text or "==" in text)


def _declared(comments: list[str]) -> str | None:
    """Return ECSV's separator, by default a blank; None if it is not ECSV."""
    if not any(line.startswith("# %ECSV") for line in comments):
        return None
    matches = (_ECSV_DELIMITER.match(line) for line in comments)
    return next((match[1] for match in matches if match), " ")


def is_series(head: bytes, layout: Layout) -> bool:
    """Return whether rows are samples of a series rather than triggers.

    Their times increase by less than 0.01 s per row, and the other columns are numbers that no
    table of triggers names.
    """
    times = [at for at, name in enumerate(layout.columns) if is_time(name)]
    if len(times) != 1 or sum(map(is_known, layout.columns)) != 1 or len(layout.columns) < 2:
        return False
    lines = io.StringIO(utc_as_gps(head.decode(encoding_of(head), "replace")), newline="")
    rows = list(islice(lines, layout.n_skipped, layout.n_skipped + _SAMPLES + 1))[:-1]
    try:
        cells = [[float(cell) for cell in _split(row, layout.separator)] for row in rows]
        times_read = [row[times[0]] for row in cells]
    except (ValueError, IndexError):
        return False
    return are_of_series(times_read)


def are_of_series(times: list[float]) -> bool:
    """Return whether the first times of a table are those of samples: mean step below 0.01 s."""
    goes_up = all(one <= other for one, other in pairwise(times))
    return len(times) >= _FEWEST_SAMPLES and goes_up and times[-1] - times[0] < 0.01 * len(times)


def ecsv_units(lines: list[str]) -> dict[str, str]:
    """Return the units of columns, or the clocks of times, from astropy's header lines."""
    matches = (_ECSV_UNIT.search(line) for line in lines)
    units = {match[1].strip("'\""): match[2].strip("'\" ") for match in matches if match}
    clock: dict[str, str] = {}
    for nested in filter(None, map(_ECSV_NESTED.fullmatch, lines)):
        key, value = nested[1], nested[2].strip("'\"")
        clock = {} if key == "__class__" else clock
        clock[key] = value
        if key == "value" and clock.get("__class__") == _ECSV_CLASS:
            units[value] = _clock_of(clock.get("format", ""), clock.get("scale", ""))
    return units


def _clock_of(format_name: str, scale: str) -> str:
    """Return the unit of the values of an astropy ``Time``: its clock, unless it is GPS or UTC."""
    if format_name == "gps":
        return "s"
    is_date = format_name in ("iso", "isot", "fits", "yday", "datetime", "datetime64", "ymdhms")
    return (scale if scale != "utc" else "") if is_date else format_name


def _header(line: str, n_skipped: int, separator: str | None) -> Layout:
    layouts = [
        Layout(_distinct(_split(line, one)), one, n_skipped)
        for one in ([separator] if separator else [*_SEPARATORS, " "])
    ]
    # "GPS time, snr" has blanks within names: commas take precedence.
    return next((one for one in layouts if len(one.columns) > 1), layouts[0])


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Return the names as written, with leading blanks that distinguish repeated ones."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        name_key = plain_name(name)
        distinct.append(" " * min(seen[name_key], _MAX_REPEATED) + name)
        seen[name_key] += 1
    return tuple(distinct)


def _with_separator_of(layout: Layout, row: str) -> Layout:
    """Return the layout with a row's separator, if it differs: "# time, snr" above "1.5 9.5"."""
    for separator in (layout.separator, *_SEPARATORS, " "):
        if len(_split(row, separator)) == len(layout.columns):
            return Layout(layout.columns, separator, layout.n_skipped)
    return layout


def _split(line: str, separator: str) -> list[str]:
    lines = io.StringIO(line, newline="")  # a quoted name may contain several lines
    fields = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    return [field.strip() for field in next(fields, [])]
