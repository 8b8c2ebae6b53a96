"Two processes train what one trains: gradients, weights, whole runs. A launcher starts them, on the CPU."

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import notebook_launcher

from intrr.batches import Processes, make_optimizer, train_step, training_windows
from intrr.cli import main
from intrr.core import load_tensors, save_tensors, seed_everything
from intrr.flattened import FlatSID
from intrr.intrr_model import IntRR
from intrr.recipes import Recipe
from intrr.runs import Run
from intrr.sequence_models import SASRec
from intrr.sids import random_sids
from intrr.synthetic import make_catalogue
from intrr.training import train_network

STILL = dict(
    dim=16,
    hidden=16,
    layers=1,
    dropout=0.0,
    attention_dropout=0.0,
    token_dropout=0.0,
    learning_rate=1e-2,
    batch_targets=512,
    epochs=2,
)
DATA, SIDS = make_catalogue(n_items=300, n_users=600, seed=0), random_sids(300, size=16)
MODELS = {
    "intrr": lambda: IntRR(SIDS, Recipe(alignment=0.5, **STILL)),
    "codes": lambda: IntRR(SIDS, Recipe(alignment=0.5, normaliser="codes", backbone="hstu-original", **STILL)),
    "rowwise": lambda: IntRR(SIDS, Recipe(uid_optimizer="rowwise", uid_buckets=40, **STILL)),
    "flat": lambda: FlatSID(SIDS, Recipe.flat(**{**STILL, "token_dropout": 0.0})),
    "sasrec": lambda: SASRec(300, Recipe.sasrec(**STILL)),
}
FIT = {"intrr": False, "fixed": True, "rowwise": False}


def flat(tensors):
    return torch.cat([t.detach().to_dense().flatten() for t in tensors])


def steps(name, processes):
    "Losses and gradient of the first batch, and the weights after three; the last has one row, so one process has none"
    seed_everything(processes.rank)  # other weights, until they agree
    net, rows, out = MODELS[name](), training_windows(DATA.train()), {}
    optimizer, grads = make_optimizer(net, net.recipe), []
    processes.broadcast(net)
    optimizer.register_step_pre_hook(
        lambda *_: grads.append(flat(p.grad for p in net.parameters() if p.grad is not None))
    )
    for batch in (rows[:25], rows[25:60], rows[60:61]):
        parts = train_step(net, optimizer, batch, times=None, processes=processes)
        out |= {f"{k}{len(batch)}": processes.all_reduce(v) for k, v in parts.items()}
    return out | {"gradient": grads[0], "weights": flat(net.parameters())}


def whole(name, folder=None, **kw):
    "A run of two epochs"
    seed_everything(0)
    net = MODELS[name if name in MODELS else "intrr"]()
    now = train_network(
        net, DATA, progress=False, fixed=FIT[name], checkpoint=folder and folder / f"{name}.safetensors", **kw
    )
    return {"recall": now.best, "losses": [e["recommendation"] for e in now.curve], "weights": flat(net.parameters())}


def work(folder):
    "What each process does, and writes down"
    processes = Processes()
    found = {name: steps(name, processes) for name in MODELS} | {f"fit {name}": whole(name, folder) for name in FIT}
    found["resumed"] = whole("intrr", folder, resume=True)
    tensors = {f"{name}/{k}": torch.as_tensor(v).double() for name, d in found.items() for k, v in d.items()}
    save_tensors(tensors, folder / f"{processes.rank}.safetensors", processes.size)
    main(["train", str(folder / "run"), "--recipe", "dim=16", "hidden=16", "epochs=1"])


def launch(folder):
    "Make a run folder, and start two processes"
    main(["sids", "--out", str(folder / "run")])
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    notebook_launcher(work, (folder,), num_processes=2, use_port=port)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    "The folder in which two processes have written what they found"
    folder = tmp_path_factory.mktemp("two")
    words = [sys.executable, "-m", "tests.test_processes", folder]
    root = Path(__file__).parent.parent
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def one():
    "The same from one process"
    alone = Processes()
    assert (alone.rank, alone.size) == (0, 1)
    return {name: steps(name, alone) for name in MODELS} | {f"fit {name}": whole(name) for name in FIT}


@pytest.mark.parametrize("name", [*MODELS, *(f"fit {name}" for name in FIT)])
def test_two_processes_are_as_one(one, two, name):
    for rank in (0, 1):
        found, size = load_tensors(two / f"{rank}.safetensors")
        assert size == 2
        for what, value in one[name].items():
            value = torch.as_tensor(value).double()
            assert (found[f"{name}/{what}"] - value).norm() <= 1e-5 * value.norm(), (rank, what)


def test_a_shared_run_learns_and_goes_on(two):
    found = [load_tensors(two / f"{rank}.safetensors")[0] for rank in (0, 1)]
    for key in found[0]:
        assert torch.equal(found[0][key], found[1][key]), key
    assert torch.equal(found[0]["resumed/weights"], found[0]["fit intrr/weights"])
    first, last = found[0]["fit intrr/losses"].tolist()
    assert last < first and found[0]["fit intrr/recall"] > 0


def test_the_command_line_shares_a_run(two):
    opened = Run.open(two / "run")
    assert opened.trained == ["intrr"]
    model, meta = opened.load("intrr", "cpu")
    assert meta["progress"]["epoch"] == 1 and model.scores(torch.tensor([[1]])).isfinite().all()


@pytest.mark.skipif("INTRR_SLOW" not in os.environ, reason="half a minute; set INTRR_SLOW to run it")
def test_two_nodes_train_what_two_processes_train(two, tmp_path):
    run = Path(shutil.copytree(two / "run", tmp_path / "run"))
    for file in run.glob("intrr.*"):
        file.unlink()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{s.getsockname()[1]}"
    words = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    words += ["--rdzv-backend", "c10d", "--rdzv-endpoint", where, "--rdzv-id", "test"]
    words += ["-m", "intrr.cli", "train", str(run), "--recipe", "dim=16", "hidden=16", "epochs=1", "--device", "cpu"]
    nodes = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    told = [node.communicate(timeout=200)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], told
    assert sum("validation Recall@10" in text for text in told) == 1  # the first process speaks
    here, there = (load_tensors(place / "intrr.safetensors")[0] for place in (run, two / "run"))
    for name, value in there.items():
        torch.testing.assert_close(here[name], value, msg=name)


if __name__ == "__main__":
    launch(Path(sys.argv[1]))
