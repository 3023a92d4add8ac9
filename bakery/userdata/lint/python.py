"""What a Python script writes to files, found out without running it.

The statements of the module itself are followed: assignments of strings, `open`, `write`, `print(file=…)`,
`write_text`, `os.chmod` and `os.umask`. If there is any other statement, each watched file whose path
occurs in the script becomes unknown.
"""

from __future__ import annotations

import ast
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from bakery.userdata.lint import files, unknown
from bakery.userdata.lint.files import Files


@dataclass
class _Handle:
    path: str


@dataclass
class _Module:
    files: Files
    umask: int
    where: str
    names: dict[str, str] = field(default_factory=dict)
    handles: dict[str, _Handle] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)

    def statements(self, body: Sequence[ast.stmt]) -> bool:
        """Follow statements; False if one of them cannot be followed."""
        return all(self._statement(one) for one in body)

    def _statement(self, one: ast.stmt) -> bool:
        if isinstance(one, ast.Import | ast.ImportFrom | ast.Pass):
            return True
        if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
            return self._assign(one.targets[0].id, one.value)
        if isinstance(one, ast.With):
            return self._with(one)
        if isinstance(one, ast.If) and _is_main(one.test):
            return self.statements(one.body)
        if isinstance(one, ast.Expr):
            return isinstance(one.value, ast.Constant) or self._call(one.value)
        return False

    def _assign(self, name: str, value: ast.expr) -> bool:
        handle = self._opened(value)
        if handle:
            self.handles[name] = handle
            return True
        text = self.text(value)
        self.names[name] = unknown.PROGRAM if text is None else text
        return text is not None

    def _with(self, one: ast.With) -> bool:
        for item in one.items:
            handle = self._opened(item.context_expr)
            if not handle or not isinstance(item.optional_vars, ast.Name):
                return False
            self.handles[item.optional_vars.id] = handle
        return self.statements(one.body)

    def _opened(self, value: ast.expr) -> _Handle | None:
        if not (isinstance(value, ast.Call) and _dotted(value.func) in ("open", "io.open") and value.args):
            return None
        path = self.text(value.args[0])
        modes = [word.value for word in value.keywords if word.arg == "mode"]
        mode = self.text(value.args[1] if len(value.args) > 1 else modes[0] if modes else ast.Constant("r"))
        if path is None or mode not in ("w", "wt", "a", "at"):
            return None
        self._write(path, "", append=mode.startswith("a"))
        return _Handle(path)

    def _write(self, path: str, text: str, *, append: bool) -> None:
        mode = 0o666 & ~self.umask if self.umask >= 0 else -1
        files.write(self.files, path, text, append=append, mode=mode, where=self.where)
        self.touched.add(path)

    def _call(self, value: ast.expr) -> bool:
        if not isinstance(value, ast.Call):
            return False
        name, words = _dotted(value.func), value.args
        if name == "print":
            return self._print(value)
        if name in ("os.chmod", "os.umask"):
            return self._mode(name, words)
        if not isinstance(value.func, ast.Attribute):
            return False
        handle, method = self._handle_of(value.func.value), value.func.attr
        if handle and method in ("close", "flush"):
            return True
        text = self.text(words[0]) if len(words) == 1 else None
        path = self._path_of(value.func.value)
        if method == "write_text" and path is not None and text is not None:
            self._write(path, text, append=False)
            return True
        if method == "chmod" and path is not None:
            return self._mode("os.chmod", [ast.Constant(path), *words])
        if handle and method == "write" and text is not None:
            self._write(handle.path, text, append=True)
            return True
        return False

    def _handle_of(self, value: ast.expr) -> _Handle | None:
        return self.handles.get(value.id) if isinstance(value, ast.Name) else self._opened(value)

    def _path_of(self, value: ast.expr) -> str | None:
        if (
            isinstance(value, ast.Call)
            and _dotted(value.func) in ("Path", "pathlib.Path")
            and len(value.args) == 1
        ):
            return self.text(value.args[0])
        return None

    def _print(self, value: ast.Call) -> bool:
        options = {word.arg: word.value for word in value.keywords}
        target = options.pop("file", None)
        if target is None:
            return True
        handle = self._handle_of(target)
        end = self.text(options.pop("end", ast.Constant("\n")))
        texts = [self.text(word) for word in value.args]
        words = [word for word in texts if word is not None]
        if not handle or options or end is None or len(words) < len(texts):
            return False
        self._write(handle.path, " ".join(words) + end, append=True)
        return True

    def _mode(self, name: str, words: Sequence[ast.expr]) -> bool:
        mode = words[-1] if words else None
        if not (isinstance(mode, ast.Constant) and isinstance(mode.value, int)):
            return False
        if name == "os.umask":
            self.umask = mode.value
            return True
        path = self.text(words[0])
        if path is not None:
            files.change_mode(self.files, path, f"{mode.value:o}")
        return path is not None

    def text(self, value: ast.expr) -> str | None:
        """The value of a string expression; None if it cannot be evaluated."""
        if isinstance(value, ast.Constant):
            return value.value if isinstance(value.value, str) else None
        if isinstance(value, ast.Name):
            found = self.names.get(value.id)
            return found if found is not None and unknown.is_known(found) else None
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            return _sum(self.text(value.left), self.text(value.right))
        if isinstance(value, ast.JoinedStr):
            return self._joined(value)
        return self._changed(value) if isinstance(value, ast.Call) and not value.keywords else None

    def _joined(self, value: ast.JoinedStr) -> str | None:
        joined: str | None = ""
        for part in value.values:
            plain = (
                isinstance(part, ast.FormattedValue) and part.conversion < 0 and part.format_spec is None
            )
            joined = _sum(
                joined, self.text(part.value if isinstance(part, ast.FormattedValue) and plain else part)
            )
        return joined

    def _changed(self, value: ast.Call) -> str | None:
        name = _dotted(value.func)
        if name in ("textwrap.dedent", "dedent") and len(value.args) == 1:
            text = self.text(value.args[0])
            return None if text is None else textwrap.dedent(text)
        if (
            isinstance(value.func, ast.Attribute)
            and value.func.attr in ("strip", "lstrip")
            and not value.args
        ):
            text = self.text(value.func.value)
            return None if text is None else text.strip() if value.func.attr == "strip" else text.lstrip()
        return None


def run(text: str, known: Files, umask: int, where: str, watched: Sequence[str]) -> None:
    """Apply the effect of a script to files; make the watched files that it names unknown if that fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the user's script
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        _make_unknown(text, known, where, watched)
        return
    state = _Module(dict(known), umask, where)
    if state.statements(tree.body):
        known.update(state.files)
    else:
        _make_unknown(text, known, where, watched)


def _make_unknown(text: str, known: Files, where: str, watched: Sequence[str]) -> None:
    for path in watched:
        if path in text:
            files.change(known, path, unknown.PROGRAM, where)


def _is_main(test: ast.expr) -> bool:
    return ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _dotted(value: ast.expr) -> str:
    if isinstance(value, ast.Name):
        return value.id
    return f"{_dotted(value.value)}.{value.attr}" if isinstance(value, ast.Attribute) else "?"


def _sum(left: str | None, right: str | None) -> str | None:
    return None if left is None or right is None else left + right
