from __future__ import annotations

import base64
import json

from provisioner.process.scrub import hide, scrub


def part(**claims: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def test_complete_and_truncated_tokens_are_replaced() -> None:
    token = f"{part(alg='HS256', kid='POOL')}.{part(sub='worker@cloud')}.c2lnbmF0dXJl"
    assert scrub(f"a {token} b") == "a [token] b"
    assert scrub(f"a {token[:-3]}") == "a [token]"
    assert "c2lnbmF0dXJl" not in scrub(f"Token = {token}\n")


def test_known_secrets_are_replaced() -> None:
    hide("correct horse battery")
    assert scrub("said: correct horse battery!") == "said: [secret]!"


def test_other_text_does_not_change() -> None:
    text = "Setting up eyes (1.0) … key.json.bak"
    assert scrub(text) == text
