"Data that grew after the training, on the command line: an old run recommends from them; what has changed is refused."

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace

import pytest
import torch

from intrr.cli import main
from intrr.readers import write_folder
from intrr.synthetic import make_catalogue

SHOP = make_catalogue(n_items=110, n_users=300)
LITTLE = ["--recipe", "dim=8", "hidden=8", "layers=1", "epochs=1"]


def intrr(*words):
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def earlier(data, n_items):
    "The beginning of each history: what comes before its last item and before the first of the late items"
    histories = [data.flat[a:b] for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    late = [(h >= n_items).nonzero() for h in histories]
    ends = [min(len(h) - 1, int(x[0]) if len(x) else len(h)) for h, x in zip(histories, late, strict=True)]
    users = [u for u, end in enumerate(ends) if end >= 3]
    flat = torch.cat([histories[u][: ends[u]] for u in users])
    times = torch.cat([data.times[data.offsets[u] :][: ends[u]] for u in users])
    offsets = torch.tensor([0, *(ends[u] for u in users)]).cumsum(0)
    return replace(data, items=data.items[:n_items], flat=flat, times=times, offsets=offsets, users=data.users[users])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    "A run on the old data, and newer data beside it"
    folder = tmp_path_factory.mktemp("shop")
    old = earlier(SHOP, 100)
    write_folder(old, folder / "old")
    write_folder(SHOP, folder / "new")
    assert intrr("sids", "--data", folder / "old", "--encoder", "tfidf", "--out", folder / "run")[0] == 0
    assert intrr("train", folder / "run", "--model", "sasrec", "--parts", "all", *LITTLE)[0] == 0
    assert intrr("train", folder / "run", "--model", "flat", *LITTLE)[0] == 0
    return folder


def test_an_old_run_recommends_from_newer_data(shop):
    folder, new = shop, SHOP
    words = ["recommend", folder / "run", "--data", folder / "new", "--user", new.users[0], "--json", "--k", "110"]
    code, out, err = intrr(*words, "--model", "sasrec")
    assert code == 0, err
    found = json.loads(out)
    history = new.items["id"].to_numpy()[new.flat[: new.offsets[1]]].tolist()
    assert [str(i["id"]) for i in found["history"]] == [str(i) for i in history]
    assert len(found["recommendations"]) == 110 - len(set(history))  # the new items as well
    code, out, err = intrr(*words[:-1], "100", "--model", "flat")
    assert code == 0, err
    assert [s[:44] for s in err.splitlines() if s[:6] == "intrr:"] == ["intrr: 10 new items are left out of the rank"]
    late = {str(i) for i in new.items["id"][100:]}
    assert not late & {str(i["id"]) for i in json.loads(out)["recommendations"]}


def test_changed_data_are_refused(shop, tmp_path):
    folder, new = shop, SHOP
    other = new.flat.clone()
    other[1] = (other[1] + 1) % 100
    write_folder(replace(new, flat=other), tmp_path / "changed")
    code, out, err = intrr(
        "recommend", folder / "run", "--data", tmp_path / "changed", "--history", "1", "--model", "knn"
    )
    assert (code, out) == (2, "") and "position 2: item was" in err and len(err.strip().splitlines()) == 1
