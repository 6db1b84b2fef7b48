"""Settings are read from the environment when constructed, and validated."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.core.errors import LaunchError
from app.core.settings import Settings
from app.launch.settings import read_settings
from app.server.runtime import signing_secret


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("GLITCH_") or name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name)


def test_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert (str(settings.data_dir), settings.host, settings.port) == ("data", "127.0.0.1", 8000)
    assert settings.database_url is None


def test_environment_is_read_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLITCH_PORT", "9001")
    monkeypatch.setenv("GLITCH_MAX_UPLOAD_MB", "1.5")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden@h/db")
    settings = Settings()
    assert settings.port == 9001
    assert settings.max_upload_bytes == 1_500_000
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u:hidden@h/db"
    assert "hidden" not in repr(settings)


def test_every_setting_reaches_the_containers() -> None:
    """Compose names every setting; one that it does not name would have no effect."""
    names = {
        field.validation_alias or f"GLITCH_{name.upper()}"
        for name, field in Settings.model_fields.items()
    }
    fixed = {"GLITCH_HOST", "GLITCH_PORT"}  # within the container; compose publishes the port
    compose = (Path(__file__).parents[2] / "docker-compose.yml").read_text()
    service = compose.partition("\nservices:\n")[0]
    assert {name for name in names if f"\n    {name}:" not in service} == fixed


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is unset: Compose passes one for a line like ``GLITCH_LINKS=`` in .env."""
    for name, field in Settings.model_fields.items():
        monkeypatch.setenv(str(field.validation_alias or f"GLITCH_{name.upper()}"), "")
    emptied = Settings()
    for name in Settings.model_fields:
        monkeypatch.delenv(
            str(Settings.model_fields[name].validation_alias or f"GLITCH_{name.upper()}")
        )
    assert emptied == Settings()


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - only asked about, never bound
        ("192.168.1.4", False),
        ("glitches.example.org", False),
    ],
)
def test_search_is_public_on_loopback_only(host: str, is_loopback: bool) -> None:
    assert Settings(host=host).is_loopback is is_loopback
    assert Settings(host=host).has_public_search is is_loopback


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("GLITCH_LINKS", '{"H1": {"Log": "log"}}', "GLITCH_LINKS: Log of H1: 'log' does not begin"),
        ("GLITCH_GWOSC_URL", "https://ada:secret@x", "GLITCH_GWOSC_URL must not contain user"),
        ("GLITCH_STORAGE_URL", "ftp://x", "GLITCH_STORAGE_URL must be s3://"),
        ("GLITCH_DIGEST_MAIL", "a@example.org", "GLITCH_DIGEST_MAIL needs GLITCH_SMTP_URL"),
        ("GLITCH_PORT", "http", "GLITCH_PORT: Input should be a valid integer"),
        ("GLITCH_LINKS", "{H1: {}}", "GLITCH_LINKS: Expecting property name enclosed in double"),
        ("GLITCH_SCITOKEN_ROLES", "reader", "GLITCH_SCITOKEN_ROLES: Expecting value"),
        ("GLITCH_OIDC_ROLES", "[1]", "GLITCH_OIDC_ROLES: Input should be a valid dictionary"),
    ],
)
def test_the_start_names_the_variable_once(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, detail: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError) as refused:
        read_settings()
    sentence = str(refused.value)
    assert sentence.startswith(f"A setting has a wrong value: {detail}")
    assert sentence.count(name) == 1
    assert "secret@" not in sentence
    assert sentence.endswith(".")
    assert not sentence.endswith("..")


def test_search_is_not_public_behind_a_proxy() -> None:
    behind = Settings(host="127.0.0.1", public_url="https://example.org")
    assert behind.is_loopback
    assert not behind.has_public_search


@pytest.mark.parametrize("is_public", [True, False])
def test_public_search_can_be_set(is_public: bool) -> None:
    assert Settings(host="127.0.0.1", public_search=is_public).has_public_search is is_public
    assert Settings(host="10.0.0.1", public_search=is_public).has_public_search is is_public


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70000},
        {"max_upload_mb": 0},
        {"public_url": "glitches.example.org"},
        {"public_url": "https://example.org/glitches"},
        {"signing_key": "short"},
        {"log_level": "loud"},
        {"encoder_batch": 0},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_public_url_loses_its_slash() -> None:
    assert Settings(public_url="https://example.org/").public_url == "https://example.org"


def test_signing_secret_is_made_once_and_private(tmp_path: Path) -> None:
    first = signing_secret(Settings(data_dir=tmp_path / "new"))
    assert len(first) >= 32
    assert signing_secret(Settings(data_dir=tmp_path / "new")) == first
    assert stat.S_IMODE((tmp_path / "new" / "signing-key").stat().st_mode) == 0o600
    assert signing_secret(Settings(data_dir=tmp_path / "other")) != first


def test_a_signing_secret_of_zeros_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "signing-key").write_bytes(bytes(44))
    made = signing_secret(Settings(data_dir=tmp_path))
    assert len(made) >= 32
    assert b"\0" not in made
    assert signing_secret(Settings(data_dir=tmp_path)) == made


def test_processes_that_start_at_once_agree_on_the_signing_secret(tmp_path: Path) -> None:
    (tmp_path / "signing-key").touch(mode=0o600)  # as a crash may leave it
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: signing_secret(Settings(data_dir=tmp_path)), range(64)))
    assert made == {(tmp_path / "signing-key").read_text().strip().encode()}


def test_given_signing_key_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, signing_key="k" * 32)  # type: ignore[arg-type]
    assert signing_secret(settings) == b"k" * 32
    assert not list(tmp_path.iterdir())
