"A matrix as a person runs it: killed, gone on with, and shared by processes."

import io
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from types import SimpleNamespace

import pytest
from test_cli import CODE, refused

from intrr.cli import main
from intrr.core import load_tensors
from intrr.evaluation import mean_metrics
from intrr.records import Results

ONLY = ["popularity", "sasrec", "intrr-rkmeans-transformer"]
TRAITS = "synthetic/users.traits.safetensors"
NAMES = ["popularity-0", "intrr-rkmeans-transformer-trial-0", "sasrec-transformer-trial-0"]


def words(folder, *more):
    where = ["--results", str(folder / "results"), "--work", str(folder / "work")]
    return ["matrix", "table1", "--size", "trial", *where, "--json", *(more or ["--only", *ONLY])]


def start(folder, *more):
    command = [sys.executable, "-c", CODE, *words(folder, *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def here(folder, *more):
    "The same in this process"
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(words(folder, *more))
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def ran(out):
    "The records that a call has made"
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)["ran"]


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "A matrix that nobody disturbed: its folder, and its metrics by name"
    folder = tmp_path_factory.mktemp("whole")
    made = ran(here(folder))
    assert [r["name"] for r in made] == NAMES
    return folder, {r["name"]: r["metrics"] for r in made}


def test_records_and_ranks(whole):
    folder, found = whole
    pairs = {f"synthetic/{n}{end}" for n in NAMES for end in (".json", ".ranks.safetensors")}
    assert files(folder / "results") == pairs | {TRAITS}
    results = Results(folder / "results")
    for record in results.records():
        assert record["metrics"] == found[record["name"]]
        for protocol, said in record["metrics"].items():
            assert mean_metrics(replace(results, mask=protocol.split("/")[1]).ranks(record)) == pytest.approx(said)
        assert len(results.traits(record)["length"]) == len(results.ranks(record))
    assert not [f for f in files(folder / "work") if "checkpoint" in f]


def test_what_is_done_is_not_done_again(whole):
    folder, _ = whole
    before = {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*.*")}
    assert ran(here(folder)) == []
    assert {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*.*")} == before


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_stopped_in_training_goes_on(whole, tmp_path, sign):
    process = start(tmp_path)
    deadline = time.monotonic() + 120
    while not (found := list(tmp_path.glob("work/synthetic/intrr-*.checkpoint.safetensors"))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if sign == signal.SIGINT else -sign), err
    assert files(tmp_path / "results") == {
        *(f"synthetic/popularity-0.{x}" for x in ("json", "ranks.safetensors")),
        TRAITS,
    }
    first = load_tensors(found[0])[1]["progress"]["curve"][0]
    made = ran(here(tmp_path))
    assert [r["name"] for r in made] == NAMES[1:]
    assert made[0]["config"]["curve"][0] == first  # with its seconds: the epoch was not trained again
    assert {r["name"]: r["metrics"] for r in made}.items() <= whole[1].items()
    assert files(tmp_path / "results") == files(whole[0] / "results")
    assert not [f for f in files(tmp_path / "work") if "checkpoint" in f]


def test_two_processes_share_the_work(whole, tmp_path):
    both = [start(tmp_path) for _ in range(2)]
    outs = [p.communicate(timeout=300) for p in both]
    assert [p.returncode for p in both] == [0, 0], outs
    made = [r for out, _ in outs for r in json.loads(out)["ran"]]
    assert sorted(r["name"] for r in made) == sorted(NAMES)  # each by one of them, none twice
    assert {r["name"]: r["metrics"] for r in made} == whole[1]
    assert len(list(tmp_path.glob("work/synthetic/rkmeans-*/sids.safetensors"))) == 1


def test_another_configuration_is_not_overwritten(whole, tmp_path):
    results = tmp_path / "results" / "synthetic"
    results.mkdir(parents=True)
    record = json.loads((whole[0] / "results/synthetic/popularity-0.json").read_text())
    record["config"]["setup"]["levels"] = 2
    (results / "popularity-0.json").write_text(json.dumps(record))
    only = "--only", "popularity"
    refused(here(tmp_path, *only), "popularity-0.json: of another configuration", "setup.levels was 2, is 3")
    assert [r["name"] for r in ran(here(tmp_path, *only, "--rerun"))] == ["popularity-0"]
    assert ran(here(tmp_path, *only)) == []
