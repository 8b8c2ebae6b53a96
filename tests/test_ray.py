"""A Ray cluster of two nodes on this machine does what one process does, also when a worker is killed in the middle."""

import os
import signal
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

import intrr
import intrr.cluster
from intrr.cluster import BlockWriter, recommend_everybody, run_matrix_on_cluster
from intrr.core import InputError
from intrr.distributed import CatalogueWorker, ray_cluster, read_ids, sample_embeddings, write_ids
from intrr.matrix import make_matrix
from intrr.quantizers import RKMeans
from intrr.records import Results
from intrr.synthetic import make_catalogue

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'intrr[ray]'")

N, DIM = 4_000, 8


NODE = dict(num_cpus=1, object_store_memory=200_000_000, no_monitor=True)
NODE |= dict(include_dashboard=False, include_log_monitor=False)


@contextmanager
def start_two_nodes():
    "A cluster of two nodes of one core; a node whose helpers start too late on a busy machine ends itself: once more"
    from ray.cluster_utils import Cluster

    for attempt in range(3):
        cluster = Cluster()
        try:
            cluster.add_node(**NODE)
            cluster.add_node(**NODE)
            break
        except Exception as e:
            cluster.shutdown()
            if attempt == 2:
                pytest.skip(f"Ray did not start two nodes on this machine: {e}")
    try:
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def two_nodes():
    "Connected to two nodes; workers get what is defined in this file by value"
    calm = {"USAGE_STATS_ENABLED": "0", "enable_worker_prestart": "0", "prestart_worker_first_driver": "0"}
    patient = {"agent_register_timeout_ms": "120000", "health_check_timeout_ms": "60000"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (calm | patient).items():
            patch.setenv(f"RAY_{name}", value)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        with start_two_nodes() as cluster, ray_cluster(cluster.address):
            yield cluster


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    "A catalogue in three files, shuffled, a quantizer fitted on a part of it, and the IDs of the serial path"
    folder = tmp_path_factory.mktemp("shop")
    x = torch.randn(N, DIM, generator=torch.Generator().manual_seed(0))
    texts = [" ".join(f"{v!r}" for v in row) for row in x.tolist()]
    frame = pd.DataFrame({"item": np.arange(N), "text": texts}).sample(frac=1, random_state=0)
    (folder / "items").mkdir()
    for i in range(3):
        frame.iloc[i::3].to_parquet(folder / "items" / f"{i}.parquet")
    quantizer = RKMeans(levels=2, size=16, max_iter=10).fit(x[:1_000], progress=False)
    return folder, quantizer, quantizer.sids(x)


def read_numbers(texts):
    return torch.tensor([[float(v) for v in text.split()] for text in texts])


def make_reader():
    return read_numbers


def make_frail(marker):
    "An encoder whose process is killed at its third batch, once"

    def make():
        batches = []

        def encode(texts):
            batches.append(len(texts))
            if len(batches) == 3 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return read_numbers(texts)

        return encode

    return make


def test_two_nodes_give_the_ids_of_one_process(two_nodes, shop):
    folder, quantizer, sids = shop
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    made = write_ids(folder / "items", folder / "ids", quantizer, make_reader, batch=256, part=1_500)
    assert made["items"] == N and made["sizes"] == list(sids.sizes)
    items, found = read_ids(folder / "ids")
    assert (items == np.arange(N)).all() and torch.equal(found.codes, sids.codes)
    assert len(list((folder / "ids").glob("*.parquet"))) > 1
    with pytest.raises(InputError, match="is there already"):
        write_ids(folder / "items", folder / "ids", quantizer, make_reader)


def test_a_killed_worker_changes_nothing(two_nodes, shop, tmp_path):
    folder, quantizer, sids = shop
    frail = make_frail(tmp_path / "killed")
    write_ids(folder / "items", tmp_path / "ids", quantizer, frail, batch=256, part=1_500)
    assert (tmp_path / "killed").exists()
    items, found = read_ids(tmp_path / "ids")
    assert (items == np.arange(N)).all() and torch.equal(found.codes, sids.codes)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_sample_is_the_same_however_the_files_are_cut(two_nodes, shop, tmp_path):
    folder, *_ = shop
    whole = pd.concat([pd.read_parquet(f) for f in (folder / "items").iterdir()])
    whole.to_parquet(tmp_path / "whole.parquet")
    serial = CatalogueWorker(make_reader).draw((tmp_path / "whole.parquet", 0), 500 / N)
    order = np.argsort(np.concatenate([batch["hash"] for batch in serial]))
    drawn = sample_embeddings(folder / "items", 500, make_reader)
    assert (drawn.numpy() == np.concatenate([batch["embedding"] for batch in serial])[order]).all()
    assert abs(len(drawn) - 500) < 100


def test_everybody_gets_the_recommendations_of_one_process(two_nodes, tmp_path, monkeypatch):
    "Also where a worker is killed, and where a block is missing"
    small = {"dim": 16, "hidden": 16, "epochs": 1, "parts": "ids", "encoder": "tfidf", "progress": False}
    model = intrr.fit(make_catalogue(n_items=200, n_users=300), folder=tmp_path / "run", **small)
    model.write_recommendations(tmp_path / "one.parquet", k=5)

    class Frail(BlockWriter):
        def write(self, number):
            if number == 1 and not (self.folder / "killed").exists():
                (self.folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().write(number)

    monkeypatch.setattr(intrr.cluster, "BlockWriter", Frail)
    assert recommend_everybody(tmp_path / "run", tmp_path / "all", k=5, block=100) == 300
    assert (tmp_path / "all" / "killed").exists()
    (tmp_path / "all" / "users-000001.parquet").unlink()
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "all").glob("*.parquet")}
    assert recommend_everybody(tmp_path / "run", tmp_path / "all", k=5, block=100) == 100
    assert all((tmp_path / "all" / name).stat().st_mtime_ns == t for name, t in before.items())
    files = sorted((tmp_path / "all").glob("*.parquet"))
    one, found = (pd.read_parquet(f).sort_values(["user", "rank"]) for f in (tmp_path / "one.parquet", files))
    assert (one[["user", "rank", "item"]].to_numpy() == found[["user", "rank", "item"]].to_numpy()).all()
    np.testing.assert_allclose(one["score"], found["score"], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="begun with another k"):
        recommend_everybody(tmp_path / "run", tmp_path / "all", k=6, block=100)
    intrr.fit(model.data, folder=tmp_path / "run", **small | {"epochs": 2}, overwrite=True)
    with pytest.raises(InputError, match="begun with another weights"):
        recommend_everybody(tmp_path / "run", tmp_path / "all", k=5, block=100)


def test_experiments_are_tasks(two_nodes, tmp_path):
    cells = make_matrix("table1", only=("popularity", "counts"))
    made = run_matrix_on_cluster(cells, Results(tmp_path / "results"), tmp_path / "work")
    assert sorted(record["model"] for record in made) == ["counts", "popularity"]
    assert run_matrix_on_cluster(cells, Results(tmp_path / "results"), tmp_path / "work") == []
