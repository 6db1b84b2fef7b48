"""Tables copied from wikis, issue trackers and papers, and values as programs print them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.batches.table_files import read_table
from glitch.errors import FormatError
from glitch.tables import Facts, is_text_table, read_text_table

ROWS = [
    Facts(gps_time="1126259462.4", ifo="H1", peak_frequency=120.0),
    Facts(gps_time="1126259470.1", ifo="L1", peak_frequency=95.0),
]
TABLES = {
    "MediaWiki": '{| class="wikitable"\n|+ Loud ones\n|-\n! GPS time !! IFO !! freq [Hz]\n'
    "|-\n| 1126259462.4 || [[H1]] || '''120'''\n|-\n| 1126259470.1 || L1 || 95\n|}\nSeen by us.\n",
    "MediaWiki, a cell a line": '{|\n! scope="col" | GPS time\n! [[Detector|IFO]]\n! freq\n|-\n'
    '| style="text-align:right" | 1126259462.4\n| H1\n| 120\n|-\n| 1126259470.1\n| L1\n| 95\n',
    "Jira": "||gps_time||ifo||*frequency*||\n|1126259462.4|H1|120|\n|1126259470.1|L1|95|\nprose\n",
    "Trac": "||= gps_time =||= ifo =||= freq =||\n|| 1126259462.4 || H1 || 120 ||\n"
    "|| 1126259470.1 || L1 || 95 ||\n",
    "LaTeX": "\\begin{table}\n\\begin{tabular}{|l|c|r|}\n\\hline\n\\textbf{GPS time [s]} & "
    "Detector & Peak frequency (Hz) \\\\ \\hline\n1126259462.4 & H1 & $120$ \\\\ \\hline % loud\n"
    "1126259470.1 & L1 &\n95 \\\\[2pt] \\hline\n\\end{tabular}\n\\end{table}\n",
    "LaTeX of pandas": "\\begin{tabular}{lrr}\n\\toprule\ngps\\_time & ifo & frequency "
    "\\\\\n\\midrule\n1126259462.4 & H1 & 120 \\\\\n1126259470.1 & L1 & 95 \\\\\n"
    "\\bottomrule\n\\end{tabular}\n",
    "AASTeX": "\\begin{deluxetable}{ccc}\n\\tablehead{\\colhead{GPS time} & \\colhead{IFO} & "
    "\\colhead{freq}}\n\\startdata\n1126259462.4 & H1 & 120 \\\\\n1126259470.1 & L1 & \\bf{95}\n"
    "\\enddata\n\\end{deluxetable}\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_in_markup_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "table.txt"
    path.write_text(TABLES[kind])
    assert is_text_table(path)
    assert [row.facts for row in read_text_table(path, path.name)] == ROWS


@pytest.mark.parametrize(
    ("time", "frequency"),
    [
        ('"LIGOTimeGPS(1126259462, 400000000)"', "np.float64(120.0)"),
        ("LIGOTimeGPS('1126259462.4')", "[120.0]"),
        ("<LIGOTimeGPS 1126259462.4>", "Decimal('120')"),
        ('"tensor(1126259462.4, dtype=torch.float64)"', "numpy.int64(120)"),
    ],
)
def test_values_as_python_shows_them(tmp_path: Path, time: str, frequency: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"gps_time,ifo,peak_frequency\n{time},np.str_('H1'),{frequency}\n")
    assert [row.facts for row in read_text_table(path, path.name)] == ROWS[:1]


@pytest.mark.parametrize("cell", ["########", "#REF!", "#VALUE!"])
def test_a_row_that_begins_with_a_spreadsheets_error_is_no_comment(
    tmp_path: Path, cell: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"gps_time,ifo\n{cell},H1\n#REF is noted here\n1126259462.4,H1\n")
    failed, read = read_text_table(path, path.name)
    assert f"gps_time '{cell}' is not a GPS time" in failed.reason
    assert read.facts == Facts(gps_time="1126259462.4", ifo="H1")


def test_a_second_column_of_the_same_name_counts_however_it_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("gps_time,gps_time.1,snr,snr.1\n1126259462.4,1126259463.4,8,8\n")
    [row] = read_text_table(path, path.name)
    assert row.reason.startswith("Two columns are called gps_time and hold '1126259462.4'")


def test_one_point_between_thousands_where_a_comma_follows(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("gps_time;ifo;frequency\n1126259462,4;H1;1.120,5\n")
    [row] = read_text_table(path, path.name)
    assert row.facts == Facts(gps_time="1126259462.4", ifo="H1", peak_frequency=1120.5)


def test_times_that_were_rounded_to_short_floats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "H1.csv"
    path.write_text("gps_time\n" + "1126259456.0\n" * 3)
    with pytest.raises(FormatError, match="multiples of 64 s, the precision of 32-bit floats"):
        list(read_table(path, path.name))
    path.write_text("gps_time\n1126259456.0\n1126259456.0\n1126259457.0\n1126300000\n")
    assert len(list(read_table(path, path.name))) == 4


@pytest.mark.parametrize(
    "text", ["start,end\n1126259456,1126259466\n", "# start stop\n1e9 1.1e9\n"]
)
def test_starts_and_ends_alone_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "H1.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match="only starts and ends: send data-quality"):
        list(read_table(path, path.name))
    path.write_text("start,end,snr\n1126259456,1126259466,8\n")
    [row] = read_table(path, path.name)
    assert row.facts == Facts(gps_time="1126259461", ifo="H1", snr=8.0, duration=10.0)
