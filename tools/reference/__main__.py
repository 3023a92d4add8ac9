"""python -m tools.reference [--check]: write the generated pages of docs/reference, or compare them."""

from __future__ import annotations

import sys

from tools.reference import pages
from tools.reference.markdown import ROOT, Outdated


def main(argv: list[str]) -> int:
    check = argv == ["--check"]
    try:
        changed = pages.outdated() if check else pages.write()
    except Outdated as error:
        print(f"docs: {error}", file=sys.stderr)
        return 1
    for path in changed:
        print(f"docs: {path.relative_to(ROOT)} {'is outdated' if check else 'written'}", file=sys.stderr)
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
