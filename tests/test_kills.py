"Commands that are killed at random moments leave whole files, and end in the same numbers when they go on."

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout

import pytest
from test_cli import CODE

from intrr.cli import main
from intrr.core import load_json, load_tensors
from intrr.readers import write_folder
from intrr.synthetic import make_catalogue

KILLS = 13 if "INTRR_SLOW" in os.environ else 1  # Of each of the four commands
LITTLE = ["--parts", "ids", "--recipe", "dim=8", "hidden=8", "layers=1", "epochs=3"]
TRIAL = ["--size", "trial", "--only", "sasrec-t", "knn"]
COMMANDS = {  # What one types, at first and to go on; `HERE` is the folder, `DATA` the dataset
    "sids": ["sids", "--data", "DATA", "--encoder", "tfidf", "--out", "HERE"],
    "train": ["train", "HERE", "--model", "sasrec", "--seed", "1", "--keep", "1", *LITTLE, "--resume"],
    "run": ["run", "--data", "DATA", "--encoder", "tfidf", "--out", "HERE", "--models", "sasrec", *LITTLE, "--resume"],
    "matrix": ["matrix", "parts", *TRIAL, "--results", "HERE", "--work", "HERE/work"],
}


def numbers(folder):
    "All that a command has written and that does not tell of seconds"
    found = {}
    for path in whole_files(folder):
        name = str(path.relative_to(folder))
        if path.suffix == ".safetensors" and "checkpoint" not in name:
            found[name] = {k: v.tolist() for k, v in load_tensors(path)[0].items()}
        elif path.suffix == ".json" and isinstance(read := load_json(path), dict):
            found[name] = read.get("metrics", read.get("setup"))
    return found


def whole_files(folder):
    "The files that are not being written; each is read, so that half a file would be an error"
    paths = [p for p in sorted(folder.rglob("*.*")) if p.is_file() and not any(x.endswith(".tmp") for x in p.parts)]
    for path in paths:
        if path.suffix in (".json", ".safetensors"):
            load_json(path) if path.suffix == ".json" else load_tensors(path)
    return paths


def count_entries(folder):
    "How many files and folders there are; those that vanish meanwhile are no error"
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def words(command, folder, data):
    return [w.replace("HERE", str(folder)).replace("DATA", str(data)) for w in COMMANDS[command]]


def here(command, folder, data):
    "Run a command to its end, in this process"
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as err:
        assert main(words(command, folder, data)) == 0, err.getvalue()


def killed(command, folder, data, moment):
    "Run a command in a process that is killed as soon as so much is written, and a little later"
    process = subprocess.Popen([sys.executable, "-c", CODE, *words(command, folder, data)], stderr=subprocess.PIPE)
    before = count_entries(folder)
    while process.poll() is None and count_entries(folder) - before < moment:
        time.sleep(0.001)
    time.sleep(moment % 1)
    process.send_signal(signal.SIGKILL)
    err = process.communicate(timeout=60)[1]
    assert process.returncode in (0, -signal.SIGKILL), err


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    "A dataset, and a run without models"
    folder = tmp_path_factory.mktemp("start")
    write_folder(make_catalogue(n_items=110, n_users=300), folder / "data")
    here("sids", folder / "run", folder / "data")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_any_moment_it_ends_in_the_same_numbers(start, tmp_path, command):
    draw, begun, folders = random.Random(command), start / "run", (tmp_path / "whole", tmp_path / "killed")
    for folder in folders:
        shutil.copytree(begun, folder) if command == "train" else folder.mkdir()
    had = count_entries(folders[0])
    here(command, folders[0], start / "data")
    made = count_entries(folders[0]) - had
    for _ in range(KILLS):
        killed(command, folders[1], start / "data", draw.uniform(0, made + 1) * 0.8)
        whole_files(folders[1])
    here(command, folders[1], start / "data")
    assert numbers(folders[1]) == numbers(folders[0])
    assert not list(folders[1].rglob(".*.tmp"))
