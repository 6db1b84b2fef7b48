"""Settings of the service, read from the environment when needed and never at import."""

import ipaddress
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.elsewhere import Templates, check_templates

LONGEST_LEASE = timedelta(minutes=10)  # workers renew their leases far more often


def is_safe_address(url: Any, is_plain_taken: bool = True) -> bool:
    """Return whether data sent to this address cannot be read or changed on the way.

    True for https, and for http to this machine if ``is_plain_taken``.
    """
    parts = urlsplit(url if isinstance(url, str) else "")
    if parts.scheme == "https":
        return bool(parts.hostname)
    return is_plain_taken and parts.scheme == "http" and _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(url: str, what: str, *, is_secret: bool = False) -> None:
    """Refuse an address that is not http(s), or that contains user or password.

    Users may see the address in errors and jobs, unless ``is_secret``.

    Raises:
        ValueError: naming ``what`` the address is for, without the address itself.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{what} must start with http:// or https://")
    if not is_secret and "@" in urlsplit(url).netloc:
        raise ValueError(f"{what} must not contain user or password, because users can see it")


def check_mail_server(url: str) -> None:
    """Refuse an invalid address of a mail server, or one that would send a password unencrypted.

    Raises:
        ValueError: with the expected form, without the address, because it may hold a password.
    """
    parts = urlsplit(url)
    try:
        is_one = parts.scheme in MAIL_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number
        is_one = False
    if not is_one or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(
            "GLITCH_SMTP_URL must look like smtp://user:password@mail.example.org:587, smtps://… "
            "or smtp+plain://…; in user and password write @ : / ? # % as %40 %3A %2F %3F %23 %25"
        )
    if parts.username and parts.scheme == "smtp+plain" and not _is_loopback(parts.hostname or ""):
        raise ValueError("GLITCH_SMTP_URL must not send a password unencrypted: write smtp://…")


def _from_text(read: Callable[[str], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


def _frame_types(text: str) -> dict[str, str]:
    pairs = re.split(r"[,\s]+", text.strip(", \t\n"))
    if not all(re.fullmatch(r"(?:[GHIKLV][12]|C1|E[123])=\w[\w+#.]*", pair) for pair in pairs):
        raise ValueError(
            "GLITCH_FRAME_TYPES must read as H1=H1_HOFT_C00,L1=L1_HOFT_C00: a detector and its "
            "type of frames each"
        )
    return dict(pair.split("=", 1) for pair in pairs)


Words = Annotated[tuple[str, ...], NoDecode, _from_text(lambda text: tuple(text.split()))]
"""Several values separated by spaces."""
_JSON = _from_text(json.loads)  # pydantic's own decoding would end in a traceback
Role = Literal["reader", "submitter", "reviewer", "admin"]
Roles = Annotated[dict[str, Role], NoDecode, _JSON]
MAIL_PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
"""Default ports: STARTTLS, TLS from the start, unencrypted."""


class Settings(BaseSettings):
    """All settings of the service. A setting's environment variable is ``GLITCH_`` and its name.

    ``DATABASE_URL`` and ``REDIS_URL`` have no prefix, because hosting services set them under these
    names.
    """

    model_config = SettingsConfigDict(
        env_prefix="GLITCH_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    data_dir: Path = Path("data")
    """Folder of all state of an embedded service: database, checkpoints, and the admin token of the
    first start."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on."""
    public_url: str | None = None
    """Address of the service as clients see it, used in links, for example
    https://glitches.example.org. Unset: taken from each request."""
    contact: str = "root@localhost"
    """Address of the operator, shown in /status.json."""
    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    """PostgreSQL server with pgvector. Unset: `make up` starts an embedded one in the data
    directory."""
    redis_url: SecretStr | None = Field(default=None, validation_alias="REDIS_URL")
    """Redis server for background work. Unset: `make up` starts one in the data directory."""
    database_pool: int = Field(default=20, ge=1, le=500)
    """Maximum number of database connections of one process."""
    storage_url: str | None = None
    """Where uploads of batches, exports and checkpoints are kept, for example s3://bucket/folder
    (with AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and so on). Unset: in the data directory, which all
    processes must then share."""
    max_upload_mb: float = Field(default=256, gt=0)
    """Maximum size of a request body, in MB (10^6 bytes)."""
    upload_timeout_s: float = Field(default=120, gt=0)
    """Maximum time for a request body to arrive, and for a pause of a batch, in seconds."""
    max_batch_mb: float = Field(default=4000, gt=0)
    """Maximum size of a batch, in MB (10^6 bytes)."""
    max_batch_unpacked_mb: float = Field(default=40_000, gt=0)
    """Maximum unpacked size of a batch, in MB (10^6 bytes)."""
    batch_timeout_s: float = Field(default=3600, gt=0)
    """Maximum time for a batch to arrive, in seconds."""
    keep_batches_days: float = Field(default=30, ge=0)
    """How long the file of a batch is kept after its job ended, so that failed items can be
    retried, in days. If nothing failed, it is removed within a day."""
    keep_exports_hours: float = Field(default=72, gt=0)
    """How long the file of an export job is kept, in hours."""
    strain_dir: Path | None = None
    """Folder of strain files, named as in LIGO-T050017, used for triggers that come without strain.
    Unset: triggers need their strain in the same batch."""
    gwosc_url: str | None = None
    """Host of open data from which strain is fetched that is found nowhere else, for example
    https://gwosc.org. Unset: nothing is fetched."""
    links: Annotated[Templates, NoDecode, _JSON, AfterValidator(check_templates)] = {}
    """External pages about a time, linked from each glitch: JSON of detector (or *) to name to
    address, with {gps}, {gps_s}, {date}, {day}, {year}, {month}, {utc}, {ifo}."""
    digest_webhook: SecretStr | None = None
    """Address to which what is new is posted once a day, and when a clustering flags something. It
    must accept JSON with `text`, as chat services do. Unset: nothing is posted."""
    digest_mail: Words = ()
    """Mail addresses that receive the same, separated by spaces. Unset: no mail is sent."""
    smtp_url: SecretStr | None = None
    """Mail server: smtp://user:password@mail.example.org:587 (STARTTLS), smtps:// (TLS from the
    start), or smtp+plain:// (no encryption, for a relay in the same network; a password only on
    this machine). Unset: no mail is sent."""
    mail_from: str | None = None
    """Sender of mail. Unset: GLITCH_CONTACT."""
    datafind_url: str | None = None
    """GWDataFind server, for example https://datafind.ligo.org, that is asked for the frames of a
    trigger. The frames must be mounted on this machine. Unset: no server is asked."""
    frame_types: Annotated[dict[str, str], NoDecode, _from_text(_frame_types)] = Field(default={})
    """Frame type of each detector for GLITCH_DATAFIND_URL, for example
    H1=H1_HOFT_C00,L1=L1_HOFT_C00,V1=V1Online."""
    segment_server: str | None = None
    """Segment database (DQSEGDB), for example https://segments.ligo.org, that is asked for the
    data-quality flags named by a batch. Unset: no server is asked."""
    queue_timeout_s: float = Field(default=30, gt=0)
    """Maximum time that an upload waits for the strain transform or the encoder, in seconds; after
    that the answer is 503."""
    decoders: int = Field(default=2, ge=1, le=64)
    """Number of uploaded files decoded at the same time, each in its own process of up to 512 MiB
    (text: 1.5 GiB)."""
    strain_concurrency: int = Field(default=2, ge=1)
    """Number of uploads whose strain is transformed at the same time."""
    encoder_batch: int = Field(default=32, ge=1)
    """Maximum number of requests in one pass of the encoder."""
    encoder_wait_ms: float = Field(default=2, ge=0)
    """How long the encoder waits for further requests to fill a batch, in milliseconds."""
    encoder_queue: int = Field(default=256, ge=1)
    """Maximum number of requests that wait for the encoder; further ones are answered 503."""
    torch_threads: int = Field(default=1, ge=1)
    """Number of threads of a tensor operation. With more than one, waiting cores stay busy; useful
    for strain on an otherwise idle machine."""
    device: str = "cpu"
    """Device of the model: cpu, cuda, cuda:1."""
    public_search: bool | None = None
    """Whether the gwpy-compatible similarity search answers without a token. Unset: true on a
    loopback address without GLITCH_PUBLIC_URL, else false."""
    picture_link_days: float = Field(default=30, gt=0)
    """How long the signed picture links of a similarity search are valid, in days."""
    signing_key: SecretStr | None = None
    """Secret that signs picture links and logins, at least 32 characters, the same on every
    replica. Unset: created at the first start and kept in the data directory."""
    scitoken_issuers: Words = ()
    """Issuers whose SciTokens are accepted in addition to tokens of the service: addresses as in
    the claim `iss`, separated by spaces, for example https://cilogon.org/igwn. Unset: none."""
    scitoken_audience: Words = ()
    """Accepted audiences of a SciToken (claim `aud`), separated by spaces. Unset:
    GLITCH_PUBLIC_URL."""
    scitoken_roles: Roles = Field(
        default={
            "glitch-discovery.read": "reader",
            "glitch-discovery.submit": "submitter",
            "glitch-discovery.review": "reviewer",
            "glitch-discovery.admin": "admin",
        }
    )
    """Role for each scope of a SciToken, as a JSON object."""
    oidc_issuer: str | None = None
    """OpenID Connect provider for logging in on the pages: its address as in `iss`, for example
    https://cilogon.org. Unset: the pages accept only tokens."""
    oidc_client_id: str = ""
    """Client id of this service at the provider."""
    oidc_client_secret: SecretStr | None = None
    """Client secret at the provider. Unset: a public client, with PKCE only."""
    oidc_scope: str = "openid profile"
    """Scopes requested from the provider."""
    oidc_name_claim: str = "sub"
    """Claim of the ID token that names people in labels and in the audit trail. Use one that nobody
    can choose freely, such as sub or eppn."""
    oidc_groups_claim: str = "groups"
    """Claim of the ID token that lists a person's groups."""
    oidc_roles: Roles = Field(default={})
    """Role for each group, as a JSON object."""
    oidc_label: str = "your institution"
    """Name of the provider on the login page."""
    worker_processes: int = Field(default=1, ge=1, le=256)
    """Number of chunks of jobs that a worker runs at the same time."""
    job_lease_s: float = Field(default=60, ge=1, le=LONGEST_LEASE.total_seconds())
    """A chunk is given to another worker after this time without a sign of life, in seconds."""
    reconcile_s: float = Field(default=5, ge=0.2)
    """Interval at which the scheduler looks for jobs that no worker runs, in seconds."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest severity of log lines that are written."""
    log_format: Literal["json", "text"] = "json"
    """Format of log lines: JSON objects or plain text."""

    @field_validator("public_url", "gwosc_url", "datafind_url", "segment_server", "digest_webhook")
    @classmethod
    def _address(cls, value: Any, info: ValidationInfo) -> Any:
        is_secret = isinstance(value, SecretStr)
        text = value.get_secret_value() if is_secret else value or ""
        if text:
            check_address(text, f"GLITCH_{info.field_name}".upper(), is_secret=is_secret)
        if info.field_name == "public_url" and urlsplit(text).path.strip("/"):
            raise ValueError(
                "GLITCH_PUBLIC_URL must name a host without a path: the pages' links begin at its "
                "root, so give the service a host name of its own"
            )
        return value if is_secret else text.rstrip("/") or None

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str | None) -> str | None:
        if value and not value.startswith(("s3://", "gs://", "az://", "file:///")):
            raise ValueError("GLITCH_STORAGE_URL must be s3://bucket/folder or file:///folder")
        return value or None

    @field_validator("smtp_url")
    @classmethod
    def _mail_server_is_safe(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_mail_server(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.scitoken_issuers and not self.audience_of_scitokens:
            raise ValueError(
                "GLITCH_SCITOKEN_ISSUERS needs GLITCH_SCITOKEN_AUDIENCE, or GLITCH_PUBLIC_URL"
            )
        if self.oidc_issuer and not (self.oidc_client_id and self.oidc_roles):
            raise ValueError("GLITCH_OIDC_ISSUER needs GLITCH_OIDC_CLIENT_ID and GLITCH_OIDC_ROLES")
        if self.digest_mail and self.smtp_url is None:
            raise ValueError("GLITCH_DIGEST_MAIL needs GLITCH_SMTP_URL")
        for address in (*self.digest_mail, self.mail_sender) if self.digest_mail else ():
            if not re.fullmatch(r"[!-~]+@[!-~]+", address) or re.search(r"[<>,;:]", address):
                raise ValueError(
                    "GLITCH_DIGEST_MAIL and GLITCH_MAIL_FROM (else GLITCH_CONTACT) must hold "
                    "addresses such as detchar@example.org"
                )
        return self

    @property
    def mail_sender(self) -> str:
        """Sender address of mail."""
        return self.mail_from or self.contact

    @property
    def sends_digest(self) -> bool:
        """Whether notifications are sent."""
        return self.digest_webhook is not None or bool(self.digest_mail)

    @property
    def has_remote_strain(self) -> bool:
        """Whether missing strain is fetched from a remote server."""
        return self.gwosc_url is not None or self.datafind_url is not None

    @field_validator("signing_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("GLITCH_SIGNING_KEY must have at least 32 characters")
        return value

    @field_validator("scitoken_issuers")
    @classmethod
    def _issuers_are_safe(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(is_safe_address(url) for url in value):
            raise ValueError("GLITCH_SCITOKEN_ISSUERS must hold addresses that start with https://")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _provider_is_safe(cls, value: str | None) -> str | None:
        if value is not None and not is_safe_address(value):
            raise ValueError("GLITCH_OIDC_ISSUER must start with https://")
        return value

    @property
    def audience_of_scitokens(self) -> tuple[str, ...]:
        """Accepted audiences of a SciToken."""
        return self.scitoken_audience or ((self.public_url,) if self.public_url else ())

    @property
    def base_url(self) -> str:
        """The public address of the service according to the settings, without a trailing slash."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the service listens on the loopback interface only."""
        return _is_loopback(self.host)

    @property
    def has_public_search(self) -> bool:
        """Whether the similarity search answers without a token."""
        if self.public_search is not None:
            return self.public_search
        # A public address implies a reverse proxy on this machine, through which others connect.
        return self.is_loopback and self.public_url is None

    @property
    def max_upload_bytes(self) -> int:
        return int(self.max_upload_mb * 1_000_000)

    @property
    def max_batch_bytes(self) -> int:
        return int(self.max_batch_mb * 1_000_000)

    @property
    def max_batch_unpacked_bytes(self) -> int:
        return int(self.max_batch_unpacked_mb * 1_000_000)
