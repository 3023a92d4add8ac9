"""What a script writes, found out without running it: the cases that matter to a worker's file."""

from __future__ import annotations

import pytest

from bakery.userdata.lint import builtin, effects, files, python, shell, unknown
from bakery.userdata.lint.shell import Unreadable

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
def test_what_is_written_is_followed(text: str) -> None:
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
def test_what_needs_a_shell_is_unknown_and_says_why(text: str, why: str) -> None:
    assert unknown.first_in(only(text)) == why
    assert unknown.why(only(text))


def test_under_a_condition_there_are_several() -> None:
    text = f"if grep -q x /etc/y; then echo a >{CONF}; else echo b >{CONF}; fi\n"
    assert [one and one.text for one in written(text)] == ["a\n", "b\n"]
    assert [one and one.text for one in written(f"grep -q x /etc/y && echo a >{CONF}\n")] == [None, "a\n"]


def test_a_variable_that_nothing_sets_is_nothing_and_is_told() -> None:
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
    ("text", "told"),
    [
        ("echo eyJabcd.efgh.i >/root/x", False),
        ("printf %s eyJabcd.efgh.i >/root/x", False),
        ("T=eyJabcd.efgh.i; export T", False),
        ("cat <<<eyJabcd.efgh.i", False),
        ('T=eyJabcd.efgh.i; curl -H "Bearer: $T" https://example.org', True),
        ("sudo echo eyJabcd.efgh.i", True),
    ],
)
def test_only_a_program_s_words_are_seen_by_others(text: str, told: bool) -> None:
    assert effects.of(text, {}, posix=False, where="", watched=()).tokens_in_arguments is told


def test_sh_is_read_as_all_shells_read_it() -> None:
    assert unknown.first_in((written(f"echo -e 'a\\nb' >{CONF}", posix=True)[0] or files.File("")).text)
    with pytest.raises(Unreadable):
        written(f"cat >{CONF} <<<x", posix=True)


@pytest.mark.parametrize(
    "text", ["if true; then", "echo 'x", "cat <<EOF >$(", "fi", "x | | y", "((1", "${x"]
)
def test_what_is_no_script_is_not_read(text: str) -> None:
    with pytest.raises(Unreadable):
        shell.read(text)


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
