"A record names the code that made it: the commit of each process that had a part in it, as it was when it started."

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intrr.core import load_json

ROOT = Path(__file__).parents[1]
BEGIN = """
import subprocess, sys
from intrr.experiments import Setup, size_recipe
from intrr.runs import Run

run = Run.create("run", Setup(), progress=False)
def commit(report):
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *author, "commit", "-qm", "later", "--allow-empty"], check=True)
    return stop
stop = sys.argv[1] == "stop"
run.train("sasrec", size_recipe("sasrec", size="trial"), resume="on" in sys.argv, callbacks=[commit], progress=False)
run.evaluate("sasrec", progress=False)
"""


def git(folder, *words):
    out = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return out.stdout.split()


@pytest.fixture
def project(tmp_path):
    "This project in a repository of its own, with one commit"
    shutil.copytree(ROOT / "intrr", tmp_path / "intrr", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "nbs").mkdir()
    shutil.copy(ROOT / "nbs/00_core.ipynb", tmp_path / "nbs")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "begin")
    return tmp_path


def work(folder, *words):
    "Train and evaluate in a process of its own, which commits after each epoch; the environment in its record"
    env = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-c", BEGIN, *words], cwd=folder, env=env, check=True, timeout=300)
    return load_json(folder / "run/sasrec.json")["environment"]


def test_a_commit_made_during_a_run_does_not_change_its_record(project):
    first = git(project, "rev-parse", "--short", "HEAD")
    found = work(project, "stop")
    second = git(project, "rev-parse", "--short", "HEAD")
    assert second != first
    assert found["commit"] == first[0] and "commits" not in found
    found = work(project, "to the end", "on")  # the checkpoint of the first process, in a second one with other code
    assert (found["commit"], found["commits"]) == (first[0], first + second)
