"""A login under way; apart from what makes one, whose imports cost every start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """What the browser keeps, signed, until it comes back from the provider."""

    state: str
    nonce: str
    verifier: str  # of PKCE
