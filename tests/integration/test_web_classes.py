"""The pages of classes and checkpoints: contents, forms, and refusals on the same page."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from api_fixtures import Service
from sqlalchemy import update
from web_fixtures import Page, Walker, fill_catalogue, service

from app.core.engine import make_session_factory
from app.frame.palette import class_colour
from app.glitches.tables import Glitch
from app.models.checkpoints import active_checkpoint, publish_checkpoint

__all__ = ["service"]


@pytest.fixture(scope="module", autouse=True)
def glitches(service: Service) -> None:
    fill_catalogue(service, 30)


@pytest.fixture
def reviewer(service: Service) -> Iterator[Walker]:
    with Walker(service, "reviewer") as walker:
        yield walker


@pytest.fixture
def admin(service: Service) -> Iterator[Walker]:
    with Walker(service, "admin") as walker:
        yield walker


def made(walker: Walker, name: str) -> Page:
    page = walker.get("/ui/classes")
    return walker.submit(page, "/ui/classes", name=name, description="Made by a test.")


def act(walker: Walker, page: Page, what: str, **fields: str) -> Page:
    return walker.submit(page, "/change", act=what, **fields)


def turn(walker: Walker, page: Page, what: str) -> Page:
    """Submit the form of the latest action in the history that can be undone or redone."""
    forms = [form for form in page.forms if form.action.endswith("/change")]
    text = page.response.text
    values = [form.fields["event_id"] for form in forms if "event_id" in form.fields]
    place = re.findall(r'value="(undo|redo)"', text).index(what)
    return act(walker, page, what, event_id=values[place])


def test_the_list_has_each_class_with_its_colour(reviewer: Walker) -> None:
    page = reviewer.get("/ui/classes")
    assert page.status == 200
    assert "Koi_Fish" in page.text
    assert "teardrop" in page.text
    assert "/ui/glitches?label=Whistle" in page.links
    assert f'fill="{class_colour("Whistle")}"' in page.response.text
    assert "style" not in page.attributes


def test_glitches_without_a_detector_are_a_column(service: Service, reviewer: Walker) -> None:
    assert "Not known" not in reviewer.get("/ui/classes").text
    one = update(Glitch).where(Glitch.gravityspy_id == "walker0003")
    with make_session_factory(service.engine).begin() as session:
        session.execute(one.values(ifo=None))
    page = reviewer.get("/ui/classes")
    assert re.search(r"V1 Not known Simulated All", page.text)
    assert re.findall(r'data-of="Not known">(\d+)<', page.response.text).count("1") == 1
    with make_session_factory(service.engine).begin() as session:
        session.execute(one.values(ifo="L1"))


def test_a_class_is_added_renamed_moved_retired_and_all_is_undone(reviewer: Walker) -> None:
    page = made(reviewer, "Lantern")
    assert re.fullmatch(r"/ui/classes/\d+\?done=class-added", page.path)
    assert "named here" in page.text
    page = act(reviewer, page, "rename", name="Lamp", text="Shorter.")
    assert "Renamed it from Lantern to Lamp" in page.text
    assert "Shorter." in page.text
    page = act(reviewer, page, "move", parent="Blip")
    assert "Sub-class of Blip" in page.text
    listed = reviewer.get("/ui/classes").text
    assert listed.index("Blip") < listed.index("Lamp") < listed.index("Blip_Low_Frequency")
    page = act(reviewer, page, "retire")
    assert "it cannot be used for new labels" in page.text
    for _ in range(3):
        page = turn(reviewer, page, "undo")
    assert "Lantern" in page.text
    assert "undid “renamed it from Lantern to Lamp”" in page.text.replace("Undid", "undid")
    page = turn(reviewer, page, "redo")
    assert "Redid" in page.text


def test_a_former_name_leads_to_the_class(reviewer: Walker) -> None:
    page = made(reviewer, "Candle")
    act(reviewer, page, "rename", name="Taper")
    assert reviewer.get("/ui/classes/Candle").path == page.path.partition("?")[0]
    narrowed = reviewer.get("/ui/glitches?label=Candle")  # an old link
    assert narrowed.alerts == ["The class Candle was renamed to Taper: use that name."]


@pytest.mark.parametrize(
    ("name", "status", "word"),
    [
        ("", 400, "needs a name"),
        ("x" * 10_000, 400, "10,000 characters"),
        ("<script>alert(1)</script>", 400, "letters, digits"),
        ("koi_fish", 409, "class Koi_Fish already"),
    ],
)
def test_invalid_class_names_are_reported_in_the_form(
    reviewer: Walker, name: str, status: int, word: str
) -> None:
    page = made(reviewer, name)
    assert (page.status, page.path) == (status, "/ui/classes")
    assert word in page.alerts[0]
    assert "<script>alert" not in page.response.text


def test_the_second_of_two_changes_is_a_conflict_that_keeps_the_form(
    service: Service, reviewer: Walker, admin: Walker
) -> None:
    stale = made(reviewer, "Ladder")
    act(admin, admin.get(stale.path), "describe", description="Rungs.")
    page = act(reviewer, stale, "rename", name="Stairs")
    assert page.status == 409
    assert "changed the description" in page.alerts[0]
    assert 'value="Stairs"' in page.response.text


def test_a_retired_class_says_how_and_where_its_glitches_went(
    reviewer: Walker, admin: Walker
) -> None:
    merged = made(reviewer, "Lighthouse").path.partition("?")[0]
    act(admin, admin.get(merged), "merge", into="Blip")
    page = reviewer.get(merged)
    assert re.search(
        r"Retired: \S+ merged it into Blip \(0 glitches\), \d{4}-\d\d-\d\d \d\d:\d\d UTC ?\. "
        r"Its glitches are labelled Blip since",
        page.text,
    )
    assert "/ui/classes/Blip" in page.links
    turn(admin, admin.get(merged), "undo")
    page = act(reviewer, reviewer.get(merged), "retire")
    sentence = r"Retired: \S+ retired it, .* UTC ?\. Glitches with this label"
    assert re.search(sentence, page.text)


def test_a_reader_sees_no_forms_to_change_classes(service: Service, reviewer: Walker) -> None:
    known = made(reviewer, "Anchor").path.partition("?")[0]
    with Walker(service, "reader") as reader:
        page = reader.get(known)
        assert page.status == 200
        assert not [form for form in page.forms if form.action.endswith("/change")]
        listed = reader.get("/ui/classes")
        assert not [form for form in listed.forms if form.action == "/ui/classes"]
    assert "Merge into" not in reviewer.get(known).text
    page = act(reviewer, reviewer.get(known), "merge", into="Blip")
    assert (page.status, "admin" in page.alerts[0]) == (403, True)
    assert reviewer.get("/ui/classes/999999").status == 404
    assert act(reviewer, reviewer.get(known), "explode").status == 404


def test_checkpoints_are_switched_and_back(service: Service, admin: Walker) -> None:
    with make_session_factory(service.engine).begin() as session:
        present = active_checkpoint(session)
        publish_checkpoint(
            session,
            name="next",
            digest="e" * 64,
            preprocessing_digest=present.preprocessing_digest,
            latent_size=present.latent_size,
            manifest={"metrics": {"knn_accuracy": 0.9}},
            activate=False,
        )
    with Walker(service, "reader") as reader:
        page = reader.get("/ui/checkpoints")
        assert "next" in page.text
        assert not [form for form in page.forms if form.action.endswith("/activate")]
    page = admin.get("/ui/checkpoints")
    assert "first" in page.text  # no glitch is embedded with it yet
    page = admin.submit(page, "/activate")
    assert page.path == "/ui/checkpoints?done=switching"
    assert "A worker is finding the glitches" in page.text
