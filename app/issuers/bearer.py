"""SciTokens as bearer tokens: the caller, and the role given by the scopes.

An ``Enforcer`` of the SciTokens library is not thread-safe, so each token gets its own. It checks
issuer, audience and scopes. Signature and times are checked before, with a tolerance for clock
differences that the library lacks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import jwt
from scitokens import Enforcer, SciToken
from scitokens.scitokens import EnforcementError, ValidationFailure

from app.core.access import LONGEST_NAME, Principal, Role, parse_role
from app.core.errors import PermissionDeniedError, ServiceError, UnauthenticatedError
from app.core.settings import Settings
from app.issuers.keys import LONGEST_TOKEN, Issuer

_TIMES = ("exp", "nbf", "iat")
_log = logging.getLogger("app.access")


class SciTokens:
    """Verifies SciTokens of the issuers that the operator trusts.

    A token's ``aud`` must contain one of ``audience``. ``roles`` gives the role of each scope.
    """

    def __init__(
        self, issuers: tuple[str, ...], audience: tuple[str, ...], roles: Mapping[str, Role]
    ) -> None:
        self._issuers = {url: Issuer(url) for url in issuers}
        self._audience = list(audience)
        self._roles = dict(roles)

    @classmethod
    def of(cls, settings: Settings) -> SciTokens:
        """Create the verifier from the settings."""
        roles = {scope: parse_role(role) for scope, role in settings.scitoken_roles.items()}
        return cls(settings.scitoken_issuers, settings.audience_of_scitokens, roles)

    def principal(self, token: str) -> Principal:
        """Return the holder of a token; the name consists of the token's subject and issuer.

        Raises:
            UnauthenticatedError: if the token is not valid here; the message says why.
            PermissionDeniedError: if its scopes permit nothing here.
            IssuerUnreachableError: if the issuer's keys cannot be fetched.
        """
        try:
            issuer = self._issuer_of(token)
            claims = issuer.verified(token, ("aud", "sub"))
            subject = str(claims["sub"])
            if not 1 <= len(subject) <= LONGEST_NAME or not subject.isprintable():
                raise UnauthenticatedError(
                    f"The token's subject must have 1 to {LONGEST_NAME} printable characters."
                )
            return Principal(None, f"{subject} ({issuer.label})", self._role(issuer, claims))
        except ServiceError as refusal:
            _log.info("SciToken refused: %s", refusal)
            raise

    def _issuer_of(self, token: str) -> Issuer:
        if len(token) > LONGEST_TOKEN:
            raise UnauthenticatedError(
                f"The token is over {LONGEST_TOKEN:,} characters: get one with fewer scopes."
            )
        try:
            claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.InvalidTokenError:
            raise UnauthenticatedError("The token is damaged: get a new one.") from None
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None:
            raise UnauthenticatedError(
                f"Tokens of the issuer {str(claimed)[:200]!r} are not accepted here: get one of "
                f"{' or '.join(self._issuers)}."
            )
        return issuer

    def _role(self, issuer: Issuer, claims: dict[str, Any]) -> Role:
        checked = SciToken()
        checked.update_claims({name: claims[name] for name in claims if name not in _TIMES})
        enforcer = Enforcer(issuer.url, audience=self._audience)
        try:
            scopes = enforcer.generate_acls(checked)
        except (ValidationFailure, EnforcementError) as error:
            raise UnauthenticatedError(
                f"The token is not meant for this service ({str(error)[:300]}): get one for the "
                f"audience {' or '.join(self._audience)}."
            ) from None
        except (TypeError, ValueError, AttributeError):
            raise UnauthenticatedError(
                "The token has a claim of the wrong type: get a new one."
            ) from None
        # A scope limited to a path does not apply, because nothing here has such a path.
        roles = [self._roles[name] for name, path in scopes if name in self._roles and path == "/"]
        if not roles:
            raise PermissionDeniedError(
                f"The token's scopes permit nothing here: get one with {' or '.join(self._roles)}, "
                "without a path."
            )
        return max(roles)
