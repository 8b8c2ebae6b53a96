"""A UID table that TorchRec divides among two processes takes the place of the whole one: the same losses and vectors.

TorchRec asks for a CUDA package, so it is not among the dependencies; on a CPU:
pip install --no-deps torchrec fbgemm-gpu-cpu tensordict pyre-extensions pyvers torchmetrics lightning-utilities"""

import runpy
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from accelerate import notebook_launcher

from intrr.batches import Processes, make_optimizer, train_step, training_windows
from intrr.core import seed_everything
from intrr.intrr_model import IntRR
from intrr.recipes import Recipe
from intrr.sids import random_sids
from intrr.synthetic import make_catalogue

pytest.importorskip("torchrec", reason="TorchRec is not installed")

ROOT, RATE = Path(__file__).parents[1], 0.05
STILL = dict(dim=16, hidden=16, layers=1, dropout=0.0, token_dropout=0.0, normaliser="children", alignment=0.5)
STILL["max_grad_norm"] = 0.0  # it would be the norm of the other gradients alone


def start():
    seed_everything(0)
    data, sids = make_catalogue(n_items=300, n_users=600, seed=0), random_sids(300, size=16)
    return IntRR(sids, Recipe(**STILL)), training_windows(data.train())


def by_hand():
    "One process and a whole table, whose rows take steps of row-wise Adagrad"
    net, rows = start()
    optimizer = make_optimizer(net, net.recipe)
    optimizer.param_groups[0]["params"] = [p for p in optimizer.param_groups[0]["params"] if p is not net.uid.weight]
    squares, losses = torch.zeros(300), []
    for batch in (rows[:25], rows[25:60]):
        net.uid.weight.grad = None
        parts = train_step(net, optimizer, batch, times=None, processes=Processes(net.device))
        losses.append(sum(v.item() for v in parts.values()))
        g = net.uid.weight.grad
        squares += g.square().mean(1)
        net.uid.weight.data -= RATE * g / (squares.sqrt() + 1e-8)[:, None]
    return losses, net.uid.weight.detach(), net.ran.books[0].detach()


def sharded(out):
    net, rows = start()
    processes = Processes(net.device)
    made = runpy.run_path(str(ROOT / "nbs/tutorials/sharded_table.py"))["ShardedTable"](net.uid.weight.data, RATE)
    net.uid, losses = made, []
    optimizer = make_optimizer(net, net.recipe)
    held = {g.local_shards()[0].tensor.shape for g in made.table.state_dict().values()}
    for batch in (rows[:25], rows[25:60]):
        parts = train_step(net, optimizer, batch, times=None, processes=processes)
        losses.append(sum(processes.all_reduce(v).item() for v in parts.values()))
    uids = made(torch.arange(300)).detach()
    if dist.get_rank() == 0:
        torch.save((losses, uids, net.ran.books[0].detach(), held), out)


def test_two_processes_hold_half_of_it_each(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    notebook_launcher(sharded, (str(tmp_path / "out.pt"),), num_processes=2, use_port=port)
    losses, uids, codewords, held = torch.load(tmp_path / "out.pt", weights_only=False)
    want = by_hand()
    assert held == {torch.Size([150, 16])}
    assert losses == pytest.approx(want[0], rel=1e-4)
    torch.testing.assert_close(uids, want[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(codewords, want[2], rtol=1e-3, atol=1e-4)
    assert (uids - start()[0].uid.weight).abs().max() > 0.01
