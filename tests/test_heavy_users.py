"One user with a very long history: memory grows with the interactions, not with users times the longest history."

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from intrr.baselines import transitions
from intrr.co_occurrence import co_occurring_items
from intrr.data import Dataset
from intrr.synthetic import make_catalogue
from intrr.transitions import decayed_pairs

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the bound on memory is that of Linux")
WORK = """
import resource, torch, numpy as np
from dataclasses import replace
from intrr.api import TrainedModel, recommend_batch, given
from intrr.evaluation import rank_targets
from intrr.health import health_card
from intrr.recommenders import MODELS
from intrr.redistribution import next_items
from intrr.sids import random_sids
from intrr.synthetic import make_catalogue
from intrr.tuning import fit_baseline

shop, g = make_catalogue(n_items=120, n_users=6000), torch.Generator().manual_seed(0)
heavy = torch.randint(shop.n_items, (200_000,), generator=g)
times = torch.cat([shop.times, torch.arange(200_000)])
data = replace(shop, flat=torch.cat([shop.flat, heavy]), offsets=torch.cat([shop.offsets, shop.offsets[-1:] + 200_000]))
data = replace(data, users=np.append(shop.users, 99_999_999), times=times)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 1_500_000_000,) * 2)  # a padded matrix of all users has 10 GB
health_card(random_sids(shop.n_items, size=8), dataset=data)
next_items(data)
for name in ("counts", "knn", "similarity", "transitions", "popularity"):
    model = MODELS[name].make().fit(data)
    assert torch.isfinite(rank_targets(model, data.test(), progress=False)["unmasked"]).all()
for who, seen, when in given(data, [*shop.users[:300], 99_999_999]):
    model.topk(seen, 10, exclude=seen)
print("done")
"""


@LINUX
def test_one_heavy_user_needs_little_memory():
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    out = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, env=env)
    assert out.returncode == 0 and out.stdout == "done\n", out.stderr[-600:]


def padded_pairs(dataset: Dataset, gap: int) -> tuple[torch.Tensor, torch.Tensor]:
    "The pairs of a padded matrix of all users"
    items = dataset.train().full()
    both = items[:, gap:] >= 0
    return items[:, :-gap][both], items[:, gap:][both]


@pytest.mark.parametrize("gap", [1, 2, 5])
def test_pairs_are_those_of_the_padded_matrix(gap):
    shop = make_catalogue()
    found, naive = shop.train().pairs(gap), padded_pairs(shop, gap)
    n = shop.n_items
    assert torch.equal((found[0] * n + found[1]).sort().values, (naive[0] * n + naive[1]).sort().values)


def test_counts_are_those_of_the_padded_matrix(monkeypatch):
    shop = make_catalogue()
    width = shop.train().full().shape[1]

    def counted():
        return transitions(shop.train()).toarray(), decayed_pairs(shop.train()).toarray(), co_occurring_items(shop)

    def naive(split, gap=1):
        return padded_pairs(shop, gap) if gap < width else (torch.empty(0, dtype=torch.long),) * 2

    found = counted()
    monkeypatch.setattr("intrr.data.Split.pairs", naive)
    for a, b in zip(found, counted(), strict=True):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))
