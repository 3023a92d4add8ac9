"""The commands whose effect is known: the shell's builtins, and the programs that copy text.

Each function is given the shell, the arguments, and the standard input (None: not redirected).
"""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections.abc import Callable, Mapping
from functools import partial

from bakery.userdata.lint import files, unknown
from bakery.userdata.lint.files import File
from bakery.userdata.lint.shell import builtin, parser
from bakery.userdata.lint.shell.expansion import NAME
from bakery.userdata.lint.shell.interpreter import Interpreter
from bakery.userdata.lint.shell.state import DONE, Result
from bakery.userdata.lint.shell.syntax import Unreadable

Words = list[str]
Command = Callable[[Interpreter, Words, str | None], Result]


# Builtins


def _echo(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    return builtin.echo(words, posix=shell.posix), True


def _printf(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    if words[:1] == ["-v"] and len(words) > 2:
        shell.variables[words[1]] = builtin.printf(words[2:])
        return DONE
    return builtin.printf(words), True


def _succeed(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    return DONE


def _fail(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    return "", False


def _test(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    operands = words[:-1] if words[-1:] == ["]"] else words
    if len(operands) == 2 and operands[0] in ("-e", "-f", "-r"):
        options = shell.machine.files.get(shell.path(operands[1]), ())
        return "", True if options and all(options) else None
    return "", builtin.test(operands)


def _cd(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    target = next((word for word in words if not word.startswith("-")), unknown.ENVIRONMENT)
    shell.folder = shell.path(target) if unknown.is_known(target) else unknown.ENVIRONMENT
    return DONE


def _umask(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    if words and unknown.is_known(words[0]):
        octal = re.fullmatch(r"[0-7]{1,4}", words[0])
        mode = files.mode_of(words[0], 0o777 & ~shell.umask)
        if octal or mode >= 0:  # otherwise the shell reports an error and keeps its umask
            shell.umask = int(words[0], 8) if octal else 0o777 & ~mode
    elif words and not words[0].startswith("-"):
        shell.umask = -1
    return DONE


def _declare(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    for word in words:
        name, equals, value = word.partition("=")
        if equals and NAME.fullmatch(name):
            shell.variables[name] = value
        shell.exported.add(name)
    return DONE


def _unset(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    for word in words:
        shell.variables.pop(word, None)
    return DONE


def _set_options(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    if "--" in words:
        shell.arguments = tuple(words[words.index("--") + 1 :])
    return DONE


def _shift(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    if shell.posix and not shell.arguments:
        raise Unreadable  # dash exits, bash continues
    shell.arguments = shell.arguments[1:]
    return DONE


def _read(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    for word in words:
        if NAME.fullmatch(word):
            shell.variables[word] = unknown.INPUT
    shell.variables["REPLY"] = unknown.INPUT
    return "", None


def _eval(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    text = unknown.joined(words, " ")
    if unknown.is_known(text):
        return shell.sequence(parser.read(unknown.plain(text), posix=shell.posix), stdin)
    return _unknown_source(shell, text)


def _source(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    path = shell.path(words[0]) if words else ""
    if path in shell.machine.files:
        text = files.content(shell.machine.files, path)
        if unknown.is_known(text):
            return shell.sequence(parser.read(text, posix=shell.posix), stdin)
    return _unknown_source(shell, "")


def _unknown_source(shell: Interpreter, text: str) -> Result:
    """Run commands that are not known in this shell: they can set any variable."""
    shell.sourced = True
    shell.variables = dict.fromkeys(shell.variables, unknown.SOURCED)
    shell.change_mentioned(text)
    return unknown.OUTPUT, None


def _exit(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    shell.ended = True
    return "", None


def _return(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    shell.returned = shell.depth > 0
    return "", None


def _leave_loop(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    raise Unreadable


def _trap(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    shell.change_mentioned(" ".join(words))
    return DONE


def _command(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    """`command` and `builtin`."""
    while words and words[0].startswith("-"):
        if words.pop(0) in ("-v", "-V"):
            return unknown.OUTPUT, None
    return shell.words(words, stdin)


def _exec(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    """`exec` with a program, which replaces the shell."""
    result = shell.words(words, stdin)
    shell.ended = True
    return result


# Programs


def _prefix(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    """`sudo`, `env` and `nohup`: the program follows their own options. They cannot run a function."""
    while words and (words[0].startswith("-") or re.match(r"[A-Za-z_]\w*=", words[0])):
        if words.pop(0) in ("-u", "-g", "--user", "--group", "-C"):
            words = words[1:]
    if words and words[0] in shell.functions:
        return "", False
    return shell.words(words, stdin)


def _cat(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    if any(word.startswith("-") and word not in ("-", "--", "-u") for word in words):
        return unknown.OUTPUT, None
    names = [word for word in words if word not in ("--", "-u")] or ["-"]
    texts = [shell.content("/dev/stdin" if name == "-" else name, stdin) for name in names]
    return unknown.joined(texts), True


def _tee(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    append = any(word in ("-a", "--append", "-ai", "-ia") for word in words)
    text = unknown.INPUT if stdin is None else stdin
    for word in words:
        if not word.startswith("-"):
            shell.write(shell.path(word), text, append=append)
    return text, True


def _base64(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    decodes = bool(words) and words[0] in ("-d", "--decode", "-di", "-D")
    text = shell.content(words[1], stdin) if len(words) > 1 else stdin
    if not decodes or text is None or not unknown.is_known(text):
        return unknown.OUTPUT, None
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode(), True
    except (binascii.Error, ValueError):
        return unknown.OUTPUT, None


def _install(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    mode, names = 0o755, []
    while words:
        word = words.pop(0)
        if word in ("-d", "--directory"):
            return DONE
        if word.startswith(("-m", "--mode")):
            is_separate = len(word) == 2 or word == "--mode"
            text = words.pop(0) if is_separate else word.partition("=")[2] or word[2:]
            mode = files.mode_of(text, 0) if unknown.is_known(text) else -1
        elif word in ("-o", "-g", "-S", "-t"):
            words = words[1:]
        elif not word.startswith("-"):
            names.append(word)
    if len(names) != 2:
        return shell.program("install", names, stdin)
    text = shell.content(names[0], stdin)
    shell.put(_target(shell, names[1], names[0]), File(text, mode, shell.machine.where))
    return DONE


def _mv(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    names = [word for word in words if not word.startswith("-")]
    if len(names) != 2 or not all(map(unknown.is_known, names)):
        return shell.program("mv", names, stdin)
    source, target = shell.path(names[0]), _target(shell, names[1], names[0])
    shell.note_use(source)
    shell.note_use(target)
    not_ours = (File(unknown.FETCHED, -1, shell.machine.where),)
    shell.machine.files[target] = shell.machine.files.get(source, not_ours)
    files.remove(shell.machine.files, source)
    return DONE


def _cp(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    names = [word for word in words if not word.startswith("-")]
    if len(names) != 2 or not all(map(unknown.is_known, names)):
        return shell.program("cp", names, stdin)
    target = _target(shell, names[1], names[0])
    keeps_mode = any(word in ("-p", "-a", "-af", "-pf") for word in words)
    old = shell.machine.files.get(target, files.ABSENT)[0]
    source = shell.machine.files.get(shell.path(names[0]))
    mode = source[0].mode if source and source[0] else -1
    if not keeps_mode:
        mode = old.mode if old else mode & ~shell.umask if mode >= 0 <= shell.umask else -1
    shell.put(target, File(shell.content(names[0], stdin), mode, shell.machine.where))
    return DONE


def _target(shell: Interpreter, name: str, source: str) -> str:
    """The path that a file gets which is moved or copied to `name`, perhaps a directory."""
    path = shell.path(name)
    is_directory = name.endswith(("/", "/.")) or path in ("/etc", "/root", "/tmp", "/")
    return posixpath.join(path, posixpath.basename(source)) if is_directory else path


def _rm(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    for word in words:
        path = shell.path(word)
        shell.note_use(path)
        if unknown.is_known(path):
            files.remove(shell.machine.files, path)
        else:
            shell.write_unknown(path, unknown.CHANGED)
    return DONE


def _chmod(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    operands = [word for word in words if not re.fullmatch(r"-[A-Zcfv]+|--\w+", word)]
    for word in operands[1:]:
        files.change_mode(shell.machine.files, shell.path(word), operands[0])
    return DONE


def _touch(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    for word in words:
        if not word.startswith("-"):
            shell.write(shell.path(word), "", append=True)
    return DONE


def _another_shell(shell: Interpreter, words: Words, stdin: str | None, *, posix: bool) -> Result:
    while words and words[0].startswith(("-", "+")):
        option = words.pop(0)
        if re.fullmatch(r"-\w*c\w*", option) and words:
            return shell.new_shell(unknown.plain(words[0]), words[2:], stdin, posix=posix)
        if option in ("-o", "+o", "-O"):
            words = words[1:]
    if not words:
        return shell.new_shell(stdin or unknown.INPUT, (), None, posix=posix)
    return shell.new_shell(shell.content(words[0], None), words[1:], stdin, posix=posix)


def _python(shell: Interpreter, words: Words, stdin: str | None) -> Result:
    text = None
    if not words or words == ["-"]:
        text = stdin
    elif words[0] == "-c" and len(words) > 1:
        text = words[1]
    if text is None and words and shell.path(words[0]) in shell.machine.files:
        text = shell.content(words[0], None)
    if text is None or not unknown.is_known(text):
        return shell.program("python", words, stdin)
    shell.python(text)
    return unknown.OUTPUT, None


BUILTINS: Mapping[str, Command] = {
    "echo": _echo,
    "printf": _printf,
    ":": _succeed,
    "true": _succeed,
    "false": _fail,
    "[": _test,
    "test": _test,
    "cd": _cd,
    "umask": _umask,
    **dict.fromkeys(("export", "declare", "local", "readonly", "typeset"), _declare),
    "unset": _unset,
    "set": _set_options,
    "shift": _shift,
    **dict.fromkeys(("read", "mapfile", "readarray", "getopts", "let"), _read),
    "eval": _eval,
    ".": _source,
    "source": _source,
    "exit": _exit,
    "return": _return,
    "break": _leave_loop,
    "continue": _leave_loop,
    "trap": _trap,
    "command": _command,
    "builtin": _command,
    "exec": _exec,
    **dict.fromkeys(("wait", "hash", "alias", "ulimit", "shopt", "pushd", "popd"), _succeed),
}
PROGRAMS: Mapping[str, Command] = {
    **dict.fromkeys(("sudo", "env", "nohup"), _prefix),
    "echo": _echo,
    "printf": _printf,
    "cat": _cat,
    "tee": _tee,
    "base64": _base64,
    "install": _install,
    "mv": _mv,
    "cp": _cp,
    "rm": _rm,
    "chmod": _chmod,
    "touch": _touch,
    "bash": partial(_another_shell, posix=False),
    **dict.fromkeys(("sh", "dash", "ash", "ksh"), partial(_another_shell, posix=True)),
    **dict.fromkeys(("python", "python3", "python2"), _python),
}
