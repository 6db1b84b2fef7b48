"""Labels, classes, checkpoints and tokens."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, delete, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from store_helpers import Store, person

from app.classes.naming import create_class, list_classes, seed_classes
from app.classes.tables import GlitchClass
from app.core.access import (
    ApiToken,
    AuditEvent,
    Role,
    create_token,
    list_tokens,
    parse_role,
    record_event,
    require_role,
    revoke_token,
    verify_token,
)
from app.core.database import lowest_id_at
from app.core.engine import make_session_factory
from app.core.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    NotReadyError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from app.core.settings import Settings
from app.core.sign_on import (
    LOGGED_IN,
    LOGGED_OUT,
    LOGINS_KEPT,
    LONGEST_CLIENT,
    MAX_REFUSED_KEPT,
    REFUSED,
    create_login_code,
    note_refused_login,
)
from app.glitches.labels import append_label, list_labels, revoke_label
from app.glitches.selection import get_glitch
from app.models.checkpoints import (
    activate_checkpoint,
    active_checkpoint,
    get_checkpoint,
    list_checkpoints,
    publish_checkpoint,
)
from app.models.records import CheckpointRecord
from app.models.tables import Checkpoint
from app.server.upkeep import UPKEEP
from glitch.taxonomy import CLASSES

ANN, BOB = person(Role.SUBMITTER, "Ann"), person(Role.SUBMITTER, "Bob")
REVIEWER, READER, ADMIN = person(Role.REVIEWER), person(Role.READER), person(Role.ADMIN)


def published(session: Session, digest: str, **changes: Any) -> CheckpointRecord:
    values = {
        "name": f"checkpoint {digest}",
        "preprocessing_digest": "f" * 64,
        "latent_size": 3,
        "manifest": {"license": "CC-BY-4.0"},
        **changes,
    }
    return publish_checkpoint(session, digest=digest * 64, **values)


def test_the_latest_label_counts_and_history_stays(session: Session, store: Store) -> None:
    glitch = store().glitch.id
    first = append_label(session, glitch, "Blip", author=ANN)
    second = append_label(session, glitch, "Tomte", author=BOB, source="simulation")
    assert get_glitch(session, glitch).label == "Tomte"
    revoked = revoke_label(session, second.id, principal=BOB)
    assert (revoked.revoked_by, revoked.revoked_at is not None) == ("Bob", True)
    assert get_glitch(session, glitch).label == "Blip"
    revoke_label(session, first.id, principal=REVIEWER)
    assert get_glitch(session, glitch).label is None
    history = list_labels(session, glitch)
    assert [(label.label, label.author, label.source) for label in history] == [
        ("Blip", "Ann", "human"),
        ("Tomte", "Bob", "simulation"),
    ]
    assert [label.revoked_by for label in history] == ["reviewer", "Bob"]
    events = session.scalars(select(AuditEvent.action).where(AuditEvent.subject == "label")).all()
    assert events == ["revoke", "revoke"]


def test_labelling_and_revoking_need_the_role_or_the_author(session: Session, store: Store) -> None:
    glitch = store().glitch.id
    with pytest.raises(PermissionDeniedError, match="needs the role submitter"):
        append_label(session, glitch, "Blip", author=READER)
    label = append_label(session, glitch, "Blip", author=ANN)
    with pytest.raises(PermissionDeniedError, match="is Ann's: only its author or a reviewer"):
        revoke_label(session, label.id, principal=BOB)
    with pytest.raises(PermissionDeniedError, match="needs the role submitter"):
        revoke_label(session, label.id, principal=person(Role.READER, "Ann"))
    revoke_label(session, label.id, principal=ANN)
    with pytest.raises(ConflictError, match="already revoked by Ann"):
        revoke_label(session, label.id, principal=REVIEWER)


def test_labels_of_nothing(session: Session, store: Store) -> None:
    glitch, unknown = store().glitch.id, uuid4()
    with pytest.raises(NotFoundError, match="no glitch"):
        append_label(session, unknown, "Blip", author=ANN)
    with pytest.raises(NotFoundError, match="no glitch"):
        list_labels(session, unknown)
    with pytest.raises(NotFoundError, match="no label"):
        revoke_label(session, unknown, principal=ANN)
    for name in ("Nonsense", "", "a\0b", "'; DROP TABLE label; --"):
        with pytest.raises(InvalidRequestError, match=r"no class|Give the name"):
            append_label(session, glitch, name, author=ANN)
    for source in ("", "x" * 51, "a\nb"):
        with pytest.raises(InvalidRequestError, match="source of a label"):
            append_label(session, glitch, "Blip", author=ANN, source=source)
    session.execute(update(GlitchClass).where(GlitchClass.name == "Blip").values(state="retired"))
    with pytest.raises(ConflictError, match="Blip is retired"):
        append_label(session, glitch, "Blip", author=ANN)
    assert list_labels(session, glitch) == []


def test_simultaneous_labels_leave_one_current_label_that_is_the_latest(
    engine: Engine, session: Session, store: Store
) -> None:
    glitch = store().glitch.id
    session.commit()
    factory, barrier = make_session_factory(engine), threading.Barrier(6)

    def label(name: str) -> None:
        with factory() as own:
            barrier.wait()
            append_label(own, glitch, name, author=ANN)
            own.commit()

    names = ["Blip", "Tomte", "Whistle", "Helix", "Chirp", "Scratchy"]
    threads = [threading.Thread(target=label, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = list_labels(session, glitch)
    assert len(history) == 6
    assert get_glitch(session, glitch).label == history[-1].label


def test_classes(session: Session) -> None:
    assert seed_classes(session) == len(CLASSES)
    assert seed_classes(session) == 0
    made = create_class(session, "Thunder", description="Rumbles.", author=REVIEWER)
    assert (made.origin, made.state) == ("ours", "active")
    names = [known.name for known in list_classes(session)]
    assert set(names) == {"Thunder", *(known.name for known in CLASSES)}
    assert names == sorted(names)
    with pytest.raises(ConflictError, match="class Thunder already"):
        create_class(session, "Thunder", description="", author=REVIEWER)
    with pytest.raises(PermissionDeniedError, match="needs the role reviewer"):
        create_class(session, "Rain", description="", author=ANN)
    for name in ("", "a b", "x" * 65, "../x", "Regen\n", "é", "_x"):
        with pytest.raises(InvalidRequestError, match="class name"):
            create_class(session, name, description="", author=REVIEWER)
    with pytest.raises(InvalidRequestError, match="description"):
        create_class(session, "Rain", description="x" * 2001, author=REVIEWER)


def test_exactly_one_checkpoint_is_active(session: Session) -> None:
    with pytest.raises(NotReadyError, match="publish"):
        active_checkpoint(session)
    first = published(session, "1", activate=False)
    assert first.is_active  # the first one always is
    second = published(session, "2", activate=False)
    assert not second.is_active
    assert active_checkpoint(session).id == first.id
    third = published(session, "3")
    assert third.is_active
    assert active_checkpoint(session).id == third.id
    assert activate_checkpoint(session, second.id).is_active
    assert activate_checkpoint(session, second.id).is_active
    found = list_checkpoints(session)
    assert [(record.id, record.is_active) for record in found] == [
        (third.id, False),
        (second.id, True),
        (first.id, False),
    ]
    assert found[0].manifest == {"license": "CC-BY-4.0"}
    again = published(session, "1", activate=False)
    assert (again.id, len(list_checkpoints(session))) == (first.id, 3)
    assert get_checkpoint(session, first.id).name == "checkpoint 1"
    with pytest.raises(IntegrityError, match="uq_checkpoint_is_active"):
        session.execute(update(Checkpoint).values(is_active=True))


def test_invalid_checkpoints_are_refused(session: Session) -> None:
    with pytest.raises(InvalidRequestError, match="hex SHA-256"):
        published(session, "x")
    with pytest.raises(InvalidRequestError, match="hex SHA-256"):
        published(session, "1", preprocessing_digest="abc")
    for size in (0, 2001):
        with pytest.raises(InvalidRequestError, match="1 to 2000 dimensions"):
            published(session, "1", latent_size=size)
    for act in (activate_checkpoint, get_checkpoint):
        with pytest.raises(NotFoundError, match="no checkpoint 7"):
            act(session, 7)


def test_simultaneous_publishers_make_one_checkpoint(engine: Engine, session: Session) -> None:
    factory, barrier = make_session_factory(engine), threading.Barrier(4)
    found: list[int] = []

    def publish() -> None:
        with factory() as own:
            barrier.wait()
            found.append(published(own, "1").id)
            own.commit()

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(list_checkpoints(session)) == 1


def test_tokens_are_hashed_and_verified(session: Session) -> None:
    made = create_token(session, " Ann ", Role.SUBMITTER)
    assert len(made.secret) >= 43  # 256 bits in base64
    stored = session.execute(text("SELECT api_token::text FROM api_token")).scalar_one()
    assert made.secret not in stored
    principal = verify_token(session, made.secret)
    assert (principal.name, principal.role, principal.token_id) == (
        "Ann",
        Role.SUBMITTER,
        made.record.id,
    )
    for wrong in ("", "nonsense", made.secret[:-1], made.secret + "x", "x" * 300, "\udcff", "a\0"):
        with pytest.raises(UnauthenticatedError, match="not valid"):
            verify_token(session, wrong)


def test_no_login_link_is_made_for_a_token_that_has_expired(session: Session) -> None:
    made = create_token(session, "Ann", Role.READER, lifetime=timedelta(days=1))
    assert create_login_code(session, made.record.id)
    session.execute(update(ApiToken).values(expires_at=text("now() - interval '1 second'")))
    session.expire_all()
    with pytest.raises(ConflictError, match="has expired or was revoked"):
        create_login_code(session, made.record.id)


def test_revoked_tokens_are_useless_and_free_their_name(session: Session) -> None:
    made = create_token(session, "Ann", Role.READER, author=ADMIN)
    with pytest.raises(ConflictError, match="'Ann' is in use"):
        create_token(session, "Ann", Role.ADMIN)
    assert revoke_token(session, made.record.id, principal=ADMIN).revoked_at is not None
    with pytest.raises(UnauthenticatedError):
        verify_token(session, made.secret)
    with pytest.raises(ConflictError, match="already revoked"):
        revoke_token(session, made.record.id)
    with pytest.raises(NotFoundError, match="no token"):
        revoke_token(session, uuid4())
    again = create_token(session, "Ann", Role.READER)
    assert [record.id for record in list_tokens(session)] == [again.record.id, made.record.id]
    events = session.execute(
        select(AuditEvent.actor, AuditEvent.action)
        .where(AuditEvent.subject == "token")
        .order_by(AuditEvent.id)
    ).all()
    assert [tuple(event) for event in events] == [
        ("admin", "create"),
        ("admin", "revoke"),
        ("command line", "create"),
    ]


def test_making_tokens_needs_an_admin_and_a_valid_name(session: Session) -> None:
    with pytest.raises(PermissionDeniedError, match="needs the role admin"):
        create_token(session, "Eve", Role.ADMIN, author=REVIEWER)
    made = create_token(session, "Ann", Role.READER)
    with pytest.raises(PermissionDeniedError, match="needs the role admin"):
        revoke_token(session, made.record.id, principal=REVIEWER)
    for name in ("", "  ", "x" * 101, "a\nb", "a\0b"):
        with pytest.raises(InvalidRequestError, match="name of 1 to 100"):
            create_token(session, name, Role.READER)


def test_use_is_noted_to_the_minute_without_waiting(engine: Engine, session: Session) -> None:
    made = create_token(session, "Ann", Role.READER)
    session.commit()
    verify_token(session, made.secret)  # locks the row until this transaction ends
    with make_session_factory(engine)() as other:
        other.execute(text("SET LOCAL lock_timeout = '100ms'"))
        assert verify_token(other, made.secret).name == "Ann"
    session.commit()
    first = list_tokens(session)[0].last_used_at
    assert first is not None
    verify_token(session, made.secret)
    session.expire_all()
    assert list_tokens(session)[0].last_used_at == first
    session.execute(update(ApiToken).values(last_used_at=first - timedelta(minutes=2)))
    verify_token(session, made.secret)
    session.expire_all()
    assert (list_tokens(session)[0].last_used_at or first) >= first


def test_roles_are_ordered() -> None:
    assert [parse_role(name) for name in ("reader", "submitter", "reviewer", "admin")] == list(Role)
    with pytest.raises(InvalidRequestError, match="reader, submitter, reviewer, admin"):
        parse_role("root")
    for number, role in enumerate(Role):
        for needed in list(Role)[: number + 1]:
            require_role(person(role), needed)
        for needed in list(Role)[number + 1 :]:
            with pytest.raises(PermissionDeniedError, match=f"needs the role {needed.label}"):
                require_role(person(role), needed)


def test_logins_are_forgotten_after_a_year_and_nothing_else(session: Session) -> None:
    long_ago = lowest_id_at(datetime.now(UTC) - LOGINS_KEPT - timedelta(hours=1))
    first = session.scalars(select(AuditEvent.id)).all()
    for number, action in enumerate((LOGGED_IN, LOGGED_OUT, REFUSED, "revoke")):
        record_event(session, "Ann", action, "token", number)
        session.flush()
        old = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
        old.id = UUID(int=long_ago.int + number)
        record_event(session, "Ann", action, "token", number)
        session.flush()
    assert UPKEEP["logins of long ago removed"](session, Settings()) == "3 events"
    assert UPKEEP["logins of long ago removed"](session, Settings()) is None
    left = select(AuditEvent.action).where(AuditEvent.id.not_in(first)).order_by(AuditEvent.id)
    assert session.scalars(left).all() == ["revoke", LOGGED_IN, LOGGED_OUT, REFUSED, "revoke"]


def test_refused_logins_fill_no_disk(session: Session) -> None:
    for _ in range(MAX_REFUSED_KEPT + 5):
        note_refused_login(session, "2001:db8::1" * 50)
        session.flush()
    kept = session.scalars(select(AuditEvent).where(AuditEvent.action == REFUSED)).all()
    assert len(kept) == MAX_REFUSED_KEPT
    assert {len(one.subject_id) for one in kept} == {LONGEST_CLIENT}
    an_hour_ago = lowest_id_at(datetime.now(UTC) - timedelta(hours=1, minutes=1))
    session.execute(delete(AuditEvent).where(AuditEvent.id == kept[0].id))
    kept[1].id = an_hour_ago
    session.flush()
    note_refused_login(session, "192.0.2.7")
    note_refused_login(session, "192.0.2.8")
    session.flush()
    note_refused_login(session, "192.0.2.9")
    session.flush()
    last = session.scalars(select(AuditEvent.subject_id).order_by(AuditEvent.id.desc()).limit(2))
    assert set(last) == {"192.0.2.7", "192.0.2.8"}
