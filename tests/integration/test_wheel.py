"""What is installed from the wheel finds its folders and makes the same plan as the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bakery.image import bases, recipe

CHECKOUT = Path(__file__).parent.parent.parent
SHOW = """
import json
from bakery import bases, data, recipe
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
