"""Every stored number can be believed: records name their code and their data, and have the ranks that they come from.

What a record must have stands in `intrr.records.check_records`, with an example of each fault. Where the data are at
hand, the records are held against them as well."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from intrr.core import load_tensors
from intrr.evaluation import user_traits
from intrr.experiments import data_fingerprint
from intrr.protocols import shuffle_ties, with_protocol
from intrr.readers import read_folder
from intrr.records import Results, check_records, leaning, misfits

ROOT = Path(__file__).parents[1]
RESULTS = Results(ROOT / "nbs" / "results")
KNOWN = {"beauty": "3cadd01a30eb", "sports": "21ec92052cd7", "toys": "a92247da9412"}  # Fingerprints of the public data
DATA = Path(os.environ.get("INTRR_DATA", ROOT.parent / "shared" / "data"))
RUNS = RESULTS.records() + RESULTS.records("ablation")


def test_records_can_be_believed():
    assert check_records(RESULTS) == []


def test_real_data_are_known():
    assert RUNS and {(r["dataset"], r["config"]["data"]) for r in RUNS} <= KNOWN.items()


def test_datasets_of_efficiency_are_known():
    rows = RESULTS.records("efficiency")
    assert rows and {r["dataset"] for r in rows} <= {*KNOWN, "made up", None}
    assert all(r["dataset"] is None for r in rows if r["task"] == "ceiling")


def test_no_file_is_left_behind():
    "Ranks belong to a record"
    names = {(r["dataset"], r["name"]) for r in RUNS}
    ranks = {
        (p.parent.name, p.name.removesuffix(".ranks.safetensors"))
        for p in Path(RESULTS.folder).rglob("*.ranks.safetensors")
    }
    assert ranks == names


def test_knn_says_what_was_chosen():
    found = [r for r in RUNS if r["model"] == "knn"]
    assert found
    for r in found:
        chosen = r["config"]["chosen"]
        assert chosen["value"] >= chosen["start"] and chosen["trials"] > len(chosen["constants"]) > 0


def parts_of(record):
    "The tie order and the protocol of a record"
    setup = record["config"]["setup"]
    return setup["ties"], setup.get("protocol", "leave-one-out")


@pytest.mark.parametrize("dataset", KNOWN)
def test_ranks_come_from_the_data(dataset):
    "Fingerprint, users and targets; with the targets of other users the ranks have nothing to do"
    if not (DATA / dataset).exists():
        pytest.skip(f"no data at {DATA / dataset}")
    data = read_folder(DATA / dataset)
    assert data_fingerprint(data) == KNOWN[dataset]
    for ties, protocol in {parts_of(r) for r in RUNS if r["dataset"] == dataset}:
        split = with_protocol(data if ties is None else shuffle_ties(data, ties), protocol).test()
        users = user_traits(split)
        runs = [r for r in RUNS if r["dataset"] == dataset and parts_of(r) == (ties, protocol)]
        stored = load_tensors(RESULTS.traits_path(runs[0]))[0]
        assert all((stored[name].long() == users[name].long()).all() for name in users)
        for r in runs:
            found = {mask: replace(RESULTS, mask=mask).ranks(r) for mask in ("unmasked", "masked")}
            other = users["length"].roll(1)
            mixed = torch.randperm(len(other), generator=torch.Generator().manual_seed(0))
            assert misfits(found, users["length"]) == 0, r["name"]
            if protocol == "cold":
                continue  # targets that no count has seen have ranks that nothing explains
            assert misfits(found, other) > 0, r["name"]
            exact = any(
                protocol.endswith("/exact-masked") for protocol in r["metrics"]
            )  # a narrow beam ranks few targets
            ranked = replace(RESULTS, mask="exact-masked").ranks(r) if exact else found["masked"]
            about = [
                users[name].double() for name in ("popularity", "same_time")
            ]  # a model may hold popular items back
            near, far = (max(abs(leaning(ranked, x[rows])) for x in about) for rows in (slice(None), mixed))
            assert far < 4 < 5 < near, r["name"]
