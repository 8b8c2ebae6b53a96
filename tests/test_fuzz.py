"""Damaged input of every kind ends in an `InputError` of one line, or is read; nothing else comes out.

Valid files are cut, shortened, extended and changed at random places. A few examples of each run always;
`INTRR_SLOW` runs a hundred times as many."""

import copy
import gzip
import json
import os
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
import torch
from google.protobuf import descriptor_pb2, message_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intrr.core import InputError, load_tensors, save_json, save_tensors
from intrr.data import Dataset
from intrr.experiments import Experiment, Setup
from intrr.id_files import read_sids, write_sids
from intrr.importing import read_source
from intrr.pipeline import load_model
from intrr.readers import read_folder
from intrr.recipes import Recipe
from intrr.records import Results
from intrr.resuming import started_training
from intrr.runs import Run
from intrr.sequence_models import SASRec
from intrr.sids import random_sids
from intrr.tfrecords import _masked_crc, read_examples, read_grid
from intrr.training import train_network

MANY = 100 if "INTRR_SLOW" in os.environ else 1
SKIPPED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


def few(n: int):
    "So many examples, or a hundred times as many"
    return settings(max_examples=n * MANY, suppress_health_check=SKIPPED)


KINDS = ("cut", "drop", "insert", "change", "double")
EDITS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


def damaged(data: bytes, edits) -> bytes:
    "The same with some bytes taken out, put in or changed"
    for kind, share, new in edits:
        at = int(share * len(data))
        head, tail = data[:at], data[at:]
        left = {"cut": b"", "drop": tail[len(new) :], "insert": new + tail, "change": new + tail[len(new) :]}
        data = head + left.get(kind, tail + tail)
    return data


def places(x, path=()):
    "The way to each value of a nested JSON value, and to itself"
    yield path
    inside = x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def with_value(x, path, value):
    "A copy with another value in a place; without the place where the value is the word `gone`"
    if not path:
        return value
    out = copy.copy(x)
    if len(path) == 1 and value == "gone":
        del out[path[0]]
    else:
        out[path[0]] = with_value(x[path[0]], path[1:], value)
    return out


def only_input_error(call) -> None:
    "Call it; an `InputError` has one line"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except InputError as e:
            assert "\n" not in str(e), str(e)


ITEMS = (
    '{"id": 10, "title": "Tea"}\n{"id": 20, "brand": "Hana", "categories": [["A", "B"]]}\n{"id": 30, "title": "M"}\n'
)
FOLDER = {"sequences.txt": "1 10 20 30 10\n2 30 20 10\n", "items.jsonl": ITEMS, "times.txt": "1 5 5 9 12\n2 1 2 3\n"}
LOG = "user,item,time\n" + "".join(f"{u},{i},2024-03-0{i}\n" for u in ("a", "b") for i in (1, 2, 3))
GOODS = "id,title,genres\n1,Tea,Hot|Leaf\n2,Pot,\n3,Mug,Cup\n"
INTER = "user_id:token\titem_id:token\ttimestamp:float\n" + "".join(f"u\t{i}\t{i}\n" for i in (1, 2, 3))
ATOMS = {"x.inter": INTER, "x.item": "item_id:token\ttitle:token_seq\n1\tTea\n2\tPot\n3\tMug\n"}
FILMS = {"ratings.dat": "1::10::5::9\n1::20::5::8\n1::10::4::11\n", "movies.dat": "10::Toy::A|B\n20::Heat::Crime\n"}
SMALL = {
    "u.data": "1\t1\t5\t9\n1\t2\t3\t4\n1\t1\t1\t1\n",
    "u.item": "".join(f"{i}|T{i}|||{'|0' * 19}\n" for i in (1, 2)),
}
REVIEWS = "".join(
    json.dumps({"reviewerID": u, "asin": a, "unixReviewTime": t}) + "\n" for u in "AB" for t, a in enumerate("xyz")
)
META = "".join(repr({"asin": a, "title": f"T{a}", "categories": [["K", "L"]]}) + "\n" for a in "xyz")
SOURCES = {  # By name: the files, what to read, and how
    "folder": (FOLDER, None, {}),
    "tables": ({"log.csv": LOG, "items.csv": GOODS}, ("log.csv", "items.csv"), {}),
    "recbole": (ATOMS, None, {}),
    "movielens": (FILMS, None, {}),
    "movielens-100k": (SMALL, None, {}),
    "amazon": ({"reviews.json": REVIEWS, "meta.json": META}, ("reviews.json", "meta.json"), {"core": 1}),
}


@pytest.mark.parametrize("name", SOURCES)
@few(20)
@given(which=st.integers(0, 2), edits=EDITS)
def test_sources(name, which, edits):
    files, read, how = SOURCES[name]
    with TemporaryDirectory() as d:
        for n, (file, text) in enumerate(files.items()):
            data = text.encode()
            (Path(d) / file).write_bytes(damaged(data, edits) if n == which % len(files) else data)
        paths = [Path(d) / file for file in read] if read else [Path(d)]
        only_input_error(lambda: read_source(paths, progress=False, **how))


@pytest.mark.parametrize("name", SOURCES)
def test_the_good_ones_are_read(name, tmp_path):
    files, read, how = SOURCES[name]
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    assert read_source([tmp_path / f for f in read] if read else [tmp_path], progress=False, **how).n_users >= 1


@few(15)
@given(edits=EDITS)
def test_gzipped_folder(edits):
    with TemporaryDirectory() as d:
        for file, text in FOLDER.items():
            (Path(d) / f"{file}.gz").write_bytes(damaged(gzip.compress(text.encode(), mtime=0), edits))
        only_input_error(lambda: read_folder(d))


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "tsv"])
@few(15)
@given(edits=EDITS)
def test_tables(kind, edits):
    log = pd.DataFrame([line.split(",") for line in LOG.splitlines()[1:]], columns=["user", "item", "time"])
    with TemporaryDirectory() as d:
        path, items = Path(d) / f"log.{kind}", Path(d) / "items.csv"
        items.write_text(GOODS)
        if kind == "parquet":
            log.to_parquet(path)
        elif kind == "tsv":
            log.to_csv(path, sep="\t", index=False)
        else:
            log.to_json(path, orient="records", lines=True)
        path.write_bytes(damaged(path.read_bytes(), edits))
        only_input_error(lambda: read_source([path, items], progress=False))


def message_classes():
    "`Example` and what it is made of, as TensorFlow defines them"
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    kinds = {"BytesList": 12, "FloatList": 2, "Int64List": 3}  # of `value`
    fields = {name: [("value", 1, 3, kind, "")] for name, kind in kinds.items()}
    fields["Feature"] = [(f, n, 1, 11, f".t.{t}") for n, (f, t) in enumerate(zip("bfi", kinds, strict=True), 1)]
    fields["Pair"] = [("key", 1, 1, 9, ""), ("value", 2, 1, 11, ".t.Feature")]
    fields["Features"] = [("feature", 1, 3, 11, ".t.Pair")]
    fields["Example"] = [("features", 1, 1, 11, ".t.Features")]
    for name, parts in fields.items():
        made = file.message_type.add(name=name)
        for field, number, label, kind, of in parts:
            made.field.add(name=field, number=number, label=label, type=kind, type_name=of or None)
    return message_factory.GetMessages([file])


MESSAGES = message_classes()


def example(**features):
    "An `Example` as Google's library writes it"
    lists = {bytes: "b", str: "b", float: "f", int: "i"}
    made = MESSAGES["t.Example"]()
    for name, values in features.items():
        pair = made.features.feature.add(key=name)
        pair.value.SetInParent()
        for v in values:
            getattr(pair.value, lists[type(v)]).value.append(v.encode() if isinstance(v, str) else v)
    return made.SerializeToString()


def framed(*records):
    "The records of a TFRecord file"
    out = b""
    for data in records:
        length = struct.pack("<Q", len(data))
        out += length + struct.pack("<I", _masked_crc(length)) + data + struct.pack("<I", _masked_crc(data))
    return out


def write_grid(folder, parts):
    "GRID's folders, each with one file of these bytes"
    for part, data in parts.items():
        (Path(folder) / part).mkdir()
        (Path(folder) / part / "partition_0.tfrecord.gz").write_bytes(data)
    return Path(folder)


GOODS_OF_GRID = [example(id=[n], text=[f"Tea {n}"], embedding=[0.5, 1.0]) for n in (0, 300, -1)]
HISTORIES = [example(user_id=[u], sequence_data=[0, 300, -1, 300][u:]) for u in (0, 1)]
INT64 = st.integers(-(2**63), 2**63 - 1)


@few(40)
@given(
    numbers=st.lists(INT64),
    floats=st.lists(st.floats(width=32, allow_nan=False)),
    texts=st.lists(st.binary()),
    name=st.text(),
)
def test_examples_are_what_the_library_wrote(numbers, floats, texts, name):
    with TemporaryDirectory() as d:
        wrote = {"i": numbers, "f": floats, "b": texts, f"x{name}": [7]}
        (path := Path(d) / "x.gz").write_bytes(gzip.compress(framed(example(**wrote)), 1))
        (read,) = read_examples(path)
        assert {k: list(v) for k, v in read.items()} == wrote


def test_grid_is_imported(tmp_path):
    testing = gzip.compress(framed(*HISTORIES))
    write_grid(tmp_path, {"items": gzip.compress(framed(*GOODS_OF_GRID)), "testing": testing})
    data = read_source([tmp_path], progress=False)
    assert (data.users.tolist(), data.flat.tolist()) == ([0, 1], [0, 1, 2, 1, 1, 2, 1])
    assert data.items["id"].tolist() == [0, 300, -1]


@pytest.mark.parametrize("layer", ["gzip", "record", "example"])
@pytest.mark.parametrize("part", ["items", "testing"])
@few(20)
@given(edits=EDITS)
def test_grid(layer, part, edits):
    records = {"items": list(GOODS_OF_GRID), "testing": list(HISTORIES)}
    if layer == "example":
        records[part][0] = damaged(records[part][0], edits)
    files = {name: framed(*rows) for name, rows in records.items()}
    if layer == "record":
        files[part] = damaged(files[part], edits)
    files = {name: gzip.compress(data, mtime=0) for name, data in files.items()}
    if layer == "gzip":
        files[part] = damaged(files[part], edits)
    with TemporaryDirectory() as d:
        only_input_error(lambda: read_grid(write_grid(d, files)))


NAMES = st.sampled_from(["user_id", "sequence_data", "id", "text"])
LISTS = st.one_of(*(st.lists(x, max_size=3) for x in (INT64, st.floats(width=32), st.binary(max_size=3), st.text())))


@few(40)
@given(features=st.dictionaries(NAMES, LISTS))
def test_odd_features_of_grid(features):
    odd = example(**features)
    for goods, histories in (([*GOODS_OF_GRID, odd], HISTORIES), (GOODS_OF_GRID, [*HISTORIES, odd])):
        files = {name: gzip.compress(framed(*rows)) for name, rows in (("items", goods), ("testing", histories))}
        with TemporaryDirectory() as d:
            folder = write_grid(d, files)
            only_input_error(lambda folder=folder: read_grid(folder))


CELLS = st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)


@few(30)
@given(
    users=st.lists(CELLS, max_size=4), times=st.lists(CELLS, max_size=4), titles=st.lists(CELLS, min_size=1, max_size=3)
)
def test_frames(users, times, titles):
    rows = [
        {"user": u, "item": n % len(titles), "time": t}
        for n, (u, t) in enumerate((u, t) for u in users for t in times or [1])
    ]
    log = pd.DataFrame(rows, columns=["user", "item", "time"], dtype=object)
    goods = pd.DataFrame({"id": range(len(titles)), "title": pd.Series(titles, dtype=object)})
    only_input_error(lambda: Dataset.from_frame(log, goods, min_history=3))


CATALOGUE = pd.DataFrame({"id": [f"i{n}" for n in range(6)]})
IDS = random_sids(6, 2, 3)


@pytest.mark.parametrize("kind", ["json", "csv", "parquet", "npy", "pt", "safetensors"])
@few(15)
@given(edits=EDITS)
def test_files_of_ids(kind, edits):
    with TemporaryDirectory() as d:
        path = Path(d) / f"ids.{kind}"
        if kind == "safetensors":
            IDS.save(path)
        elif kind == "pt":
            torch.save(IDS.codes, path)
        else:
            write_sids(IDS, path, CATALOGUE)
        path.write_bytes(damaged(path.read_bytes(), edits))
        only_input_error(lambda: read_sids(path, CATALOGUE))


@few(30)
@given(value=VALUES, item=st.integers(0, 6), level=st.integers(0, 2))
def test_index_of_ids(value, item, level):
    index = {f"i{n}": ["<a_1>", f"<b_{n}>", "<c_0>"] for n in range(6)}
    wrong = with_value(index, (f"i{item}", level)[: 1 + (level > 0)] if item < 6 else (), value)
    with TemporaryDirectory() as d:
        (Path(d) / "index.json").write_text(json.dumps(wrong))
        only_input_error(lambda: read_sids(Path(d) / "index.json", CATALOGUE))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A run with a trained SASRec"
    made = Run.create(tmp_path_factory.mktemp("fuzz") / "run", Setup("synthetic", size=8), progress=False)
    made.train("sasrec", replace(made.recipe("sasrec", "trial"), dim=8, epochs=1), progress=False)
    made.evaluate("sasrec", progress=False)
    return made


def changed(meta, data):
    "The JSON value with another one in some place"
    path = data.draw(st.sampled_from(list(places(meta))[1:]))
    return with_value(meta, path, data.draw(VALUES | st.just("gone")))


@few(20)
@given(data=st.data())
def test_run_json(run, data):
    meta = json.loads((run.folder / "run.json").read_text())
    with TemporaryDirectory() as d:
        (Path(d) / "run.json").write_text(json.dumps(changed(meta, data)))
        (Path(d) / "sids.safetensors").write_bytes((run.folder / "sids.safetensors").read_bytes())
        only_input_error(lambda: Run.open(d))


@few(20)
@given(data=st.data())
def test_what_a_checkpoint_says(run, data):
    tensors, meta = load_tensors(run.folder / "sasrec.checkpoint.safetensors")
    with TemporaryDirectory() as d:
        path = Path(d) / "sasrec.checkpoint.safetensors"
        save_tensors(tensors, path, changed(meta, data))
        only_input_error(lambda: started_training(Path(d), "sasrec"))
        net = SASRec(run.dataset.n_items, Recipe.read(meta["recipe"]))
        only_input_error(lambda: train_network(net, run.dataset, checkpoint=path, resume=True, progress=False))


@pytest.mark.parametrize("file", ["sasrec.checkpoint.safetensors", "sasrec.safetensors", "sids.safetensors"])
@few(8)
@given(edits=EDITS)
def test_damaged_tensors(run, file, edits):
    with TemporaryDirectory() as d:
        path = Path(d) / file
        path.write_bytes(damaged((run.folder / file).read_bytes(), edits))
        only_input_error(lambda: started_training(Path(d), "sasrec"))
        only_input_error(lambda: load_model(path, run.sids))
        only_input_error(lambda: read_sids(path, run.dataset.items))


@few(15)
@given(data=st.data())
def test_what_weights_say(run, data):
    tensors, meta = load_tensors(run.folder / "sasrec.safetensors")
    with TemporaryDirectory() as d:
        save_tensors(tensors, Path(d) / "sasrec.safetensors", changed(meta, data))
        only_input_error(lambda: load_model(Path(d) / "sasrec.safetensors", run.sids))


@few(30)
@given(data=st.data())
def test_records(run, data):
    record = json.loads((run.folder / "sasrec.json").read_text())
    known = Experiment.of(record)
    with TemporaryDirectory() as d:
        folder = Path(d) / "synthetic"
        folder.mkdir()
        wrong = changed(record, data)
        (folder / f"{known.name}.json").write_text(json.dumps(wrong))
        only_input_error(lambda: Results(d).records())
        only_input_error(lambda: Results(d).get(known))


@few(30)
@given(edits=EDITS)
def test_damaged_json(edits):
    with TemporaryDirectory() as d:
        path = Path(d) / "a.json"
        save_json({"name": "x", "list": [1, 2.5, None]}, path)
        path.write_bytes(damaged(path.read_bytes(), edits))
        only_input_error(lambda: Results(d).records())
