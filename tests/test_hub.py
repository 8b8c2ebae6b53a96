"A trained model goes to a hub and comes back by the real client, over HTTP to a small hub on this machine."

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from intrr.experiments import Setup, size_recipe
from intrr.runs import Run

pytest.importorskip("huggingface_hub")

Files = dict[str, bytes]


class LocalHub(ThreadingHTTPServer):
    "Repositories in memory: branches of commits, a commit a mapping from path to content; large files by their hash"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Requests)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.private: dict[str, bool] = {}
        self.branches: dict[tuple[str, str], str] = {}
        self.commits: dict[str, Files] = {}
        self.large: Files = {}
        self.asked: list[str] = []

    def commit(self, repo: str, branch: str, files: Files) -> str:
        content = json.dumps([repo, len(self.commits), {k: sha256(v).hexdigest() for k, v in files.items()}])
        name = sha256(content.encode()).hexdigest()[:40]
        self.commits[name], self.branches[repo, branch] = files, name
        return name

    def at(self, repo: str, revision: str) -> tuple[str, Files] | None:
        name = self.branches.get((repo, revision), revision)
        return (name, self.commits[name]) if repo in self.private and name in self.commits else None


class Requests(BaseHTTPRequestHandler):
    "The part of the hub's protocol that pushing and loading a model need"

    server: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        self.server.asked.append(f"{self.command} {self.path}")

    def reply(self, found: object = None, status: int = 200, **headers: str) -> None:
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, what: str) -> None:
        self.reply(
            {"error": f"{what} not found"}, 404, X_Error_Code=f"{what}NotFound", X_Error_Message=f"{what} not found"
        )

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/models/([\w-]+/[\w-]+)(?:/(revision|tree)/([\w.-]+))?", path):
            self.describe(*found.groups())
        elif found := re.fullmatch(r"/([\w-]+/[\w-]+)/resolve/([\w.-]+)/(.+)", path):
            self.send_file(*found.groups())
        else:
            self.reply({"error": f"no {path}"}, 404)

    do_HEAD = do_GET

    def describe(self, repo: str, what: str | None, revision: str | None) -> None:
        if not (found := self.server.at(repo, revision or "main")):
            self.missing("Revision" if repo in self.server.private else "Repo")
        elif what == "tree":
            sizes = [{"type": "file", "path": k, "size": len(v), "oid": blob(v)} for k, v in found[1].items()]
            self.reply(sizes)
        else:
            names = [{"rfilename": name} for name in found[1]]
            self.reply({"id": repo, "sha": found[0], "private": self.server.private[repo], "siblings": names})

    def send_file(self, repo: str, revision: str, name: str) -> None:
        if not (found := self.server.at(repo, revision)):
            return self.missing("Revision" if repo in self.server.private else "Repo")
        if name not in found[1]:
            return self.missing("Entry")
        content = found[1][name]
        self.reply(content, ETag=f'"{sha256(content).hexdigest()}"', X_Repo_Commit=found[0])

    def do_POST(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.body()
        if path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif found := re.fullmatch(r"/([\w-]+/[\w-]+)\.git/info/lfs/objects/batch", path):
            self.batch(json.loads(body)["objects"])
        elif found := re.fullmatch(r"/api/models/([\w-]+/[\w-]+)/(branch|preupload|commit)/([\w.-]+)", path):
            getattr(self, found[2])(found[1], found[3], body)
        else:
            self.reply({"error": f"no {path}"}, 404)

    def create(self, asked: dict) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.server.private:
            return self.reply({"error": "exists", "url": f"{self.server.address}/{repo}"}, 409)
        self.server.private[repo] = asked.get("private", asked.get("visibility") == "private")
        self.server.commit(repo, "main", {".gitattributes": b"*.safetensors filter=lfs\n"})
        self.reply({"url": f"{self.server.address}/{repo}"})

    def branch(self, repo: str, name: str, body: bytes) -> None:
        if (repo, name) in self.server.branches:
            return self.reply({"error": "Reference already exists"}, 409)
        self.server.branches[repo, name] = self.server.branches[repo, "main"]
        self.reply({})

    def preupload(self, repo: str, branch: str, body: bytes) -> None:
        modes = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular"}
            for f in json.loads(body)["files"]
        ]
        self.reply({"files": [{**mode, "shouldIgnore": False} for mode in modes]})

    def batch(self, objects: list[dict]) -> None:
        def place(o: dict) -> dict:
            return {"upload": {"href": f"{self.server.address}/large/{o['oid']}"}}

        told = [{"oid": o["oid"], "size": o["size"], "actions": place(o)} for o in objects]
        self.reply({"transfer": "basic", "objects": told}, Content_Type="application/vnd.git-lfs+json")

    def do_PUT(self) -> None:
        body = self.body()
        self.server.large[sha256(body).hexdigest()] = body
        self.reply({})

    def commit(self, repo: str, branch: str, body: bytes) -> None:
        files = dict(self.server.at(repo, branch)[1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        name = self.server.commit(repo, branch, files)
        self.reply({"commitUrl": f"{self.server.address}/{repo}/commit/{name}", "commitOid": name})


def blob(content: bytes) -> str:
    "A name for a content"
    return sha256(content).hexdigest()[:40]


@pytest.fixture
def hub():
    with LocalHub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


PRELUDE = """
import contextlib, io, json, sys
import intrr.core
from intrr.cli import main

def push(to, *more):
    main(["push", sys.argv[1], to, "--licence", "cc-by-4.0", *more])

def recommended(source):
    model = intrr.load(source)
    return model.recommend(histories=[model.data.items["id"].tolist()[:3]], k=5).to_json(orient="split")

def not_loaded(source):
    try:
        intrr.load(source)
    except intrr.core.InputError as e:
        return f"intrr: {e}\\n"

def refused(*words):
    with contextlib.redirect_stderr(told := io.StringIO()), contextlib.suppress(SystemExit):
        main(list(words))
    return told.getvalue()
"""


def client(hub: LocalHub, home: Path, run: Path, *lines: str) -> list[str]:
    "The values of expressions, in a process whose hub is the local one"
    own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_TOKEN": "hf_local", "HF_HUB_OFFLINE": "0"}
    own |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
    code = PRELUDE + f"print(json.dumps([{', '.join(lines)}]))"
    words = [sys.executable, "-c", code, str(run)]
    done = subprocess.run(words, env={**os.environ, **own}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A model trained for an epoch on the embedded catalogue"
    folder = tmp_path_factory.mktemp("hub") / "run"
    made = Run.create(folder, Setup("synthetic", encoder="tfidf", size=8), progress=False)
    made.train("intrr", replace(size_recipe("intrr", size="trial"), epochs=1), device="cpu", progress=False)
    return folder


def test_a_model_goes_to_the_hub_and_comes_back(hub, run, tmp_path):
    pushed = "push('hf://ann/shop')", "push('hf://ann/shop@trial', '--public')"
    loads = "recommended(sys.argv[1])", "recommended('hf://ann/shop')", "recommended('hf://ann/shop@trial')"
    *_, here, there, trial = client(hub, tmp_path / "home", run, *pushed, *loads)
    assert there == trial == here
    assert hub.private == {"ann/shop": True}  # as it was made first
    assert set(hub.branches) == {("ann/shop", "main"), ("ann/shop", "trial")}
    files = hub.at("ann/shop", "main")[1]
    assert {"manifest.json", "README.md", "intrr.safetensors"} <= set(files)
    assert files["intrr.safetensors"] == (run / "intrr.safetensors").read_bytes()
    commit = hub.commit("ann/shop", "main", {**files, "weights.pkl": b"stranger's", "hook.py": b"1 / 0"})
    hub.asked.clear()
    assert client(hub, tmp_path / "other", run, f"recommended('hf://ann/shop@{commit}')") == [here]
    fetched = {line.split("/resolve/")[1].partition("/")[2] for line in hub.asked if "/resolve/" in line}
    assert "intrr.safetensors" in fetched and fetched <= {*json.loads(files["manifest.json"])["files"], "manifest.json"}


def test_what_the_hub_holds_is_verified_and_replaced_by_its_own_kind_only(hub, run, tmp_path):
    client(hub, tmp_path, run, "push('hf://ann/shop')", "push('hf://ann/old')")
    files = hub.at("ann/shop", "main")[1]
    damaged = bytearray(files["intrr.safetensors"])
    damaged[-1] ^= 1
    hub.commit("ann/shop", "main", {**files, "intrr.safetensors": bytes(damaged)})
    hub.commit("ann/old", "main", {**files, "old.safetensors": b"an older part", "NOTES.txt": b"the owner's"})
    hub.private["ann/notes"] = True
    hub.commit("ann/notes", "main", {".gitattributes": b"", "notes.txt": b"of somebody"})
    told = {
        "not_loaded('hf://ann/shop')": "not the file that the manifest lists",
        "not_loaded('hf://ann/shop@v9')": "the hub does not give or take it",
        "not_loaded('hf://ann/none')": "the hub does not give or take it",
        "not_loaded('hf://ann/notes')": "manifest.json",
        "refused('recommend', 'hf://ann/old', '--history', '1')": "no run.json; load it in Python",
        "refused('push', sys.argv[1], 'hf://ann/notes', '--licence', 'mit')": "holds something else (notes.txt)",
    }
    *found, _ = client(hub, tmp_path, run, *told, "push('hf://ann/old')")
    for (asked, what), line in zip(told.items(), found, strict=True):
        assert what in line and line.startswith("intrr: ") and line.count("\n") == 1, (asked, line)
    assert set(hub.at("ann/notes", "main")[1]) == {".gitattributes", "notes.txt"}
    assert set(hub.at("ann/old", "main")[1]) == {*files, "NOTES.txt"}
