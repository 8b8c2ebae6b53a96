"The command line as a person meets it: exit codes, one line of explanation, and what stands on disk after a failure."

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest

from intrr.api import load
from intrr.cli import main
from intrr.core import InputError, load_tensors
from intrr.quantizers import RKMeans
from intrr.sids import SemanticIDs

# A process that is started in the background ignores Ctrl-C; here it must not.
SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
CODE = SIGINT + "import sys; from intrr.cli import main; sys.exit(main())"
LITTLE = ["--parts", "ids", "--recipe", "dim=16", "hidden=16", "epochs=3"]


def intrr(*words, **kw):
    "A command in this process, or in one of its own where the process has options"
    words = list(map(str, words))
    if kw:
        return subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, **kw)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as e:  # of words that cannot be parsed
            code = e.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def refused(out, *parts):
    "Exit code 2, nothing on standard output, and one line that holds all parts"
    assert (out.returncode, out.stdout) == (2, ""), out.stderr
    line = [s for s in out.stderr.splitlines() if s.startswith("intrr: ")]
    assert len(line) == 1 and "Traceback" not in out.stderr, out.stderr
    for part in parts:
        assert part in line[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A run folder with Semantic IDs and a trained IntRR"
    folder = tmp_path_factory.mktemp("runs") / "demo"
    made = intrr("sids", "--out", folder, "--json")
    assert made.returncode == 0 and "items not alone, %" in json.loads(made.stdout)["health"], made.stderr
    out = intrr("train", folder, *LITTLE, "--json")
    assert out.returncode == 0, out.stderr
    return folder


def test_json_is_alone_on_standard_output(run):
    for words in (["evaluate", run], ["recommend", run, "--history", "12", "55", "--k", "3"]):
        out = intrr(*words, "--json")
        assert out.returncode == 0, out.stderr
        assert isinstance(json.loads(out.stdout), dict)
        assert len(out.stdout.splitlines()) == 1


def test_a_record_says_how_it_was_made(run):
    record = json.loads(intrr("evaluate", run, "--json").stdout)
    assert record["model"] == "intrr" and record["quantizer"] == "rkmeans" and record["epochs"] == 3
    assert record["config"]["recipe"]["dim"] == 16 and record["environment"]["torch"]
    assert set(record["metrics"]) == {"file/unmasked", "file/masked"}
    assert record["params"] > 0 and record["seconds"]["train"] > 0


SERVE = """
import json, sys, torch
_, rows = torch.export.load(sys.argv[1] + ".pt2").module()(torch.tensor([[12, 55, -1]]))
ids = json.load(open(sys.argv[1] + ".json"))["items"]
print(json.dumps([[ids[row] for row in rows[0]], "intrr" in sys.modules]))
"""


def test_an_exported_program_recommends_the_same_without_the_package(run, tmp_path):
    out = intrr("export", run, "--out", tmp_path / "demo.pt2", "--k", "5", "--json")
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout)["bytes"] == (tmp_path / "demo.pt2").stat().st_size
    words = [sys.executable, "-I", "-c", SERVE, str(tmp_path / "demo")]
    ids, imported = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    settings = json.loads((tmp_path / "demo.json").read_text())
    history = [settings["items"][row] for row in (12, 55)]
    same = json.loads(intrr("recommend", run, "--history", *history, "--k", "5", "--json").stdout)
    assert ids == [item["id"] for item in same["recommendations"]] and not imported
    assert settings["k"] == 5 and set(settings["origin"]) == {"model", "data", "sids"}
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))}
    refused(intrr("export", run, "--out", tmp_path / "full.pt2", **limit), "full.pt2: cannot write")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo.json", "demo.pt2"]


def test_stopped_and_resumed_ends_like_one_that_was_not(run, tmp_path):
    folder = tmp_path / "stopped"
    intrr("sids", "--out", folder, "--json")
    words = [sys.executable, "-c", CODE, "train", str(folder), "--seed", "3", *LITTLE]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    check = folder / "intrr.checkpoint.safetensors"
    while not check.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "continue with --resume" in err
    assert not (folder / "intrr.safetensors").exists()
    assert load_tensors(check)[1]["progress"]["epoch"] < 3
    assert not [p for p in folder.iterdir() if p.suffix == ".tmp"]
    refused(intrr("train", folder, *LITTLE), "holds a half-trained 'intrr'", "--resume", "--overwrite")
    refused(intrr("train", folder, "--resume", "--seed", "4"), "'intrr' was begun with the seed 3, not 4")
    assert intrr("train", folder, "--resume").returncode == 0  # with the recipe and the seed that it was started with
    whole = shutil.copytree(run, tmp_path / "whole")
    assert intrr("train", whole, "--seed", "3", "--overwrite", *LITTLE).returncode == 0
    (a, x), (b, y) = (load_tensors(f / "intrr.safetensors") for f in (whole, folder))
    assert all(a[k].equal(b[k]) for k in a) and x["progress"]["best"] == y["progress"]["best"]


def test_full_disk_leaves_the_earlier_file(run, tmp_path):
    "A limit on the size of files stands in for a full disk"
    run = shutil.copytree(run, tmp_path / "copy")
    before = (run / "intrr.safetensors").read_bytes()
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))}
    out = intrr("train", run, "--overwrite", *LITTLE[:-1], "epochs=1", **limit)
    refused(out, "cannot write", "free some space")
    assert (run / "intrr.safetensors").read_bytes() == before
    assert not [p for p in run.iterdir() if p.suffix == ".tmp"]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    refused(intrr("sids", "--out", tmp_path / "file" / "run"), "file/run", "choose another folder")


def test_damaged_weights(run, tmp_path):
    path = run / "intrr.safetensors"
    good = path.read_bytes()
    try:
        path.write_bytes(good[: len(good) // 2])
        refused(intrr("evaluate", run), "intrr.safetensors", "damaged")
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize(
    "words,parts",
    [
        (["recommend", "RUN", "--history", "99999"], ["item 99999", "use ids of its items"]),
        (["recommend", "RUN"], ["history: empty"]),
        (["recommend", "RUN", "--history", "1", "--k", "9999"], ["k = 9999", "1200 items"]),
        (["recommend", "nowhere", "--history", "1"], ["nowhere", "intrr run"]),
        (["evaluate", "--model", "knn", "--data", "nowhere"], ["nowhere", "sequences.txt"]),
        (["sids", "--encoder", "no/such-encoder", "--out", "NEW"], ["no/such-encoder"]),
        (["sids", "--size", "5000", "--out", "NEW"], ["fewer than 5000 codewords"]),
        (["sids", "--quantizer-recipe", "best", "--out", "NEW"], ["no quantizer recipe 'best'", "recommended, paper"]),
        (["run", "--quantizer-recipe", "best", "--out", "NEW"], ["no quantizer recipe 'best'", "recommended, paper"]),
        (["sids", "--device", "cuda:77"], ["cuda:77", "use 'cpu'"]),
        (["train", "RUN", "--model", "gru"], ["no model 'gru'", "intrr, sasrec"]),
        (["train", "RUN", "--recipe", "dim=-3"], ["dim is -3"]),
        (["train", "RUN"], ["holds a trained 'intrr'", "--resume", "--overwrite"]),
        (["train", "RUN", "--resume", "--overwrite"], ["choose one"]),
        (["sids", "--co-occurrence", "-1", "--out", "NEW"], ["co_occurrence is -1.0", "at least 0"]),
        (["sids", "--from", "nowhere.json", "--out", "NEW"], ["nowhere.json: cannot read"]),
        (["import", "nowhere.csv", "items.csv", "--out", "NEW"], ["nowhere.csv: no such file"]),
        (["import", "RUN"], ["name the dataset folder to be made"]),
        (["tune", "RUN", "--search", "dropout=0.5:0.1"], ["dropout=0.5:0.1 is no range"]),
        (["train", "RUN", "--resume", "--recipe", "dim=24"], ["checkpoint of another recipe"]),
        (["export", "RUN"], ["name the file to be made"]),
        (["export", "RUN", "--out", "NEW"], ["name it new.pt2"]),
        (["export", "RUN", "--out", "NEW.pt2", "--model", "knn"], ["TransitionKNN has no such file"]),
        (["run", "--out", "RUN"], ["holds a trained 'intrr'", "--resume", "--overwrite"]),
        (["quickstart", "--out", "RUN"], ["holds a trained 'intrr'", "--resume", "--overwrite"]),
    ],
)
def test_refused(run, tmp_path, capsys, words, parts):
    place = {"RUN": run, "NEW": tmp_path / "new", "NEW.pt2": tmp_path / "new.pt2"}
    code = main([str(place.get(w, w)) for w in words])
    refused(SimpleNamespace(returncode=code, stdout=(seen := capsys.readouterr()).out, stderr=seen.err), *parts)
    assert not (tmp_path / "new" / "run.json").exists()


def test_quantizer_trained_as_in_the_paper(run, tmp_path):
    made = intrr("sids", "--quantizer-recipe", "paper", "--size", "16", "--out", tmp_path / "paper", "--json")
    assert json.loads(made.stdout)["sids"]["sizes"][:3] == [16, 16, 16], made.stderr
    recipes = [json.loads((f / "run.json").read_text())["setup"]["quantizer_recipe"] for f in (run, tmp_path / "paper")]
    configs = [SemanticIDs.load(f / "sids.safetensors").meta["config"] for f in (run, tmp_path / "paper")]
    assert recipes == ["recommended", "paper"]
    assert configs == [{**RKMeans().config, "size": 32}, {**RKMeans.paper().config, "size": 16}]


@pytest.mark.parametrize("command", ["sids", "run"])
def test_help_names_the_recipes_of_the_quantizer(command):
    out = intrr(command, "--help", env={**os.environ, "COLUMNS": "200"})
    assert out.returncode == 0 and "--quantizer-recipe" in out.stdout
    assert "recommended, or paper: trained like the reference" in out.stdout


def test_whole_path_on_two_users_and_items_that_share_no_codes(tmp_path):
    shop = tmp_path / "shop"
    shop.mkdir()
    words = ("red", "blue", "tin", "oak", "wool", "brass")
    titles = [f"{a} {b} {n}" for n, (a, b) in enumerate((a, b) for a in words for b in words if a != b)]
    items = [json.dumps({"id": n, "title": title}) for n, title in enumerate(titles)]
    (shop / "items.jsonl").write_text("\n".join(items) + "\n")
    (shop / "sequences.txt").write_text("ann 0 1 2 3 4 5\nbob 7 6 5 4 3 9\n")
    out = intrr("run", "--data", shop, "--out", tmp_path / "run", "--models", "intrr", "--recipe", "epochs=1", "--json")
    assert out.returncode == 0, out.stderr
    report = (tmp_path / "run/report.md").read_text(encoding="utf-8")
    assert "The two that have left most of their codes:" in report and report.count("\nAfter ") == 2
    assert "category purity" not in report and (tmp_path / "run/redistribution.png").stat().st_size > 5000


def test_help_and_version_answer_at_once():
    "Without importing what computes"
    code = "import sys; from intrr.cli import main; main(sys.argv[1:]); assert not {'torch', 'tyro'} & set(sys.modules)"
    for word, told in (("--help", "quickstart"), ("--version", "intrr 0.")):
        out = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True)
        assert out.returncode == 0 and told in out.stdout, out.stderr


def test_a_closed_pipe_is_quiet():
    "As in `intrr matrix --list | head`, where nobody reads to the end"
    words = ["matrix", "ablations", "--list", "--seeds", *map(str, range(200))]  # more than a pipe holds
    process = subprocess.Popen([sys.executable, "-c", CODE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(60) == 141


def test_unknown_words_leave_with_2():
    assert intrr("fly").returncode == 2
    assert intrr("train", "--wings").returncode == 2


def test_output_that_is_not_utf8(run):
    out = intrr("recommend", run, "--model", "knn", "--history", "1", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert out.returncode == 0 and "Traceback" not in out.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_is_full():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", CODE, "matrix", "--list"]
        out = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert out.returncode == 2 and "Traceback" not in out.stderr and out.stderr.count("intrr: ") == 1


def test_sigterm_ends_it_with_nothing_half_written(run, tmp_path):
    out = subprocess.Popen(
        [sys.executable, "-c", CODE, "train", run, "--model", "sasrec", *LITTLE[:-1], "epochs=400", "patience=400"],
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if (run / "sasrec.checkpoint.safetensors").exists():
            break
        time.sleep(0.1)
    out.send_signal(signal.SIGTERM)
    assert out.wait(60) == 128 + signal.SIGTERM and "stopped by SIGTERM" in out.stderr.read()
    assert not list(run.glob(".*.tmp"))


def test_nothing_to_train():
    refused(intrr("run", "--models"), "models: none")


def test_push_writes_what_load_opens(run, tmp_path, capsys):
    "A pushed folder opens, a spoilt one is refused, and what cannot be pushed leaves nothing"
    for words, said in (
        ([tmp_path / "model"], "push: name run, place and licence"),
        (["hf://model", "--licence", "mit"], "hf://model: not a repository"),
        ([tmp_path / "model", "--licence", "mit", "--model", "sasrec"], "no trained 'sasrec'"),
    ):
        assert main(["push", str(run), *map(str, words)]) == 2 and said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    out = intrr("push", run, tmp_path / "model", "--licence", "mit", "--json")
    assert json.loads(out.stdout)["pushed"] == str(tmp_path / "model"), out.stderr
    assert len(load(tmp_path / "model").recommend(histories=[["12", "55"]], k=3)) == 3
    with (tmp_path / "model/intrr.safetensors").open("ab") as f:
        f.write(b"x")
    with pytest.raises(InputError, match="not the file that the manifest lists"):
        load(tmp_path / "model")
    refused(intrr("push", run, tmp_path / "model", "--licence", "mit"), "is not empty; name another folder")
