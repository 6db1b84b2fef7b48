"""Login and logout at an OpenID Connect provider: code flow with PKCE; groups give the role."""

from typing import Any

import jwt
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from app.core.access import LONGEST_NAME, Principal, parse_role
from app.core.errors import IssuerUnreachableError, PermissionDeniedError, UnauthenticatedError
from app.core.fetching import UNREACHED, as_json, fetch
from app.core.settings import Settings, is_safe_address
from app.core.sign_on import Attempt
from app.issuers.keys import LONGEST_TOKEN, SKEW_S, Issuer

_PATIENCE_S = 5.0
_MAX_BYTES = 1_000_000


class LoginProvider:
    """The login provider in the settings, in which ``oidc_issuer`` must be set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._issuer = Issuer(settings.oidc_issuer or "")
        secret = settings.oidc_client_secret
        self._secret = secret.get_secret_value() if secret else None
        self._roles = {group: parse_role(role) for group, role in settings.oidc_roles.items()}

    def begin(self, return_url: str) -> tuple[str, Attempt]:
        """Return the provider's address for the browser, and the attempt that it keeps.

        Raises:
            IssuerUnreachableError: if the provider cannot be reached.
        """
        attempt = Attempt(generate_token(32), generate_token(32), generate_token(64))
        parameters = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": return_url,
            "scope": self._settings.oidc_scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        endpoint = self._endpoint("authorization_endpoint")
        return str(add_params_to_uri(endpoint, list(parameters.items()))), attempt

    def finish(self, return_url: str, code: str, attempt: Attempt) -> tuple[Principal, str]:
        """Exchange the code with which a person returned for that person and their ID token.

        The caller must have compared the state before.

        Raises:
            UnauthenticatedError: if the provider rejects the code or does not identify the person.
            PermissionDeniedError: if none of their groups has a role here.
            IssuerUnreachableError: if the provider cannot be reached.
        """
        claims, token = self._claims(return_url, code, attempt)
        name = claims.get(self._settings.oidc_name_claim)
        if (
            not isinstance(name, str)
            or not 1 <= len(name) <= LONGEST_NAME
            or not name.isprintable()
        ):
            raise UnauthenticatedError(
                f"{self._issuer.url} gave no {self._settings.oidc_name_claim} of 1 to "
                f"{LONGEST_NAME} printable characters: tell the operator."
            )
        claim = claims.get(self._settings.oidc_groups_claim, [])
        groups = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
        roles = [
            self._roles[name] for name in groups if isinstance(name, str) and name in self._roles
        ]
        if not roles:
            raise PermissionDeniedError(
                f"{name} is in no group that may use this service: ask the operator which groups "
                "may, or log in with a token."
            )
        return Principal(None, f"{name} ({self._issuer.label})", max(roles)), token

    def logout_address(self, return_url: str, id_token: str | None) -> str | None:
        """Return the address that ends a session at the provider (RP-Initiated Logout 1.0).

        Without the session's ID token the provider may ask for confirmation.

        Returns:
            The address; None if the provider has none or cannot be reached.
        """
        try:
            address = self._issuer.document().get("end_session_endpoint")
        except IssuerUnreachableError:
            return None
        if not isinstance(address, str) or not is_safe_address(address):
            return None
        parameters = {
            "client_id": self._settings.oidc_client_id,
            "post_logout_redirect_uri": return_url,
            **({"id_token_hint": id_token} if id_token else {}),
        }
        return str(add_params_to_uri(address, list(parameters.items())))

    def _claims(self, return_url: str, code: str, attempt: Attempt) -> tuple[dict[str, Any], str]:
        try:
            answer = self._exchange_code(return_url, code, attempt)
            token = answer.get("id_token")
            if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
                raise UnauthenticatedError(
                    f"{self._issuer.url} did not identify the person: tell the operator."
                )
            claims = self._issuer.verified(token, ("aud", "sub", "iat"))
            client_id = self._settings.oidc_client_id
            CodeIDToken(
                claims,
                jwt.get_unverified_header(token),
                options={"aud": {"essential": True, "value": client_id}},
                params={
                    "nonce": attempt.nonce,
                    "client_id": client_id,
                    "access_token": answer.get("access_token"),
                },
            ).validate(leeway=SKEW_S)
        except (*UNREACHED, ValueError, TypeError) as error:
            raise IssuerUnreachableError(
                f"{self._issuer.url} does not answer ({type(error).__name__}): try again in a "
                "minute, or log in with a token."
            ) from error
        except (AuthlibBaseError, JoseError) as error:
            raise UnauthenticatedError(
                f"{self._issuer.url} did not confirm the login ({str(error)[:200]}): start again."
            ) from error
        return claims, token

    def _endpoint(self, name: str) -> str:
        address = self._issuer.document().get(name)
        if not isinstance(address, str):
            raise IssuerUnreachableError(
                f"{self._issuer.url} publishes no {name}: tell the operator."
            )
        return address

    def _exchange_code(self, return_url: str, code: str, attempt: Attempt) -> dict[str, Any]:
        """Return the provider's response to a code."""
        client_id = self._settings.oidc_client_id or ""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": return_url,
            "code_verifier": attempt.verifier,
            **({} if self._secret else {"client_id": client_id}),
        }
        answer = fetch(
            self._endpoint("token_endpoint"),
            max_bytes=_MAX_BYTES,
            patience_s=_PATIENCE_S,
            headers={"Accept": "application/json"},
            form=form,
            auth=(client_id, self._secret) if self._secret else None,
        )
        if answer.is_server_error:
            answer.raise_for_status()
        content = as_json(answer)
        if not isinstance(content, dict):
            raise TypeError("its answer is no JSON object")
        if "error" in content:
            reason = f"{content['error']}: {content.get('error_description', '')}"
            raise UnauthenticatedError(
                f"{self._issuer.url} did not confirm the login ({reason[:200]}): start again."
            )
        return content
