"The house stays readable: imports lead one way, rooms and cells are short, a name means one thing."

import ast
import importlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

NBS = Path(__file__).parents[1] / "nbs"
ROOMS = sorted(NBS.glob("[0-9][0-9]_*.ipynb"))


def sources(path, kind="code"):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == kind]


def exported(path):
    return [s for s in sources(path) if re.match(r"#\|\s*exporti?\b", s)]


def module(path):
    return next((m[1] for s in sources(path) if (m := re.match(r"#\|\s*default_exp (\S+)", s))), None)


MODULES = {f"intrr.{name}": int(path.name[:2]) for path in ROOMS if (name := module(path))}


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.stem)
def test_imports_lead_up_one_way(path):
    "A room imports from rooms of its own floor or of those above it in the list, never from one below"
    found = [n for s in exported(path) for n in ast.walk(ast.parse(s)) if isinstance(n, ast.ImportFrom | ast.Import)]
    names = [n.module or "" if isinstance(n, ast.ImportFrom) else n.names[0].name for n in found]
    assert [name for name in names if MODULES.get(name, 0) > int(path.name[:2])] == []


@pytest.mark.parametrize("path", sorted(NBS.rglob("*.ipynb")), ids=lambda p: p.stem)
def test_a_room_is_read_in_one_sitting(path):
    assert len(json.loads(path.read_text(encoding="utf-8"))["cells"]) <= 60


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.stem)
def test_a_cell_holds_little(path):
    long = [s.splitlines()[1] for s in exported(path) if len([x for x in s.splitlines()[1:] if x.strip()]) > 60]
    assert long == []


def test_most_cells_are_short():
    sizes = sorted(len([x for x in s.splitlines()[1:] if x.strip()]) for path in ROOMS for s in exported(path))
    assert sizes[len(sizes) // 2] <= 10 and sizes[len(sizes) * 9 // 10] <= 24


def test_modules_are_short():
    lines = {
        name: len(Path(importlib.import_module(name).__file__).read_text("utf-8").splitlines()) for name in MODULES
    }
    assert {name: n for name, n in lines.items() if n > 400} == {}


def test_public_names_are_few():
    assert sum(len(importlib.import_module(name).__all__) for name in MODULES) < 350


def test_no_two_public_names_are_alike():
    names = Counter()
    for path in ROOMS:
        for s in exported(path):
            if re.match(r"#\|\s*export\b", s):
                body = ast.parse(s).body
                names.update(n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef))
    assert [name for name, n in names.items() if n > 1 and not name.startswith("_")] == []
