"""Convert tables in the markup of wikis, issue trackers and LaTeX to lines of cells with "|"."""

from __future__ import annotations

import io
import re

MEDIAWIKI, TRACKER, LATEX = "mediawiki", "tracker", "latex"
_LATEX_TABLES = ("\\begin{tabular", "\\begin{longtable", "\\begin{deluxetable")
_ATTRIBUTES = re.compile(r'[^|\[\]]*=\s*"[^|"]*"\s*\|')  # style="…" | before a cell
_LINK = re.compile(r"\[\[([^\[\]]{0,400})\]\]")  # [[page]] or [[page|text]]
_MAX_DEPTH = 4  # levels of nested commands
_ROW_ENDS = re.compile(r"\\\\(\[[^\]]*\])?|\\tabularnewline")
_COMMAND = re.compile(r"\\[A-Za-z]+\*?\{([^{}]*)\}")  # \textbf{…}, \colhead{…}
_RULES = re.compile(r"\\(hline|toprule|midrule|bottomrule|cline|startdata|enddata|end)(\{[^}]*\})?")


def markup_of(head: str) -> str:
    """Return the markup language in which a text has a table; empty if none."""
    for line in map(str.strip, head.splitlines()):
        if line.startswith("{|"):
            return MEDIAWIKI
        if line.startswith("||") and line.endswith("||"):
            return TRACKER  # Jira, Trac, MoinMoin
        if line.startswith(_LATEX_TABLES) or ("&" in line and line.endswith("\\\\")):
            return LATEX
    return ""


class PlainLines:
    """The lines of a text, as many as it has: each row on its last line, the others empty."""

    def __init__(self, lines: io.TextIOBase, markup: str) -> None:
        self._lines = lines
        self._markup = markup
        self._cells: list[str] = []  # cells of the current row
        self._length = 0  # length of its lines

    def readline(self, size: int = 100_000) -> str:
        """Return the next line, or its beginning; empty at the end."""
        line = self._lines.readline(size)
        if not self._markup:
            return line
        if not line:
            return self._row()[:size]
        if self._markup == TRACKER:
            return _tracker_row(line)
        row = self._wiki_row(line.strip()) if self._markup == MEDIAWIKI else self._latex(line)
        self._length += len(line)
        if self._length > size:  # its reader then reports a row that is too long
            row = self._row()
        return (row or "\n")[:size]

    def _row(self) -> str:
        cells, self._cells, self._length = self._cells, [], 0
        return "|" + "|".join(cells) + "|\n" if cells else ""

    def _wiki_row(self, line: str) -> str:
        if line.startswith(("{|", "|+", "|-", "|}")):
            return self._row()
        if line.startswith(("!", "|")):
            cells = re.split(r"\|\||!!" if line[0] == "!" else r"\|\|", line[1:])
            self._cells += map(_plain, cells)
        elif self._cells:
            self._cells[-1] += f" {_plain(line)}"
        return ""

    def _latex(self, line: str) -> str:
        text = re.sub(r"(?<!\\)%.*", "", line).strip()
        if self._cells and _RULES.match(text):  # the last row needs no row end
            return self._latex_row(self._cells[0])
        text = _RULES.sub("", text)
        ends = _ROW_ENDS.search(text)
        if not self._cells and "&" not in text:
            return ""
        self._cells = [" ".join([*self._cells, text[: ends.start()] if ends else text])]
        return "" if ends is None else self._latex_row(self._cells[0])

    def _latex_row(self, row: str) -> str:
        for _ in range(_MAX_DEPTH):
            row = _COMMAND.sub(r"\1", row)
        row = row.replace(r"\&", "and").replace(r"\,", "").replace("~", " ").replace("$", "")
        self._cells = [cell.strip(" {}") for cell in re.sub(r"\\([_%#])", r"\1", row).split("&")]
        return self._row()


def _tracker_row(line: str) -> str:
    if not line.lstrip().startswith("||"):
        return line if line.lstrip().startswith("|") else "\n"
    cells = line.strip().removesuffix("||").removeprefix("||").split("||")
    return "|" + "|".join(_plain(cell.strip().strip("=")) for cell in cells) + "|\n"


def _plain(cell: str) -> str:
    attributes = _ATTRIBUTES.match(cell)
    text = cell[attributes.end() if attributes else 0 :]
    text = _LINK.sub(lambda link: link[1].rpartition("|")[2], text)
    return text.replace("'''", "").strip(" *")
