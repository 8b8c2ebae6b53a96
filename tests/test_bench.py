"A bench as a person runs it: records are written once, and a row that fails does not stop the others."

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_cli import refused

from intrr.benches import Bench, Source
from intrr.cli import main
from intrr.core import InputError
from intrr.efficiency import efficiency_frame, machine_records, run_benches

ROWS = ["ceiling-copy", "infer-intrr-transformer-trial-n8-full-top50", "infer-intrr-transformer-trial-n8-beam10-top10"]


def bench(folder, *words):
    "`intrr bench` on the embedded catalogue, in this process"
    where = ["--results", str(folder / "results"), "--work", str(folder / "work")]
    little = ["--data", "synthetic", "--size", "trial", "--threads", "1", "--budget", "0.1"]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(["bench", *words, *where, *little, "--device", "cpu", "--json"])
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    out = bench(folder, "infer", "--only", *ROWS)
    assert out.returncode == 0, out.stderr
    return folder, json.loads(out.stdout)


def test_records(measured):
    folder, said = measured
    assert sorted(said["measured"]) == sorted(said["rows"]) == sorted(ROWS)
    found = {r["name"]: r for r in machine_records(folder / "results")}
    assert found.keys() == set(ROWS)
    assert {Path(said["folder"]) / f"{name}.json" for name in ROWS} == set((folder / "results").rglob("*.json"))
    exact = found[ROWS[1]]
    assert (exact["kind"], exact["task"], exact["dataset"], exact["items"]) == (
        "efficiency",
        "infer",
        "synthetic",
        1200,
    )
    assert exact["environment"]["threads"] == 1 and exact["config"]["recipe"]["dim"] == 16
    assert 0 < exact["seconds"]["low"] <= exact["seconds"]["median"] <= exact["seconds"]["p99"]
    assert exact["seconds"]["n"] >= 5 and exact["memory"]["resident"] > 0 and exact["flop_per_user"] > 0
    assert len(efficiency_frame(folder / "results")) == 3


def test_what_is_done_is_not_done_again(measured):
    folder, _ = measured
    before = {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*.json")}
    assert json.loads(bench(folder, "infer", "--only", *ROWS).stdout)["measured"] == []
    assert {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*.json")} == before
    again = json.loads(bench(folder, "infer", "--only", ROWS[0], "--rerun").stdout)
    assert again["measured"] == ROWS[:1]


def test_a_row_that_fails_is_named_and_the_others_are_measured(tmp_path):
    rows = [
        Bench("infer", "intrr", size="trial", engine="beam5", k=10),
        Bench("infer", "intrr", size="trial", engine="full"),
    ]
    with pytest.raises(
        InputError, match=r"1 of 2 rows failed, such as infer-intrr-transformer-trial-n20-beam5-top10: .*k = 10"
    ):
        run_benches(rows, Source(n_items=300), torch.device("cpu"), tmp_path, budget=0.05, progress=False)
    assert [r["engine"] for r in machine_records(tmp_path)] == ["full"]


def test_bad_input(measured, tmp_path):
    folder, _ = measured
    refused(bench(folder, "fast"), "bench fast: unknown; give train, infer, all")
    refused(bench(folder, "all", "--only", "lstm"), "no row's name holds lstm")
    refused(bench(folder, "all", "--run", str(tmp_path)), "no run.json")
    with pytest.raises(InputError, match="measured on synthetic, not on made up"):
        run_benches(
            [Bench("infer", "intrr", size="trial", length=8, engine="full", k=50)],
            Source(),
            torch.device("cpu"),
            folder / "results",
            progress=False,
        )
