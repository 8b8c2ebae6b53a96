"Under autocast a trained network's items keep their codes."

from pathlib import Path

import torch

from intrr.intrr_model import IntRR
from intrr.pipeline import load_model
from intrr.recipes import Recipe
from intrr.sids import SemanticIDs, random_sids

RUN = Path(__file__).parents[1] / "nbs/runs/beauty"


@torch.no_grad()
def test_codes_of_a_trained_run_stay_under_autocast():
    sids = SemanticIDs.load(RUN / "sids.safetensors")
    net = load_model(RUN / "intrr.safetensors", sids, "cpu")[0]
    g, ran = net.guidance(torch.arange(sids.n_items)), net.ran
    codes = ran.redistribute(g).codes
    with torch.autocast("cpu", torch.bfloat16):
        assert ran.redistribute(g).codes.equal(codes)
        query, rounded = g, []  # the recursion as it is written, whose products autocast rounds
        for level, book in enumerate(ran.books):
            rounded.append((query @ book.T).argmax(-1))
            if level < len(ran.steps):
                query = ran.steps[level](book[rounded[-1]], g)
    assert (torch.stack(rounded, 1) != codes).any(1).float().mean() > 0.005


@torch.no_grad()
def test_codes_stay_under_autocast_with_projected_uids():
    "The projection from UIDs to guidance stands before the recursion, and is not rounded either"
    torch.manual_seed(0)
    net, items = IntRR(random_sids(2000, size=32), Recipe(dim=64, hidden=64, uid_dim=128)).eval(), torch.arange(2000)
    g, codes = net.guidance(items), net.redistribute(items).codes
    with torch.autocast("cpu", torch.bfloat16):
        assert net.guidance(items).equal(g) and net.redistribute(items).codes.equal(codes)
        assert not net.project(net.uid(items)).float().equal(g)
