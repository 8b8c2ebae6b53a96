"What holds for every test: one thread a worker, and property tests that draw the same examples each time."

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: more threads than cores are slow
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test reaches for the network

from hypothesis import settings

settings.register_profile("intrr", deadline=None, derandomize=True)
settings.load_profile("intrr")
