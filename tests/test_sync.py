"The package is exactly what the notebooks export, and the notebooks are clean."

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = """
from nbdev.clean import nbdev_clean
from nbdev.doclinks import nbdev_export
nbdev_clean.__wrapped__()
nbdev_export.__wrapped__()
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    "The notebooks, cleaned and exported into an empty copy of the project"
    copy = tmp_path_factory.mktemp("project") / ROOT.name
    shutil.copytree(ROOT / "nbs", copy / "nbs", ignore=shutil.ignore_patterns(".*"))
    shutil.copy(ROOT / "settings.ini", copy)
    environment = {k: v for k, v in os.environ.items() if k != "IN_TEST"}
    subprocess.run([sys.executable, "-c", COMMANDS], cwd=copy, env=environment, check=True)
    return copy


def files(folder, suffix):
    found = {p.relative_to(folder) for p in folder.rglob(f"*{suffix}")}
    return {p for p in found if not any(part[0] in "._" for part in p.parent.parts)}


@pytest.mark.parametrize(("folder", "suffix"), [("intrr", ".py"), ("nbs", ".ipynb")])
def test_in_sync(fresh, folder, suffix):
    ours, theirs = ROOT / folder, fresh / folder
    assert files(ours, suffix) == files(theirs, suffix)
    stale = sorted(str(p) for p in files(ours, suffix) if not filecmp.cmp(ours / p, theirs / p, shallow=False))
    assert not stale, f"run nbdev_clean && nbdev_export: {stale}"
