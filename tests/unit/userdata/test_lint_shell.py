"""The effect of scripts on a worker's file, found out without running them."""

from __future__ import annotations

import pytest

from bakery.userdata.lint import files, python, unknown
from bakery.userdata.lint.shell import builtin, effects, parser
from bakery.userdata.lint.shell.syntax import Unreadable

CONF = "/etc/osg-worker.conf"
LINE = "Token = eyJabcd.efgh.i\n"


def written(text: str, *, posix: bool = False) -> files.Options:
    found = effects.of(text, {}, posix=posix, where="", watched=(CONF,))
    return found.files.get(CONF, files.ABSENT)


def only(text: str) -> str:
    (found,) = written(text)
    assert found
    return found.text


@pytest.mark.parametrize(
    "text",
    [
        f"TOKEN=eyJabcd.efgh.i\ncat >{CONF} <<EOF\nToken = $TOKEN\nEOF\n",
        f"cat <<-'EOF' >{CONF}\n\tToken = eyJabcd.efgh.i\n\tEOF\n",
        f'echo "Token = eyJabcd.efgh.i" >{CONF}',
        f"echo Token   = eyJabcd.efgh.i | tee {CONF}",
        f"printf '%s = %s\\n' Token eyJabcd.efgh.i >{CONF}",
        f"set -- Token eyJabcd.efgh.i; echo $1 = $2 >{CONF}",
        f'say() {{ echo "$1 = $2"; }}; say Token eyJabcd.efgh.i >{CONF}',
        f"{{ printf Token; echo ' = eyJabcd.efgh.i'; }} >{CONF}",
        f"cat >{CONF}.new <<'EOF'\n{LINE}EOF\nmv -fT {CONF}.new {CONF}",
        f"sudo bash -c 'echo Token = eyJabcd.efgh.i >{CONF}'",
        f"if false; then echo x >{CONF}; else echo Token = eyJabcd.efgh.i >{CONF}; fi",
        f'for x in Token = eyJabcd.efgh.i; do T="$T $x"; done; echo $T >{CONF}',
        f"exec >/var/log/mine; python3 - <<'EOF'\nopen('{CONF}', 'w').write({LINE!r})\nEOF\n",
    ],
)
def test_the_written_text_is_followed(text: str) -> None:
    assert only(text) == LINE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"curl https://example.org >{CONF}", unknown.OUTPUT),
        (f"T=$(curl https://example.org); echo $T >{CONF}", unknown.OUTPUT),
        (f". /etc/mine; echo x$T >{CONF}", unknown.SOURCED),
        (f"T=a; grep -q x /etc/y && T=b; echo x$T >{CONF}", unknown.BRANCH),
        (f"while read -r x; do echo $x >>{CONF}; done </etc/y", unknown.LOOP),
        (f"echo x${{HOME}} >{CONF}", unknown.ENVIRONMENT),
        (f"echo x >{CONF}; sed -i s/x/y/ {CONF}", unknown.CHANGED),
        (f"T=a.b; echo x${{T%b}} >{CONF}", unknown.PARAMETER),
    ],
)
def test_a_text_that_needs_a_shell_is_unknown_with_a_reason(text: str, why: str) -> None:
    assert unknown.first_in(only(text)) == why
    assert unknown.why(only(text))


def test_a_condition_gives_several_options() -> None:
    text = f"if grep -q x /etc/y; then echo a >{CONF}; else echo b >{CONF}; fi\n"
    assert [one and one.text for one in written(text)] == ["a\n", "b\n"]
    assert [one and one.text for one in written(f"grep -q x /etc/y && echo a >{CONF}\n")] == [None, "a\n"]


def test_a_variable_that_is_not_set_is_empty_and_marked() -> None:
    text = only(f"cat >{CONF} <<EOF\nToken = $TOKEN\nEOF\n")
    assert unknown.plain(text) == "Token = \n"
    assert unknown.unset_in(text) == ["<<TOKEN"]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (f"echo x >{CONF}", 0o644),
        (f"umask 077; echo x >{CONF}", 0o600),
        (f"umask u=rwx,go=; echo x >{CONF}", 0o600),
        (f"echo x >{CONF}; chmod go-rwx {CONF}", 0o600),
        (f"install -m 640 /dev/stdin {CONF} <<<x", 0o640),
        (f"umask 077; echo x >/etc/y; cp /etc/y {CONF}", 0o600),
        (f"umask $(cat /etc/y); echo x >{CONF}", -1),
    ],
)
def test_the_mode_is_followed(text: str, mode: int) -> None:
    (found,) = written(text)
    assert found
    assert found.mode == mode


@pytest.mark.parametrize(
    ("text", "exposed"),
    [
        ("echo eyJabcd.efgh.i >/root/x", False),
        ("printf %s eyJabcd.efgh.i >/root/x", False),
        ("T=eyJabcd.efgh.i; export T", False),
        ("cat <<<eyJabcd.efgh.i", False),
        ('T=eyJabcd.efgh.i; curl -H "Bearer: $T" https://example.org', True),
        ("sudo echo eyJabcd.efgh.i", True),
    ],
)
def test_only_the_arguments_of_programs_expose_a_token(text: str, exposed: bool) -> None:
    assert effects.of(text, {}, posix=False, where="", watched=()).tokens_in_arguments is exposed


def test_for_sh_only_what_all_shells_share_is_followed() -> None:
    assert unknown.first_in((written(f"echo -e 'a\\nb' >{CONF}", posix=True)[0] or files.File("")).text)
    with pytest.raises(Unreadable):
        written(f"cat >{CONF} <<<x", posix=True)


@pytest.mark.parametrize(
    "text", ["if true; then", "echo 'x", "cat <<EOF >$(", "fi", "x | | y", "((1", "${x"]
)
def test_a_syntax_error_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        parser.read(text)


def test_echo_and_printf() -> None:
    assert builtin.echo(["-ne", "a\\tb\\x41\\0101\\101"], posix=False) == "a\tbAA\\101"
    assert builtin.echo(["-e", "a\\cb"], posix=False) == "a"
    assert builtin.echo(["-x", "a"], posix=False) == "-x a\n"
    assert builtin.printf(["%s-%b%%\\n", "a", "\\t", "b"]) == "a-\t%\nb-%\n"
    assert builtin.printf(["x\\101"]) == "xA"
    assert builtin.printf(["%q", "a b"]) == unknown.OUTPUT


@pytest.mark.parametrize(
    "text",
    [
        f"open('{CONF}', 'w').write({LINE!r})",
        f"from pathlib import Path\nPath('{CONF}').write_text({LINE!r})",
        f"T = 'eyJabcd.efgh.i'\nwith open('{CONF}', mode='w') as f:\n    print(f'Token = {{T}}', file=f)\n",
        f"f = open('{CONF}', 'a')\nf.write('Token = ' + 'eyJabcd.efgh.i' + '\\n')\nf.close()\n",
    ],
)
def test_python_is_followed(text: str) -> None:
    known: files.Files = {}
    python.run(text, known, 0o077, "", (CONF,))
    assert known[CONF] == (files.File(LINE, 0o600),)


@pytest.mark.parametrize(
    "text", ["for x in y:\n    open('%s', 'w').write(x)", "import os; os.system('rm %s')", "print '%s'"]
)
def test_python_with_logic_is_unknown(text: str) -> None:
    known: files.Files = {}
    python.run(text % CONF, known, 0o077, "", (CONF,))
    (found,) = known[CONF]
    assert found
    assert found.text == unknown.PROGRAM


@pytest.mark.parametrize("loop", ["for x in *", "while grep -q x /etc/y"])
def test_a_loop_changes_what_depends_on_its_earlier_rounds(loop: str) -> None:
    text = f'{loop}; do\nif [ -n "$A" ]; then echo x >{CONF}; fi\nif [ -n "$B" ]; then A=x; fi\nB=x\ndone\n'
    assert unknown.first_in(only(text)) == unknown.LOOP
