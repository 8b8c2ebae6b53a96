"The web service of the tutorial, in a process of its own: many requests at once, a new model, bad input."

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import torch

from intrr.export import save_export
from intrr.recipes import Recipe
from intrr.sequence_models import SASRec

APP = Path(__file__).parents[1] / "nbs/tutorials/serve.py"
IDS = [f"a{row}" for row in range(60)]
HISTORIES = torch.randint(len(IDS), (50, 7), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SASRec(len(IDS), Recipe.sasrec(dim=8, layers=1)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("serve")
    save_export(model, folder / "shop.onnx", IDS, k=20, facts={"titles": [f"Item {id}" for id in IDS]})
    return folder


@pytest.fixture(scope="module")
def client(folder):
    "The service on a free port of the loopback"
    shutil.copy(APP, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-I", "-m", "uvicorn", "serve:app", "--app-dir", str(folder), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--log-level", "warning"], env=os.environ | {"MODEL": str(folder / "shop.onnx")}
    ) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            for _ in range(600):
                try:
                    client.get("/health")
                    break
                except httpx.ConnectError:
                    assert process.poll() is None
                    time.sleep(0.1)
            yield client
        process.terminate()


def asked(row, **more):
    return {"history": [IDS[item] for item in HISTORIES[row]], "k": 10, **more}


def many(client, n):
    "So many requests at once: their answers, in order"
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda i: client.post("/recommend", json=asked(i % 50)), range(n)))


@pytest.mark.parametrize("masked", [True, False])
def test_fifty_at_once_get_what_the_model_says(client, model, masked):
    score, rows = model.topk(HISTORIES, 10, exclude=HISTORIES if masked else None)
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda i: client.post("/recommend", json=asked(i, masked=masked)), range(50)))
    assert {r.status_code for r in found} == {200}
    items = [r.json()["items"] for r in found]
    assert [[item["id"] for item in best] for best in items] == [[IDS[row] for row in best] for best in rows]
    assert items[0][0]["title"] == f"Item {items[0][0]['id']}"
    told = torch.tensor([[item["score"] for item in best] for best in items])
    assert torch.allclose(told, score, atol=1e-5)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"history": []}, "at least 1 item"),
        ({"history": ["a1", "nowhere"]}, "no items nowhere"),
        ({"history": ["a1"], "k": 21}, "at most 20"),
        ({"history": ["a1"], "k": 0}, "greater than or equal to 1"),
        ({"history": "a1"}, "valid list"),
        ({}, "Field required"),
    ],
)
def test_bad_input_is_answered_with_422(client, query, said):
    answer = client.post("/recommend", json=query)
    assert answer.status_code == 422 and said in answer.text
    assert client.post("/recommend", json=asked(0)).status_code == 200


def test_short_catalogues_give_fewer_items(client):
    found = client.post("/recommend", json={"history": IDS[:55], "k": 20}).json()["items"]
    assert {item["id"] for item in found} == set(IDS[55:])


def test_health_and_metrics(client):
    assert client.get("/health").json() == {"status": "ok", "items": 60, "k": 20, "max_len": 20}
    before = served(client)
    many(client, 10)
    assert served(client) == before + 10


def served(client):
    lines = client.get("/metrics").text.splitlines()
    return next((float(s.split()[1]) for s in lines if s.startswith('recommend_seconds_count{status="200"}')), 0)


def test_a_new_model_takes_over_without_a_lost_request(client, folder):
    "A damaged file is refused and the earlier model goes on; then one with other ids, while requests come in"
    about = json.loads((folder / "shop.json").read_text())
    whole = (folder / "shop.onnx").read_bytes()
    (folder / "shop.onnx").write_bytes(whole[:1000])
    assert client.post("/reload").status_code == 409
    assert {r.status_code for r in many(client, 5)} == {200}
    (folder / "shop.onnx").write_bytes(whole)
    old = [r.json() for r in many(client, 50)]
    (folder / "shop.json").write_text(json.dumps(about | {"titles": [f"New {id}" for id in IDS]}))
    with ThreadPoolExecutor(9) as pool:
        found = [pool.submit(client.post, "/recommend", json=asked(i % 50)) for i in range(200)]
        while not any(f.done() for f in found):
            time.sleep(0.001)
        assert client.post("/reload").status_code == 200
        answers = [f.result() for f in found]
    assert {r.status_code for r in answers} == {200}
    titles = [[item["title"] for item in r.json()["items"]] for r in answers]
    assert all(len({t.split()[0] for t in row}) == 1 for row in titles)  # each answer is of one model
    assert [len(row) for row in titles] == [10] * 200 and {row[0].split()[0] for row in titles} == {"Item", "New"}
    assert [[i["id"] for i in r.json()["items"]] for r in many(client, 50)] == [
        [i["id"] for i in r["items"]] for r in old
    ]
