"""What a secret looks like: the kinds of secrets, each with anchors and a pattern.

An anchor is a literal that every match contains. All anchors are searched at once (`search`); the pattern
is tried around them only, because regular expressions are a hundred times slower.

Sources: RFC 7519 (JWT), RFC 7468 (PEM), crypt(5) (hashes), the rules of gitleaks and detect-secrets for the
key formats of clouds, keystoneauth (Fernet tokens, clouds.yaml, OS_ variables), apt.conf(5), netrc(5).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass


def _always(_found: bytes) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """`name` is for messages. `confirm` decides what the pattern cannot.

    The pattern begins up to `before` bytes before the anchor, and ends up to `after` bytes behind it. A
    longer secret is found, but cut: a token of HTCondor has 400 bytes, an RSA key of 16384 bits 12 KiB.
    """

    name: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    before: int = 0
    after: int = 16 << 10
    confirm: Callable[[bytes], bool] = _always
    is_setting: bool = False  # no secret: a file of the definition may contain it


def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.DOTALL)


# What separates the lines of a PEM text: also in JSON (\n) and in source code.
_BETWEEN = r"""(?:[\s"',+]|\\+[nrt"])"""
_PEM_HEADER = r"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset)[^\n\\]*"
_PEM = (
    r"-----BEGIN (?:[A-Z0-9]+ ){0,2}PRIVATE KEY(?: BLOCK)?-----"
    rf"{_BETWEEN}*+(?:{_PEM_HEADER}{_BETWEEN}++)*+"
    rf"(?:[A-Za-z0-9/+=]{{2,}}+{_BETWEEN}*+)++"
    r"(?:-----END (?:[A-Z0-9]+ ){0,2}PRIVATE KEY(?: BLOCK)?-----)?"
)
_NOT_OF_KEY = re.compile(_PEM_HEADER.encode() + rb"|\\[nrt]|[^A-Za-z0-9/+]")
# The private part of the smallest key, Ed25519 in PKCS #8, has 64 characters.
_SMALLEST_KEY = 60


def _is_key(found: bytes) -> bool:
    """Whether enough of a key follows the header: programs contain headers alone."""
    body = found.split(b"-----")[2]
    return len(_NOT_OF_KEY.sub(b"", body)) >= _SMALLEST_KEY


# A value in a file of settings: not a variable ($PASSWORD), not a placeholder (<password>).
_VALUE = r"""["']?\s*[:=]\s*["']?(?![$<{%%*])[^\s"']{%d,}"""
_ASSIGNED = _VALUE % 4
_CRYPT = (
    r"\$(?:y|gy|7)\$[./A-Za-z0-9]{1,20}\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}"
    r"|\$6\$(?:rounds=\d+\$)?[^$:\s]{1,16}\$[./A-Za-z0-9]{86}"
    r"|\$5\$(?:rounds=\d+\$)?[^$:\s]{1,16}\$[./A-Za-z0-9]{43}"
    r"|\$1\$[^$:\s]{1,8}\$[./A-Za-z0-9]{22}"
    r"|\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"
)
_B64 = "[A-Za-z0-9/+]"
_URL = r"""["']?(?:https?|socks\w*)://[^\s"'$<]{3,}"""
_PROXY = (
    r"""(?:(?<![\w.-])(?:(?:https?|ftp|all|HTTPS?|FTP|ALL)_)?(?:proxy|PROXY)["']?[ \t]*[:=][ \t]*"""
    rf"|(?:Acquire::(?:https?|ftp)::(?:[\w.-]+::)*(?:P|p)roxy|(?<![\w.-])Proxy)\s+){_URL}"
)


def _in_base64(text: bytes) -> tuple[bytes, ...]:
    """How a text looks in base64, for each of the three positions in a group at which it can begin."""
    return tuple(
        base64.b64encode(bytes(shift) + text)[-(-shift * 8 // 6) : (shift + len(text)) * 8 // 6]
        for shift in range(3)
    )


def _has_secret_in_base64(found: bytes) -> bool:
    """Whether the decoded text contains a token or a private key."""
    run = b"".join(found.split())
    for offset in range(4):
        whole = run[offset : offset + (len(run) - offset) // 4 * 4]
        decoded = base64.b64decode(whole)
        if any(kind.pattern.search(decoded) for kind in (TOKEN, PRIVATE_KEY)):
            return True
    return False


TOKEN = Kind(
    "a token (JWT)",
    (b".eyJ",),
    _compiled(r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)?"),
    before=2000,
)
PRIVATE_KEY = Kind("a private key", (b"PRIVATE KEY",), _compiled(_PEM), 40, confirm=_is_key)
# rsaEncryption and the octet string of PKCS #8; a public key has a bit string.
_RSA_PRIVATE = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82"
# Beginnings of headers of tokens, as JWT libraries write them.
_HEADERS = (b"eyJhbGciOi", b"eyJ0eXAiOi")

KINDS: tuple[Kind, ...] = (
    TOKEN,
    PRIVATE_KEY,
    Kind(
        "a private key (DER)",
        (_RSA_PRIVATE,),
        re.compile(re.escape(_RSA_PRIVATE) + rb"..\x30\x82..\x02\x01\x00\x02", re.DOTALL),
    ),
    Kind(
        "a private key (PuTTY)",
        (b"PuTTY-User-Key-File-",),
        _compiled(r"PuTTY-User-Key-File-\d: .{10,4000}?Private-Lines: \d+"),
    ),
    Kind(
        "a token or a private key in base64",
        tuple(each for text in (b"-----BEGIN ", *_HEADERS) for each in _in_base64(text)),
        _compiled(r"[A-Za-z0-9+/]{0,200}(?:[A-Za-z0-9+/]{20,}={0,2}\s{0,20})+"),
        200,
        confirm=_has_secret_in_base64,
    ),
    Kind(
        "a password hash",
        (b"$y$", b"$gy$", b"$7$", b"$6$", b"$5$", b"$1$", b"$2a$", b"$2b$", b"$2y$"),
        _compiled(_CRYPT),
    ),
    Kind(
        "an AWS access key",
        (b"AKIA", b"ASIA"),
        _compiled(rf"(?<!{_B64})A(?:K|S)IA[A-Z0-9]{{16}}(?!{_B64})"),
    ),
    Kind(
        "an AWS secret key",
        (b"secret_access_key", b"SECRET_ACCESS_KEY", b"SecretAccessKey"),
        _compiled(
            r"""(?:secret_access_key|SECRET_ACCESS_KEY|SecretAccessKey)["']?\s*[:=]\s*["']?"""
            rf"{_B64}{{40}}(?!{_B64})"
        ),
    ),
    Kind(
        "a Google service account",
        (b'"service_account"',),
        _compiled(r'"service_account".{0,4000}?"private_key(?:_id)?"\s*:\s*"[^"]{8,}'),
    ),
    Kind("a Google access token", (b"ya29.",), _compiled(r"ya29\.[\w-]{30,}")),
    Kind("a Google API key", (b"AIza",), _compiled(r"(?<![\w-])AIza[\w-]{35}(?![\w-])")),
    Kind("an OAuth refresh token", (b'"refresh_token"',), _compiled(r'"refresh_token"\s*:\s*"[^"\s]{20,}')),
    Kind(
        "an Azure key",
        (b"AccountKey=", b"SharedAccessKey="),
        _compiled(r"(?:AccountKey=[A-Za-z0-9+/]{86}|SharedAccessKey=[A-Za-z0-9+/]{43})="),
    ),
    Kind(
        "an Azure client secret",
        (b"AZURE_CLIENT_SECRET", b"ARM_CLIENT_SECRET", b'"clientSecret"'),
        _compiled(rf'(?:AZURE_CLIENT_SECRET|ARM_CLIENT_SECRET|"clientSecret){_VALUE % 8}'),
    ),
    Kind(
        "an OpenStack application credential",
        (b"application_credential_secret", b"APPLICATION_CREDENTIAL_SECRET"),
        _compiled(rf"(?:application_credential_secret|APPLICATION_CREDENTIAL_SECRET){_ASSIGNED}"),
    ),
    Kind(
        "an OpenStack password",
        (b"OS_PASSWORD", b"OS_TOKEN"),
        _compiled(rf"OS_(?:PASSWORD|TOKEN){_ASSIGNED}"),
    ),
    Kind(
        "an OpenStack password (clouds.yaml)",
        (b"auth_url",),
        _compiled(
            rf"""auth_url["']?\s*:\s*\S+(?:\s+["']?\w+["']?:[^\n]*){{0,12}}?\s+["']?password{_ASSIGNED}"""
            rf"""|password{_ASSIGNED}[^\n]*(?:\s+["']?\w+["']?:[^\n]*){{0,12}}?\s+["']?auth_url["']?\s*:\s*\S+"""
        ),
        before=1000,
    ),
    Kind("an OpenStack token (Fernet)", (b"gAAAAA",), _compiled(r"(?<![\w-])gAAAAA[\w-]{90,}")),
    Kind(
        "a GitHub token",
        (b"ghp_", b"gho_", b"ghs_", b"ghu_", b"github_pat_"),
        _compiled(r"(?<!\w)(?:gh[psou]_[A-Za-z0-9]{36}|github_pat_\w{60,})(?!\w)"),
    ),
    Kind("a GitLab token", (b"glpat-",), _compiled(r"(?<!\w)glpat-[\w-]{20,}")),
    Kind(
        "a registry password",
        (b'"auths"',),
        _compiled(r'"auths"\s*:\s*\{.{0,2000}?"auth"\s*:\s*"[A-Za-z0-9+/=]{8,}"'),
    ),
    Kind(
        "a password (netrc)",
        (b"machine ",),
        _compiled(r"(?<![!-~])machine\s+\S+\s+login\s+\S+\s+password\s+(?![$<{%*])\S+"),
    ),
    Kind(
        "a public key of ssh",
        (b"ssh-ed25519 AAAA", b"ssh-rsa AAAA", b"ecdsa-sha2-nistp"),
        _compiled(r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+) AAAA[A-Za-z0-9+/]{60,}"),
        is_setting=True,
    ),
    Kind(
        "a proxy of the build host",
        (b"proxy=", b"PROXY=", b"proxy =", b"proxy:", b'proxy":', b"::proxy", b"::Proxy", b'Proxy "http'),
        _compiled(_PROXY),
        before=100,
        after=200,
        is_setting=True,
    ),
)


def anchors() -> Iterator[tuple[bytes, Kind]]:
    """All anchors with their kind. No anchor contains another one."""
    for kind in KINDS:
        for anchor in kind.anchors:
            yield anchor, kind
