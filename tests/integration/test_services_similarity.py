"""The search that gwpy requests: its grammar, and its response as gwpy reads it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from gwpy.table import GravitySpyTable
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session
from store_helpers import Store, make_views, person

from app.core.access import Role
from app.core.errors import InvalidRequestError, NotFoundError
from app.glitches.labels import append_label
from app.glitches.neighbours import MAX_NEIGHBOURS
from app.glitches.records import GlitchFilters
from app.glitches.similarity_search import (
    SimilarityQuery,
    parse_similarity_query,
    similarity_search,
)

GOOD = {
    "howmany": "10",
    "imageid": "8FHTgA8MEu",
    "era": "event_time BETWEEN 1126400000 AND 1584057618",
    "ifo": "'H1', 'L1'",
    "database": "similarity_index_o3",
}
INJECTIONS = (
    "event_time BETWEEN 0 AND 1; DROP TABLE glitch",
    "event_time BETWEEN 0 AND 1 OR 1=1",
    "event_time BETWEEN 0 AND (SELECT 1)",
    "event_time BETWEEN 0 AND 1 --",
    "event_time BETWEEN 0 AND 1\n",
    "event_time BETWEEN -1 AND 1",
    "event_time BETWEEN 1e3 AND 1e4",
    "event_time  BETWEEN 0 AND 1",
    "event_time BETWEEN \u0661 AND \u0662",
    "'H1') OR ('1'='1",
    "'H1', 'L1'; DELETE FROM glitch",
    "'H1' 'L1'",
    "'H1',",
    "''",
    "'H1', 'L1'\n",
    '"H1"',
    "'H1'/**/,'L1'",
    "",
    "\0",
)


def test_queries_of_gwpy_are_parsed() -> None:
    assert parse_similarity_query(**GOOD) == SimilarityQuery(
        image_id="8FHTgA8MEu", how_many=10, filters=GlitchFilters(ifos=("H1", "L1"))
    )
    alone = parse_similarity_query(**{**GOOD, "ifo": "'V1'", "howmany": "1"})
    assert (alone.filters.ifos, alone.how_many) == (("V1",), 1)
    third_run = parse_similarity_query(
        **{**GOOD, "era": "event_time BETWEEN 1238166018 AND 1272326418.5"}
    )
    assert third_run.filters.gps_start == Decimal(1238166018)
    assert third_run.filters.gps_end == Decimal("1272326418.5")


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("value", INJECTIONS)
def test_sql_in_a_parameter_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequestError, match=name):
        parse_similarity_query(**{**GOOD, name: value})


@pytest.mark.parametrize(
    "value", ["0", "-1", "10001", "100000", "1.5", "ten", "\u0661", "99999999999"]
)
def test_howmany_is_bounded(value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"howmany must be .* from 1 to 10,000"):
        parse_similarity_query(**{**GOOD, "howmany": value})


def test_an_era_runs_forward() -> None:
    with pytest.raises(InvalidRequestError, match="earlier GPS time first"):
        parse_similarity_query(**{**GOOD, "era": "event_time BETWEEN 2 AND 1"})


FRAGMENTS = st.sampled_from(
    [*INJECTIONS, *GOOD.values(), "'", '"', ";", "--", "/*", " OR ", "UNION SELECT", "\\", "%s"]
)


@settings(max_examples=300)
@given(
    name=st.sampled_from(sorted(GOOD)), parts=st.lists(st.one_of(FRAGMENTS, st.text()), max_size=4)
)
@example(name="era", parts=["event_time BETWEEN 1 AND 2", "; DROP TABLE glitch"])
@example(name="howmany", parts=["10", "10"])
def test_accepted_queries_contain_no_sql(name: str, parts: list[str]) -> None:
    try:
        query = parse_similarity_query(**{**GOOD, name: "".join(parts)})
    except InvalidRequestError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", query.image_id)
    assert 1 <= query.how_many <= MAX_NEIGHBOURS
    if query.filters.gps_start is not None and query.filters.gps_end is not None:
        assert 0 <= query.filters.gps_start <= query.filters.gps_end < 10**10
    assert all(re.fullmatch(r"[A-Z][0-9]", ifo, re.ASCII) for ifo in query.filters.ifos)
    assert name != "database" or re.fullmatch(r"\w+", "".join(parts), re.ASCII)


def view_url(glitch_id: str, duration_s: float) -> str:
    return f"http://here/glitches/{glitch_id}/views/{duration_s:g}.png"


def ask(session: Session, **changes: str) -> dict[str, list[Any]]:
    query = parse_similarity_query(**{**GOOD, **changes})
    return similarity_search(session, query, view_url=view_url)


@pytest.fixture
def catalogue(session: Session, store: Store, rng: Any) -> dict[str, str]:
    named = store((0, 0, 0, 0), gravityspy_id="8FHTgA8MEu", snr=9.0, peak_frequency=80.0)
    append_label(session, named.glitch.id, "Scratchy", author=person(Role.SUBMITTER))
    twin = store((0, 0, 0, 0), snr=8.0, peak_frequency=81.0)
    other = store((1, 0, 0, 0), ifo="L1", views=make_views(rng, (4.0,)))
    virgo = store((2, 0, 0, 0), ifo="V1")
    late = store((3, 0, 0, 0), gps_time=Decimal("1300000000"))
    names = ("named", "twin", "other", "virgo", "late")
    stored = (named, twin, other, virgo, late)
    return {name: item.glitch.public_id for name, item in zip(names, stored, strict=True)}


def test_the_answer_is_nearest_first_and_starts_with_the_glitch_itself(
    session: Session, catalogue: dict[str, str]
) -> None:
    found = ask(session)
    assert found["gravityspy_id"] == [
        catalogue[name] for name in ("named", "twin", "other", "late")
    ]
    assert ask(session, howmany="1")["gravityspy_id"] == ["8FHTgA8MEu"]
    for public_id in catalogue.values():
        first = ask(session, imageid=public_id, ifo="'H1', 'L1', 'V1'")
        assert first["gravityspy_id"][0] == public_id
        assert set(first["searchedID"]) == {public_id}


def test_era_and_detectors_narrow_the_search(session: Session, catalogue: dict[str, str]) -> None:
    assert ask(session, ifo="'V1'")["gravityspy_id"] == [catalogue["virgo"]]
    late = ask(session, era="event_time BETWEEN 1299999999.5 AND 1300000000")
    assert late["gravityspy_id"] == [catalogue["late"]]
    empty = ask(session, era="event_time BETWEEN 0 AND 1")
    assert all(column == [] for column in empty.values())


def test_gwpy_reads_the_answer(session: Session, catalogue: dict[str, str]) -> None:
    table = GravitySpyTable(ask(session))
    assert set(table.colnames) == {
        *("ifo", "peak_frequency", "links_subjects", "ml_label", "searchedID", "snr"),
        *("ml_confidence", "gravityspy_id", "searchedzooID", "url1", "url2", "url3", "url4"),
    }
    assert len(table) == 4
    assert (table[0]["ifo"], table[0]["ml_label"], table[0]["snr"]) == ("H1", "Scratchy", 9.0)
    assert table[0]["url1"].endswith("/views/0.5.png")
    assert (table[0]["url2"], table[0]["url3"]) == ("?", "?")
    only_long = table[2]
    # Without an address in url1, gwpy would skip the row with its other pictures.
    assert only_long["url1"].endswith("/views/0.5.png")
    assert only_long["url4"].endswith("/views/4.png")


def test_every_era_includes_glitches_before_it_and_of_no_known_time(
    session: Session, store: Store
) -> None:
    before = store((0, 0, 0, 0), gps_time=Decimal("1126259462.4")).glitch.public_id  # GW150914
    timeless = store((1, 0, 0, 0), gps_time=None).glitch.public_id
    assert ask(session, imageid=before)["gravityspy_id"] == [before, timeless]
    part = "event_time BETWEEN 1126400000 AND 1584057617"
    assert ask(session, imageid=before, era=part)["gravityspy_id"] == []


def test_unknown_ids(session: Session, catalogue: dict[str, str]) -> None:
    with pytest.raises(NotFoundError, match="no glitch abcde"):
        ask(session, imageid="abcde")
