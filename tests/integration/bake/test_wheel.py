"""What is installed from the wheel finds its folders and makes the same plan as the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bakery.commands.command_line import program
from bakery.definition import schema
from bakery.image import bases, recipe

PROGRAMS = ("worker-bakery", "bake-image", "gen-userdata")
SHARE = {
    *(f"share/bash-completion/completions/{name}" for name in PROGRAMS),
    *(f"share/zsh/site-functions/_{name}" for name in PROGRAMS),
    *(f"share/fish/vendor_completions.d/{name}.fish" for name in PROGRAMS),
    *(f"share/man/man1/{name}.1" for name in PROGRAMS),
    *(f"share/man/man1/worker-bakery-{name}.1" for name in program.COMMANDS),
}
CHECKOUT = Path(__file__).parent.parent.parent.parent
SHOW = """
import json
from bakery.image import bases, recipe
from bakery.runtime import data
print(json.dumps([str(data.ROOT), recipe.plan(bases.find("debian13"), "osg").id,
                  data.CLOUD_INIT.is_dir(), (data.IMAGE_TESTS / "pytest.ini").is_file()]))
"""


def test_a_wheel_carries_everything(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(CHECKOUT)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=target, capture_output=True, text=True, check=True
    ).stdout
    root, plan_id, templates, suite = json.loads(shown)
    assert root == str(target / "bakery" / "_data")
    assert plan_id == recipe.plan(bases.find("debian13"), "osg").id
    assert templates
    assert suite
    assert (target / "bakery/definition/definition.schema.json").read_text() == schema.text()
    assert {
        str(path.relative_to(target)) for path in (target / "share").rglob("*") if path.is_file()
    } == SHARE


def test_the_checkout_has_them_too() -> None:
    """An editable installation, as scripts/setup makes it; man and the shells find them beside bin/."""
    assert [name for name in SHARE if not (Path(sys.prefix) / name).is_file()] == []
    text = (Path(sys.prefix) / "share/man/man1/worker-bakery-bake.1").read_text()
    assert "worker\\-bakery\\-bake" in text and "HTCondor" in text
