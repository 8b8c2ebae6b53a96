"Linter, formatter and type checker have nothing to say."

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        "ruff check nbs tests setup.py",
        "ruff format --check nbs tests setup.py",
        "ty check intrr",
    ],
)
def test_clean(command):
    program, *arguments = command.split()
    # the type checker asks this environment for the types of what the package imports
    extra = ["--python", sys.prefix] if program == "ty" else []
    path = Path(sys.executable).with_name(program)
    done = subprocess.run([path, *arguments, *extra], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
