"One thread a worker, property tests that draw the same examples each time, and tests that stay together."

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / ".docs"))  # what runs notebooks and builds the site
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: more threads than cores are slow
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test reaches for the network

import pytest
from hypothesis import settings

settings.register_profile("intrr", deadline=None, derandomize=True)
settings.load_profile("intrr")

# files whose tests share what is made once: the site, the page in the browser, the wheel, two processes, the cluster
TOGETHER = {f"tests/test_{name}.py" for name in ("docs", "lab", "packaging", "processes", "ray", "sync")}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    "With `-n`, the tests of these files stay together on one worker; all others are dealt out one by one"
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return file if file in TOGETHER else nodeid

    return Scheduler(config, log)
