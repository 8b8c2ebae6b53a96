"""Wheel and source distribution hold what they must, and the wheel works beside nothing but its declared requirements.

The empty environment is a new virtual environment into which the installed files of those requirements are linked:
nothing is downloaded, and what an extra brings is really absent."""

import ast
import importlib.metadata as metadata
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from nbrun import settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FILES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "intrr").rglob("*.py"))
MODULES = [f.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for f in FILES]
ASSETS = {
    "intrr/py.typed",
    *(f"intrr/explorer/{name}" for name in ("explorer.css", "explorer.js", "page.css", "page.js")),
}


def check(*command, cwd=None):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}  # or the sources would be found there
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    "Source distribution, and the wheel that is built from it, of a copy of the tracked files"
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("settings.ini", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "intrr", copy / "intrr", ignore=shutil.ignore_patterns("__pycache__"))
    check(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy)
    return out


def requirements(key):
    return [Requirement(r) for r in settings()[f"{key}requirements"].split()]


def active(requirements, extras=()):
    return [r for r in requirements if not r.marker or any(r.marker.evaluate({"extra": e}) for e in extras or [""])]


def closure(wanted):
    "Distributions that `wanted` brings, as they are installed here"
    found, todo = {}, active(wanted)
    while todo:
        r = todo.pop()
        name = canonicalize_name(r.name)
        if name not in found:
            found[name] = metadata.distribution(name)
            todo += active(map(Requirement, found[name].requires or []), r.extras)
    return found.values()


def pip_in(env):
    return sys.executable, "-m", "pip", "--python", env / "bin/python"


@pytest.fixture(scope="module")
def empty(tmp_path_factory, dist):
    "An environment with the wheel, its declared requirements and nothing else"
    env = tmp_path_factory.mktemp("empty")
    venv.create(env)
    site = next(env.glob("lib/python*/site-packages"))
    for d in closure(requirements("")):
        for top in {Path(f).parts[0] for f in d.files or [] if Path(f).parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                os.symlink(Path(d.locate_file(top)), site / top)
    check(*pip_in(env), "install", "--no-index", "--no-deps", next(dist.glob("*.whl")))
    return env


def test_wheel_holds(dist):
    names = zipfile.ZipFile(next(dist.glob("*.whl"))).namelist()
    assert {*FILES, *ASSETS} <= set(names)
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert {n.split("/")[0].split("-")[0] for n in names} == {"intrr"}


def test_sdist_holds(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    assert {"settings.ini", "setup.py", "README.md", "LICENSE", *FILES, *ASSETS} <= names


def test_works_without_extras(empty, tmp_path):
    "Every module is imported, the command answers, and pip finds nothing missing"
    for extra in ("nbdev", "sentence_transformers", "jupyterlab"):
        assert not list(empty.glob(f"lib/python*/site-packages/{extra}"))
    code = f"import importlib, intrr; [importlib.import_module(m) for m in {MODULES}]; print(intrr.__file__)"
    assert str(empty) in check(empty / "bin/python", "-c", code, cwd=tmp_path)
    assert "quickstart" in check(empty / "bin/intrr", "--help", cwd=tmp_path)
    assert "No broken requirements" in check(*pip_in(empty), "check")


def imported(path):
    "Top-level names of what a module imports, wherever in the file"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


def test_every_import_is_declared():
    keys = [k.removesuffix("requirements") for k in settings() if k.endswith("requirements")]
    declared = {canonicalize_name(r.name) for k in keys for r in requirements(k)}
    owners = metadata.packages_distributions()
    used = {m for p in (ROOT / "intrr").rglob("*.py") for m in imported(p)} - set(sys.stdlib_module_names) - {"intrr"}
    missing = {m for m in used if not {canonicalize_name(o) for o in owners.get(m, [])} & declared}
    assert not missing, f"settings.ini declares no requirement for {sorted(missing)}"


def test_constraints_pin_everything_declared():
    "Each requirement of each extra has one exact version, which it allows"
    lines = (ROOT / ".ci/constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(n): v for n, _, v in (s.partition("==") for s in lines if not s.startswith("#"))}
    for key in ("", "text_", "explore_", "tune_", "onnx_", "gpu_", "docs_", "dev_"):
        for r in requirements(key):
            assert r.specifier.contains(pins[canonicalize_name(r.name)]), r


def test_readme_gives_the_line_that_ci_runs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [s for s in text.splitlines() if s.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert "intrr quickstart" in lines[0] and "pytest" in lines[1]
    assert all("-c .ci/constraints.txt" in s for s in lines)
