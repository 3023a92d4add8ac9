"""Secrets that everybody knows, wherever they are: exceptions from the search, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublicSecret:
    """`text` is a part of the secret that no other secret has."""

    text: bytes
    reason: str


PUBLIC_SECRETS: tuple[PublicSecret, ...] = (
    PublicSecret(b"AKIAIOSFODNN7EXAMPLE", "the access key in the examples of AWS's documentation"),
    PublicSecret(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "the secret key in the same examples"),
    PublicSecret(
        b"SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c", "the signature of the token that jwt.io shows"
    ),
)


def is_public(secret: bytes) -> bool:
    """Whether the secret is one of PUBLIC_SECRETS."""
    return any(known.text in secret for known in PUBLIC_SECRETS)
