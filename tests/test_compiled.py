"Requests compiled on a CPU answer what `topk` answers, and say what is missing where they cannot be compiled."

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from intrr.core import InputError
from intrr.flattened import FlatSID
from intrr.graphs import CompiledTopK
from intrr.intrr_model import IntRR
from intrr.recipes import Recipe
from intrr.sequence_models import SASRec
from intrr.sids import random_sids

SIDS = random_sids(300, size=16)
SMALL = dict(dim=16, hidden=16, layers=1)
HEADER = Path(sysconfig.get_paths()["include"]) / "Python.h"
SLOW = pytest.mark.skipif("INTRR_SLOW" not in os.environ, reason="a minute each; set INTRR_SLOW to run it")
COMPILER = pytest.mark.skipif(
    not (shutil.which("g++") and HEADER.exists()), reason="no g++ or no Python.h: apt-get install g++ python3-dev"
)
MODELS = {
    "sasrec": (lambda: SASRec(300, Recipe.sasrec(dim=16)), None),
    "exact": (lambda: IntRR(SIDS, Recipe(**SMALL)), None),
    "beam": (lambda: IntRR(SIDS, Recipe(backbone="hstu", **SMALL)), 20),
    "flat": (lambda: FlatSID(SIDS, Recipe.flat(**SMALL)), 20),
}


@COMPILER
@pytest.mark.parametrize("name", ["sasrec", *(pytest.param(name, marks=SLOW) for name in ("exact", "beam", "flat"))])
def test_answers_are_those_of_topk(name):
    torch.manual_seed(0)
    make, beam = MODELS[name]
    net = make()
    request = CompiledTopK(net, batch=2, length=6, k=5, beam=beam, compiled=True)
    assert not net.fixed
    for seed in range(3):
        histories = torch.randint(300, (2, 6), generator=torch.Generator().manual_seed(seed))
        histories[0, 2 + seed :] = -1
        with torch.compiler.set_stance("fail_on_recompile"):
            score, rows = request(histories)
        scores, best = net.topk(histories, 5, beam=beam)
        torch.testing.assert_close(score, scores, rtol=1e-4, atol=1e-5)
        assert rows.equal(best)
    net.train().eval()  # what it keeps is its own: training and back, or another request, do not compile it again
    CompiledTopK(net, batch=2, length=6, k=5, precision="bf16")(histories)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert request(histories)[1].equal(rows)


def test_a_missing_compiler_is_told():
    "In a process of its own, as the compiler is looked for once"
    code = (
        "from tests.test_compiled import MODELS, CompiledTopK; CompiledTopK(MODELS['exact'][0](), 1, 6, compiled=True)"
    )
    env = os.environ | {"CXX": "/no/such/compiler"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode
    assert "InputError: compiled: " in done.stderr.splitlines()[-1]
    assert "without g++ and Python's headers" in done.stderr.splitlines()[-1]  # one line says it all
    assert "InvalidCxxCompiler" in done.stderr.splitlines()[-1]


def test_branch_and_bound_is_not_compiled():
    net = IntRR(SIDS, Recipe(**SMALL))
    net.scorer.many_items = 10
    with pytest.raises(InputError, match="branch and bound has no fixed number of steps"):
        CompiledTopK(net, batch=1, length=3, compiled=True)
