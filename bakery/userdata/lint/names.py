"""The names of the findings of `--check`, besides those of tokens, Start expressions and clouds."""

from __future__ import annotations

NAMES = (
    *("empty", "utf-16", "bom", "nul-byte", "not-utf8", "crlf"),
    *("leading-blank", "unknown-header", "base64-text", "broken-gzip", "gzip-twice"),
    *(
        "relative-shebang",
        "shell-syntax",
        "sh-syntax",
        "unchecked-script",
        "open-heredoc",
        "unquoted-heredoc",
    ),
    *("bad-shebang", "sh-syntax", "unset-variable", "not-judged"),
    *("world-readable", "traced-token", "token-on-command-line", "templated-conf", "late-conf"),
    *(
        "yaml-syntax",
        "yaml-alias",
        "not-a-mapping",
        "not-a-list",
        "not-a-command",
        "duplicate-key",
        "unknown-key",
        "schema",
    ),
    *("bad-write-files", "bad-encoding", "octal-mode", "bad-mode", "bad-include"),
    *("broken-multipart", "unknown-part", "part-mismatch", "merge-lost"),
    *("missing-key", "unknown-conf-key", "repeated-key", "misspelled-key", "broken-line", "bad-value"),
    "several-tokens",
    *("bad-start", "placeholder-project"),
)
