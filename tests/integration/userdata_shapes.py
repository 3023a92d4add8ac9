# ruff: noqa: E501 - it is a table
"""Samples of user-data, each with the files that it is meant to write and the expected severity.

test_userdata_effect.py runs them with cloud-init and the shells of a worker image.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Literal

_GOOD = Path(__file__).parent.parent / "golden" / "userdata_check" / "good" / "ours.yaml"
TOKEN = next(line.split()[-1] for line in _GOOD.read_text().splitlines() if "Token = " in line)
CONF = "/etc/osg-worker.conf"
START = 'TARGET.ProjectName == "TG-PHY123456"'
TEXT = f"WorkerGroupName = My Workers\nToken = {TOKEN}\nStart = {START}\n"
Severity = Literal["fine", "warning", "note", "error"]


@dataclass(frozen=True)
class File:
    """An intended file; mode None: any."""

    text: str
    mode: int | None = None


@dataclass(frozen=True)
class Shape:
    """A sample: `files` are the intended files after the boot."""

    name: str
    data: bytes
    severity: Severity
    files: Mapping[str, File] = field(default_factory=lambda: {CONF: File(TEXT)})
    id: str = ""  # of a finding that must occur with this severity

    def __str__(self) -> str:
        return self.name


def shape(name: str, text: str | bytes, severity: Severity = "fine", id: str = "", **files: File) -> Shape:
    data = text if isinstance(text, bytes) else text.encode()
    return (
        Shape(name, data, severity, {CONF: File(TEXT)}, id)
        if not files
        else Shape(name, data, severity, dict(_named(files)), id)
    )


def _named(files: Mapping[str, File]) -> list[tuple[str, File]]:
    return [({"conf": CONF, "other": "/etc/other"}[name], file) for name, file in files.items()]


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in text.splitlines())


def config(more: str = "    permissions: '0600'\n", text: str = TEXT, path: str = CONF) -> str:
    return f"write_files:\n  - path: {path}\n{more}    content: |\n{indented(text, 6)}"


def script(body: str, first: str = "#!/bin/bash") -> str:
    return f"{first}\numask 077\n{body}"


QUOTED = f"cat >{CONF} <<'EOF'\n{TEXT}EOF\n"
SET = f"TOKEN={TOKEN}\nPROJECT=TG-PHY123456\nNAME='My Workers'\n"
USED = 'WorkerGroupName = $NAME\nToken = $TOKEN\nStart = TARGET.ProjectName == "${PROJECT}"\n'
UNQUOTED = f"cat >{CONF} <<EOF\n{USED}EOF\n"
LINES = TEXT.splitlines()
START_LINE = f"Start = {START}"
ESCAPED = "\\$HOME W"
ACCENTED = "Caf\u00e9 W"
YAML = "#cloud-config\n" + config()
SCRIPT = script(QUOTED)


def multipart(*parts: MIMEBase) -> bytes:
    made = MIMEMultipart(boundary="==a-boundary==")
    for part in parts:
        made.attach(part)
    return made.as_bytes()


def part(text: str, kind: str, merge: str = "", name: str = "") -> MIMEBase:
    made = MIMEText(text, kind.partition("/")[2], "utf-8")
    made.replace_header("Content-Type", f'{kind}; charset="utf-8"')
    if merge:
        made["Merge-Type"] = merge
    if name:
        made.add_header("Content-Disposition", "attachment", filename=name)
    return made


def packed(data: bytes, kind: str) -> MIMEBase:
    made = MIMEBase(*kind.split("/"))
    made.set_payload(base64.encodebytes(data).decode())
    made["Content-Transfer-Encoding"] = "base64"
    return made


APPEND = "list(append)+dict(no_replace,recurse_list)+str()"
OTHER = "#cloud-config\nwrite_files:\n  - {path: /etc/other, content: hello}\n"

HEADERS = [
    shape("plain cloud-config", YAML),
    shape("header in upper case", YAML.replace("#cloud-config", "#Cloud-Config")),
    shape("header with a comment", YAML.replace("#cloud-config", "#cloud-config # my file")),
    shape("header with a suffix", YAML.replace("#cloud-config", "#cloud-configuration")),
    shape("empty lines before the header", "\n\n" + YAML),
    shape("blanks before the header", "  " + YAML),
    shape("a no-break space before the header", "\u00a0\n" + YAML, "error", "yaml-syntax"),
    shape("header after a comment", "# mine\n" + YAML, "error", "unknown-header"),
    shape("header that contains a blank", YAML.replace("#cloud", "# cloud"), "error", "unknown-header"),
    shape("no header", config(), "error", "unknown-header"),
    shape("byte order mark", b"\xef\xbb\xbf" + YAML.encode(), "error", "bom"),
    shape("UTF-16", YAML.encode("utf-16"), "error", "utf-16"),
    shape(
        "latin-1 in a cloud-config", YAML.replace("My W", ACCENTED).encode("latin-1"), "error", "not-utf8"
    ),
    shape("latin-1 in a script", SCRIPT.replace("My W", ACCENTED).encode("latin-1"), "error", "not-utf8"),
    shape("CR LF in a cloud-config", YAML.replace("\n", "\r\n"), "warning", "crlf"),
    shape("CR LF in a script", SCRIPT.replace("\n", "\r\n"), "warning", "crlf"),
    shape(
        "CR LF in a script except in its first line",
        script(QUOTED).replace("\n", "\r\n").replace("\r\n", "\n", 1),
        "warning",
        "crlf",
    ),
    shape("plain script", SCRIPT),
    shape("script after empty lines", "\n\n" + SCRIPT, "error", "leading-blank"),
    shape("script after a blank", " " + SCRIPT, "error", "leading-blank"),
    shape("script without #!", script(QUOTED, "# mine"), "error", "unknown-header"),
    shape("script with env", script(QUOTED, "#!/usr/bin/env bash")),
    shape("script with a blank after #!", script(QUOTED, "#! /bin/sh")),
    shape("script with one option", script(QUOTED, "#!/bin/bash -e")),
    shape("script with two options", script(QUOTED, "#!/bin/bash -e -u"), "error", "bad-shebang"),
    shape(
        "script with env and an option", script(QUOTED, "#!/usr/bin/env bash -e"), "error", "bad-shebang"
    ),
    shape("script with env -S", script(QUOTED, "#!/usr/bin/env -S bash -e")),
    shape("NUL byte in a script", SCRIPT.replace("Token =", "Token\0 ="), "warning", "nul-byte"),
    shape("NUL byte in a cloud-config", YAML.replace("Token =", "Token\0 ="), "error", "nul-byte"),
    shape("gzip", gzip.compress(YAML.encode())),
    shape("gzip of a script", gzip.compress(SCRIPT.encode())),
    shape("gzip in gzip", gzip.compress(gzip.compress(YAML.encode())), "error", "gzip-twice"),
    shape("truncated gzip", gzip.compress(YAML.encode())[:-12], "error", "broken-gzip"),
    shape("base64", base64.encodebytes(YAML.encode()), "error", "base64-text"),
    shape("PowerShell", "#ps1_sysnative\n" + QUOTED, "error", "unknown-header"),
    shape("HTML", "<html>Sign in</html>", "error", "unknown-header"),
    shape("empty file", "", "error", "empty"),
]

BOOTHOOKS = [
    shape("boothook", "#cloud-boothook\n" + SCRIPT),
    shape("boothook without #!", "#cloud-boothook\n" + QUOTED, "error", "bad-shebang"),
    shape("boothook in upper case", "#Cloud-Boothook\n" + SCRIPT, "error", "bad-shebang"),
    shape("boothook after an empty line", "\n#cloud-boothook\n" + SCRIPT, "error", "bad-shebang"),
    shape("boothook with a comment", "#cloud-boothook # mine\n" + SCRIPT, "error", "bad-shebang"),
    shape("include that is not a URL", "#include\nmy-script.sh\n", "error", "bad-include"),
]

TEMPLATES = [
    shape("template", "## template: jinja\n" + YAML, "warning", "templated-conf"),
    shape("template of a script", "## template: jinja\n" + SCRIPT, "warning", "templated-conf"),
    shape("template in upper case", "## Template: Jinja\n" + YAML, "warning", "templated-conf"),
    shape("template after an empty line", "\n## template: jinja\n" + YAML, "error", "leading-blank"),
    shape("template of jinja2", "## template: jinja2\n" + YAML, "error", "leading-blank"),
    shape("template without a header", "## template: jinja\n" + config(), "error", "unknown-header"),
    shape("template with a value", "## template: jinja\n" + YAML.replace("My Workers", "{{ v1.instance_id }}"), "note",
        "not-judged", conf=File(TEXT.replace("My Workers", "i-1"))),
    shape("template with a loop", "## template: jinja\n" + YAML + "{% for x in [] %}\n{% endfor %}\n", "note", "not-judged"),
]  # fmt: skip

MODE = File(TEXT, 0o600)
WRITE_FILES = [
    shape("permissions in quotes", YAML, conf=MODE),
    shape("permissions with a zero", "#cloud-config\n" + config("    permissions: 0600\n"), "warning", "octal-mode", conf=MODE),
    shape("permissions without a zero", "#cloud-config\n" + config("    permissions: 600\n"), "error", "octal-mode", conf=MODE),
    shape("permissions 400", "#cloud-config\n" + config("    permissions: 400\n"), "error", "octal-mode", conf=File(TEXT, 0o400)),
    shape("permissions 0o600", "#cloud-config\n" + config("    permissions: 0o600\n"), conf=MODE),
    shape("permissions 0o600 in quotes", "#cloud-config\n" + config("    permissions: '0o600'\n"), conf=MODE),
    shape("permissions in short", "#cloud-config\n" + config("    permissions: '600'\n"), conf=MODE),
    shape("permissions in letters", "#cloud-config\n" + config("    permissions: rw-------\n"), "error", "bad-mode", conf=MODE),
    shape("permissions for everybody", "#cloud-config\n" + config("    permissions: '0644'\n"), "warning", "world-readable", conf=File(TEXT, 0o644)),
    shape("no permissions", "#cloud-config\n" + config(""), "warning", "world-readable"),
    shape("relative path", "#cloud-config\n" + config(path="etc/osg-worker.conf"), "warning", "bad-write-files"),
    shape("path with dots", "#cloud-config\n" + config(path="/etc/../etc/osg-worker.conf")),
    shape("no path", YAML.replace("path: /etc/osg-worker.conf", "name: x"), "error", "bad-write-files"),
    shape("content without a bar", YAML.replace("content: |", "content:"), "error"),
    shape("deferred", "#cloud-config\n" + config("    permissions: '0600'\n    defer: true\n"), "warning", "late-conf"),
    shape("base64 content", f"#cloud-config\nwrite_files:\n  - path: {CONF}\n    permissions: '0600'\n    encoding: b64\n    content: {base64.b64encode(TEXT.encode()).decode()}\n"),
    shape("gzip and base64 content", f"#cloud-config\nwrite_files:\n  - path: {CONF}\n    permissions: '0600'\n    encoding: gz+b64\n    content: {base64.b64encode(gzip.compress(TEXT.encode())).decode()}\n"),
    shape("content that is not base64", "#cloud-config\n" + config("    permissions: '0600'\n    encoding: b64\n"), "error", "bad-encoding"),
    shape("content that is not gzip", "#cloud-config\n" + config("    permissions: '0600'\n    encoding: gzip\n"), "error", "bad-encoding"),
    shape("unknown encoding", "#cloud-config\n" + config("    permissions: '0600'\n    encoding: rot13\n"), "warning", "bad-encoding"),
    shape("appended", "#cloud-config\n" + config(text="\n".join(LINES[:2])) + config("    permissions: '0600'\n    append: true\n", LINES[2]).partition("\n")[2]),
    shape("not appended", "#cloud-config\n" + config(text="\n".join(LINES[:2])) + config("", LINES[2]).partition("\n")[2], "error", "missing-key"),
    shape("misspelled write_files", YAML.replace("write_files", "write-files"), "error", "unknown-key"),
    shape("unknown key beside", YAML + "pakages: [htop]\n", "warning", "unknown-key"),
    shape("twice write_files", YAML + "write_files:\n  - {path: /etc/other, content: hello}\n", "error", "duplicate-key"),
    shape("duplicate key with the same value", YAML + "timezone: UTC\ntimezone: UTC\n", "warning", "duplicate-key"),
    shape("write_files is not a list", "#cloud-config\n" + config().replace("  - path", "    path"), "error", "not-a-list"),
    shape("a value against the schema", YAML + "package_update: perhaps\n"),
    shape("packages is a string", YAML + "packages: htop\n", "warning", "not-a-list"),
    shape("not a mapping", "#cloud-config\n- write_files\n", "error", "not-a-mapping"),
    shape("tab", YAML.replace("    content", "\tcontent"), "error", "yaml-syntax"),
    shape("anchor", "#cloud-config\nx-text: &text |\n" + indented(TEXT, 2) + f"write_files:\n  - path: {CONF}\n    permissions: '0600'\n    content: *text\n", "warning", "unknown-key"),
]  # fmt: skip

COMMANDS = [
    shape("runcmd with a here-document", "#cloud-config\nruncmd:\n  - umask 077\n  - |\n" + indented(QUOTED, 4)),
    shape("runcmd with echo", f"#cloud-config\nruncmd:\n  - umask 077\n  - 'echo \"Token = {TOKEN}\" >{CONF}'\n  - |\n    echo 'Start = {START}' >>{CONF}\n", conf=File(f"Token = {TOKEN}\nStart = {START}\n")),
    shape("runcmd without Start", f"#cloud-config\nruncmd:\n  - umask 077\n  - 'echo \"Token = {TOKEN}\" >{CONF}'\n", "error", "missing-key"),
    shape("bootcmd", "#cloud-config\nbootcmd:\n  - umask 077\n  - |\n" + indented(QUOTED, 4)),
    shape("bootcmd, then write_files", "#cloud-config\nbootcmd:\n  - echo old >/etc/osg-worker.conf\n" + config()),
    shape("write_files, then runcmd on it", YAML + f"runcmd:\n  - [rm, -f, {CONF}]\n  - [sh, -c, \"umask 077; echo 'Token = x' >{CONF}\"]\n", "error"),
    shape("runcmd of a list", f"#cloud-config\nruncmd:\n  - [cp, /root/x, {CONF}]\n" + config(path="/root/x")),
    shape("runcmd of sh -c", "#cloud-config\nruncmd:\n  - - sh\n    - -c\n    - |\n" + indented("umask 077\n" + QUOTED, 6), "warning", "token-on-command-line"),
    shape("runcmd is a string", "#cloud-config\nruncmd: cat /etc/hostname >/etc/other\n", "error", "not-a-list", other=File("")),
    shape("runcmd with a number", YAML.replace(CONF, "/root/x") + f"runcmd:\n  - cp /root/x {CONF}\n  - 5\n", "error", "not-a-command"),
    shape("runcmd runs a file of write_files", "#cloud-config\n" + config("    permissions: '0700'\n", SCRIPT, "/root/setup.sh") + "runcmd: [/root/setup.sh]\n", "fine"),
    shape("runcmd edits the file", YAML.replace("My Workers", "@NAME@") + f"runcmd:\n  - sed -i 's/@NAME@/My Workers/' {CONF}\n", "note", "not-judged"),
    shape("runcmd restarts only", YAML + "runcmd:\n  - [systemctl, restart, condor]\n"),
]  # fmt: skip

PARTS = [
    shape("one part", multipart(part(YAML, "text/cloud-config"))),
    shape("script and cloud-config", multipart(part("#!/bin/sh\n:\n", "text/x-shellscript"), part(YAML, "text/cloud-config"))),
    shape("part by its content", multipart(part(YAML, "text/plain"))),
    shape("cloud-config as a script", multipart(part(YAML, "text/x-shellscript"))),
    shape("script as a cloud-config", multipart(part(SCRIPT, "text/cloud-config")), "error", "part-mismatch"),
    shape("cloud-config without a header", multipart(part(config(), "text/cloud-config"))),
    shape("script without #! as a script", multipart(part(QUOTED, "text/x-shellscript")), "error", "part-mismatch"),
    shape("octet-stream", multipart(packed(YAML.encode(), "application/octet-stream")), "error", "unknown-part"),
    shape("gzip as such", multipart(packed(gzip.compress(YAML.encode()), "application/gzip"))),
    shape("gzip as a cloud-config", multipart(packed(gzip.compress(YAML.encode()), "text/cloud-config")), "error"),
    shape("Perl in a part", multipart(part("print 1", "text/x-perl"), part(YAML, "text/cloud-config")), "error", "unknown-part", other=File("1")),
    shape("per boot", multipart(part(SCRIPT, "text/x-shellscript-per-boot"))),
    shape("two cloud-configs", multipart(part(OTHER, "text/cloud-config"), part(YAML, "text/cloud-config", APPEND)), conf=File(TEXT), other=File("hello")),
    shape("two that are not merged", multipart(part(YAML, "text/cloud-config"), part(OTHER, "text/cloud-config")), "error", "merge-lost"),
    shape("two that replace", multipart(part(OTHER, "text/cloud-config"), part(YAML, "text/cloud-config", "dict(no_replace)+list(append)")), "error", "merge-lost"),
    shape("two that merge by themselves", multipart(part(OTHER, "text/cloud-config"), part(YAML + f"merge_how: '{APPEND}'\n", "text/cloud-config"))),
    shape("without MIME-Version", multipart(part(YAML, "text/cloud-config")).replace(b"MIME-Version: 1.0\n", b""), "error", "broken-multipart"),
    shape("without its end", multipart(part(YAML, "text/cloud-config")).replace(b"\n--==a-boundary==--\n", b"\n"), "warning", "broken-multipart"),
    shape("without a boundary", b"Content-Type: multipart/mixed\nMIME-Version: 1.0\n\n" + YAML.encode(), "error", "broken-multipart"),
    shape("8-bit part", f'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/cloud-config; charset="utf-8"\nContent-Transfer-Encoding: 8bit\n\n{YAML.replace("My W", ACCENTED)}\n--b--\n', "error", "not-utf8"),
    shape("script that contains MIME-Version", SCRIPT + "# MIME-Version: 1.0\n"),
    shape("archive", "#cloud-config-archive\n- type: text/cloud-config\n  content: |\n" + indented(YAML, 4)),
    shape("archive of a string", "#cloud-config-archive\n- |\n" + indented(SCRIPT, 2)),
    shape("archive by its content only", "#cloud-config-archive\n- type: text/plain\n  content: |\n" + indented(YAML, 4), "error", "unknown-part"),
    shape("archive that is not a list", "#cloud-config-archive\ncontent: hello\n", "error", "not-a-list"),
    shape("scripts in the order of their names", multipart(part(script(f"sed -n 1,2p /etc/b >/etc/a; echo '{LINES[2]}' >>{CONF}\n"), "text/x-shellscript", name="b.sh"), part(script("printf '%s\\n' '" + "' '".join(LINES[:2]) + f"' >{CONF}\n"), "text/x-shellscript", name="a.sh"))),
]  # fmt: skip

SHELL = [
    shape("variables in a here-document", script(SET + UNQUOTED)),
    shape("variables exported", script(SET.replace("TOKEN=", "export TOKEN=") + UNQUOTED)),
    shape("variable of a variable", script(SET + 'WHOLE="$TOKEN"\n' + UNQUOTED.replace("$TOKEN", "${WHOLE}"))),
    shape("placeholder in a variable", script(SET.replace(TOKEN, "aaabbb...") + UNQUOTED), "error", "placeholder-token"),
    shape("variable that is not set", script(SET.replace("PROJECT=", "PROJEKT=") + UNQUOTED), "error", "unquoted-heredoc"),
    shape("variable with a default", script(SET.replace("NAME=", "NOME=") + UNQUOTED.replace("$NAME", "${NAME:-My Workers}"))),
    shape("token from a command", script(SET.replace(TOKEN, f"$(printf %s {TOKEN})") + UNQUOTED)),
    shape("token from a program", script(f"TOKEN=$(expr {TOKEN} : '\\(.*\\)')\n" + SET.partition("\n")[2] + UNQUOTED), "note", "not-judged"),
    shape("token from a file", script(f"echo {TOKEN} >/root/token\nTOKEN=$(cat /root/token)\n" + SET.partition("\n")[2] + UNQUOTED)),
    shape("name of the host", script(SET + UNQUOTED.replace("$NAME", "$HOSTNAME")), "note", "unquoted-heredoc"),
    shape("escaped dollar", script(f"cat >{CONF} <<EOF\n{TEXT.replace('My W', ESCAPED)}EOF\n"), conf=File(TEXT.replace("My W", "$HOME W"))),
    shape("here-document with tabs", script(f"cat <<-'EOF' >{CONF}\n" + "".join(f"\t{line}\n" for line in LINES) + "\tEOF\n")),
    shape("here-document whose end is indented", script(f"cat >{CONF} <<'EOF'\n{TEXT}  EOF\n"), "error", "open-heredoc"),
    shape("two here-documents", script(f"cat >{CONF} <<'A'; cat >>{CONF} <<'B'\n{LINES[0]}\n{LINES[1]}\nA\n{LINES[2]}\nB\n")),
    shape("echo and echo", script("".join(f"echo '{line}' >>{CONF}\n" for line in LINES))),
    shape("echo in double quotes", script(f'echo "{LINES[0]}" >{CONF}\necho "{LINES[1]}" >>{CONF}\necho "Start = TARGET.ProjectName == \\"TG-PHY123456\\"" >>{CONF}\n')),
    shape("echo overwrites", script("".join(f"echo '{line}' >{CONF}\n" for line in LINES)), "error", "missing-key"),
    shape("echo -e", script(f"echo -e '{LINES[0]}\\n{LINES[1]}\\n{LINES[2]}' >{CONF}\n")),
    shape("echo -e of sh", script(f"echo -e '{LINES[0]}\\n{LINES[1]}\\n{LINES[2]}' >{CONF}\n", "#!/bin/sh"), "note", "not-judged"),
    shape("echo without quotes", script(f"echo {LINES[0]} >{CONF}; echo {LINES[1]} >>{CONF}; echo '{LINES[2]}' >>{CONF}\n")),
    shape("quotes lost by echo", script(f"echo {LINES[1]} >{CONF}; echo Start = TARGET.ProjectName == \"TG-PHY123456\" >>{CONF}\n"), "warning", "unknown-attribute", conf=File(f"Token = {TOKEN}\nStart = TARGET.ProjectName == TG-PHY123456\n")),
    shape("printf", script(f"printf 'WorkerGroupName = %s\\nToken = %s\\n%s\\n' 'My Workers' {TOKEN} '{LINES[2]}' >{CONF}\n")),
    shape("printf that reuses its format", script(f"printf '%s = %s\\n' WorkerGroupName 'My Workers' Token {TOKEN} Start '{START}' >{CONF}\n", "#!/bin/sh")),
    shape("tee", script(f"tee {CONF} >/dev/null <<'EOF'\n{TEXT}EOF\n")),
    shape("echo into tee", script("".join(f"echo '{line}' | tee -a {CONF}\n" for line in LINES))),
    shape("a group", script("{\n" + "".join(f"  echo '{line}'\n" for line in LINES) + f"}} >{CONF}\n")),
    shape("a subshell", script("(\n" + "".join(f"  echo '{line}'\n" for line in LINES) + f") >{CONF}\n")),
    shape("a function", script(f"say() {{ echo \"$1 = $2\" >>{CONF}; }}\nsay WorkerGroupName 'My Workers'\nsay Token {TOKEN}\nsay Start '{START}'\n")),
    shape("a loop over words", script(f"for line in '{LINES[0]}' '{LINES[1]}' '{LINES[2]}'; do echo \"$line\" >>{CONF}; done\n")),
    shape("a loop over the output of a program", script(f"echo '{LINES[1]}' >{CONF}\nfor x in $(seq 3); do :; done\nwhile read -r line; do echo \"$line\" >>{CONF}; done <<'EOF'\n{LINES[0]}\n{LINES[2]}\nEOF\n"), "note", "not-judged"),
    shape("a condition that is known", script(SET + f"if [ -n \"$TOKEN\" ]; then\n{UNQUOTED}fi\n")),
    shape("a condition that is known to be false", script(SET.replace(TOKEN, "''") + f"if [ -z \"$TOKEN\" ]; then\nTOKEN={TOKEN}\nfi\n" + UNQUOTED)),
    shape("good in both branches", script(f"if grep -q nosuch /etc/passwd; then\ncat >{CONF} <<'EOF'\n{TEXT}IdleTimeout = 0\nEOF\nelse\n{QUOTED}fi\n")),
    shape("wrong in one branch", script(f"{QUOTED}if grep -q nosuch /etc/passwd; then\necho 'OnIdle = never' >>{CONF}\nfi\n"), "warning", "bad-value"),
    shape("wrong in both branches", script(f"if grep -q nosuch /etc/passwd; then\necho 'Start = True' >{CONF}\nelse\necho 'Token = {TOKEN}' >{CONF}\nfi\n"), "error", "missing-key"),
    shape("a variable in one branch", script(SET + "if grep -q nosuch /etc/passwd; then NAME=x; fi\n" + UNQUOTED), "note", "not-judged"),
    shape("a guard", script(SET + "[ -n \"$TOKEN\" ] || exit 1\nid -u >/dev/null || exit 1\n" + UNQUOTED)),
    Shape("after exit", script(f"exit 0\n{QUOTED}").encode(), "fine", {}),
    shape("moved into place", script(f"cat >{CONF}.new <<'EOF'\n{TEXT}EOF\nmv {CONF}.new {CONF}\n")),
    shape("installed", script(f"install -m 600 /dev/stdin {CONF} <<'EOF'\n{TEXT}EOF\n"), conf=MODE),
    shape("made private later", f"#!/bin/bash\n{QUOTED}chmod go= {CONF}\n", conf=MODE),
    shape("never private", f"#!/bin/bash\n{QUOTED}", "warning", "world-readable"),
    shape("a path in a variable", script(f"conf={CONF}\ncat >\"$conf\" <<'EOF'\n{TEXT}EOF\n")),
    shape("in its folder", script(f"cd /etc\ncat >osg-worker.conf <<'EOF'\n{TEXT}EOF\n")),
    shape("base64 in a pipe", script(f"echo {base64.b64encode(TEXT.encode()).decode()} | base64 -d >{CONF}\n")),
    shape("sed fills it in", script(f"{QUOTED.replace('My Workers', '@NAME@')}sed -i 's/@NAME@/My Workers/' {CONF}\n"), "note", "not-judged"),
    shape("sed with the token", script(f"TOKEN={TOKEN}\n{QUOTED.replace(TOKEN, '@TOKEN@')}sed -i \"s/@TOKEN@/$TOKEN/\" {CONF}\n"), "note", "not-judged"),
    shape("sourced", script(f"echo 'TOKEN={TOKEN}' >/root/env\n. /root/env\n" + SET.partition("\n")[2] + UNQUOTED)),
    shape("sourced from elsewhere", script(SET + ". /etc/os-release\n" + UNQUOTED.replace("$NAME", "$ID")), "note", "not-judged"),
    shape("here-string", script(f"cat >{CONF} <<<\"{LINES[0]}\"\ncat >>{CONF} <<<'{LINES[1]}'\ncat >>{CONF} <<<'{LINES[2]}'\n")),
    shape("bash -c", script(f"bash -c \"echo '{LINES[0]}' >{CONF}\"\necho '{LINES[1]}' >>{CONF}; echo '{LINES[2]}' >>{CONF}\n")),
    shape("eval", script(f"eval \"echo '{LINES[0]}' >{CONF}\"\necho '{LINES[1]}' >>{CONF}; echo '{LINES[2]}' >>{CONF}\n")),
    shape("traced", script(f"set -x\n{SET}{UNQUOTED}"), "warning", "traced-token"),
    shape("syntax error", script(f"if true; then\n{QUOTED}"), "error", "shell-syntax"),
    shape("former key names", script(QUOTED.replace("Token =", "TOKEN =").replace("Start =", "START ="))),
    shape("former name of WorkerGroupName", script(QUOTED.replace("WorkerGroupName", "OSG_WORKER_NAME")), "error", "unknown-conf-key"),
    shape("misspelled WorkerGroupName", script(QUOTED.replace("WorkerGroupName", "WorkerGroup")), "error", "unknown-conf-key"),
    shape("an unknown key", script(QUOTED.replace("Token =", "Colour = blue\nToken =")), "warning", "unknown-conf-key"),
    shape("key in another case", script(QUOTED.replace("WorkerGroupName", "workergroupname")), "warning", "misspelled-key"),
    shape("repeated key", script(QUOTED.replace("Start =", "Start = False\nStart =")), "warning", "repeated-key"),
    shape("CR LF in the here-document only", script(f"cat >{CONF} <<'EOF'\n" + TEXT.replace("\n", "\r\n") + "EOF\n"), "warning", "crlf"),
]  # fmt: skip

PYTHON = [
    shape("Python", f"#!/usr/bin/env python3\nimport os\nos.umask(0o077)\nwith open({CONF!r}, 'w') as f:\n    f.write({TEXT!r})\n"),
    shape("Python without Start", f"#!/usr/bin/python3\nimport os\nos.umask(0o077)\nopen({CONF!r}, 'w').write({LINES[1]!r})\n", "error", "missing-key"),
    shape("Python with names", f"#!/usr/bin/python3\nimport os\nTOKEN = {TOKEN!r}\nNAME = 'My Workers'\nos.umask(0o077)\nwith open({CONF!r}, 'w') as f:\n    print(f'WorkerGroupName = {{NAME}}', file=f)\n    print('Token =', TOKEN, file=f)\n    f.write({LINES[2]!r} + '\\n')\n"),
    shape("Python with pathlib", f"#!/usr/bin/python3\nfrom pathlib import Path\nPath({CONF!r}).write_text({TEXT!r})\nPath({CONF!r}).chmod(0o600)\n", conf=MODE),
    shape("Python with logic", f"#!/usr/bin/python3\nlines = {LINES!r}\nwith open({CONF!r}, 'w') as f:\n    for line in lines:\n        f.write(line + '\\n')\n", "note", "not-judged"),
    shape("Python in a shell", script(f"python3 - <<'EOF'\nopen({CONF!r}, 'w').write({TEXT!r})\nEOF\n")),
    shape("Python with subprocess", f"#!/usr/bin/python3\nimport subprocess\nsubprocess.run(['tee', {CONF!r}], input={TEXT!r}, text=True)\n", "note", "not-judged"),
    shape("Perl", f"#!/usr/bin/perl\nopen(F, '>', '{CONF}'); print F <<'EOF';\n{TEXT}EOF\n", "note", "not-judged"),
]  # fmt: skip

SHAPES = [*HEADERS, *BOOTHOOKS, *TEMPLATES, *WRITE_FILES, *COMMANDS, *PARTS, *SHELL, *PYTHON]
