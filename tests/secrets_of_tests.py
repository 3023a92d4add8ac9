"""Secrets made for tests: an example of each kind, new in each run. None is a secret of anybody."""

from __future__ import annotations

import base64
import json
import secrets
import string
from collections.abc import Mapping
from functools import cache

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat

_BASE64 = string.ascii_letters + string.digits + "+/"
_CRYPT = string.ascii_letters + string.digits + "./"
_WORD = string.ascii_letters + string.digits


def random(length: int, alphabet: str = _WORD) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def token(subject: str = "worker@cloud") -> bytes:
    """A token like those of HTCondor, with a new signature."""
    claims = {"sub": subject, "iss": "pool.example.org", "iat": 1700000000, "jti": secrets.token_hex(16)}
    return jwt.encode(claims, secrets.token_bytes(32), headers={"kid": "POOL"}).encode()


def pem(form: PrivateFormat = PrivateFormat.PKCS8, password: bytes = b"") -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, form, hidden)


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def rsa_key(encoding: Encoding = Encoding.PEM, traditional: bool = False) -> bytes:
    """The RSA key of this run."""
    form = PrivateFormat.TraditionalOpenSSL if traditional else PrivateFormat.PKCS8
    return _rsa_key().private_bytes(encoding, form, serialization.NoEncryption())


def public_key() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def password_hash(form: str = "y") -> bytes:
    """Of crypt(5): yescrypt, sha512crypt, sha256crypt, md5crypt or bcrypt."""
    salted = {
        "y": f"$y$j9T${random(22, _CRYPT)}${random(43, _CRYPT)}",
        "6": f"$6${random(16, _CRYPT)}${random(86, _CRYPT)}",
        "6r": f"$6$rounds=656000${random(16, _CRYPT)}${random(86, _CRYPT)}",
        "5": f"$5${random(16, _CRYPT)}${random(43, _CRYPT)}",
        "1": f"$1${random(8, _CRYPT)}${random(22, _CRYPT)}",
        "2b": f"$2b$12${random(53, _CRYPT)}",
    }
    return f"root:{salted[form]}:19000:0:99999:7:::".encode()


def clouds_yaml() -> bytes:
    return f"""clouds:
  site:
    auth:
      auth_url: https://keystone.example.org:5000/v3
      username: baker
      password: {random(16)}
      project_name: workers
""".encode()


def service_account() -> bytes:
    key = {"type": "service_account", "project_id": "p", "private_key_id": secrets.token_hex(20)}
    return json.dumps({**key, "private_key": rsa_key().decode(), "client_email": "a@b"}).encode()


def examples() -> Mapping[str, tuple[bytes, ...]]:
    """Texts with a secret of each kind, by the names of bakery.verify.secrets.kinds."""
    aws_secret, openssh = random(40, _BASE64), PrivateFormat.OpenSSH
    return {
        "a token (JWT)": (token(), b"Token = " + token() + b"\n"),
        "a private key": (
            pem(),
            pem(openssh),
            pem(password=b"of a test"),
            rsa_key(traditional=True),
            json.dumps({"key": pem().decode()}).encode(),
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0011\n\n"
            + rsa_key(traditional=True).split(b"\n", 1)[1],
            pem().replace(b"\n", b"\r\n"),
        ),
        "a private key (DER)": (rsa_key(Encoding.DER),),
        "a private key (PuTTY)": (
            b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: of a test\nPublic-Lines: 2\n"
            b"AAAA\nPrivate-Lines: 1\n" + random(48, _BASE64).encode(),
        ),
        "a token or a private key in base64": (
            *(base64.b64encode(b"x" * shift + text) for text in (token(), pem()) for shift in range(3)),
            base64.encodebytes(rsa_key()),
        ),
        "a password hash": tuple(password_hash(form) for form in ("y", "6", "6r", "5", "1", "2b")),
        "an AWS access key": (
            b"aws_access_key_id = AKIA" + random(16, string.ascii_uppercase).encode(),
            b'"ASIA' + random(16, string.ascii_uppercase + "234567").encode() + b'"',
        ),
        "an AWS secret key": (
            f"aws_secret_access_key = {aws_secret}\n".encode(),
            f"export AWS_SECRET_ACCESS_KEY={aws_secret}\n".encode(),
            f'"SecretAccessKey" : "{aws_secret}"'.encode(),
        ),
        "a Google service account": (service_account(),),
        "a Google access token": (f"Bearer ya29.{random(60)}".encode(),),
        "a Google API key": (f"key=AIza{random(35)}\n".encode(),),
        "an OAuth refresh token": (f'{{"refresh_token": "1//0{random(40)}"}}'.encode(),),
        "an Azure key": (
            f"AccountName=a;AccountKey={random(86, _BASE64)}==;".encode(),
            f"SharedAccessKey={random(43, _BASE64)}=".encode(),
        ),
        "an Azure client secret": (
            f"export AZURE_CLIENT_SECRET='{random(34)}'".encode(),
            f"ARM_CLIENT_SECRET={random(34)}".encode(),
            f'"clientSecret": "{random(34)}"'.encode(),
        ),
        "an OpenStack application credential": (
            f'application_credential_secret: "{random(50)}"'.encode(),
            f"export OS_APPLICATION_CREDENTIAL_SECRET={random(50)}".encode(),
        ),
        "an OpenStack password": (f"export OS_PASSWORD='{random(12)}'".encode(), b"OS_TOKEN=" + token()),
        "an OpenStack password (clouds.yaml)": (
            clouds_yaml(),
            f"auth:\n  username: u\n  password: {random(9)}\n  project_name: p\n  auth_url: http://k\n".encode(),
        ),
        "an OpenStack token (Fernet)": (f"X-Auth-Token: gAAAAA{random(170)}".encode(),),
        "a GitHub token": (f"ghp_{random(36)}".encode(), f"github_pat_{random(82)}".encode()),
        "a GitLab token": (f"glpat-{random(20)}".encode(),),
        "a registry password": (f'{{"auths": {{"r.example.org": {{"auth": "{random(24)}"}}}}}}'.encode(),),
        "a password (netrc)": (
            f"machine mirror.example.org login baker password {random(12)}\n".encode(),
            f"machine h\n  login u\n  password {random(12)}\n".encode(),
        ),
        "a public key of ssh": (public_key() + b" baker@build", b"host " + public_key()),
        "a proxy of the build host": (
            b'Acquire::http::Proxy "http://proxy.example.org:3142";',
            b'Acquire::https::mirror.example.org::proxy "http://10.0.0.1:3128/";',
            b'Acquire { http { Proxy "http://10.0.0.1:3128"; }; };',
            b"export http_proxy=http://10.0.0.1:3128\n",
            b'HTTPS_PROXY="http://user@proxy.example.org:8080"\n',
            b"[main]\nproxy = http://10.0.0.1:3128\n",
            b"proxy=socks5h://10.0.0.1:1080\n",
            b'{"proxies": {"default": {"httpProxy": 1, "proxy": "http://10.0.0.1:3128"}}}',
        ),
    }
