"""Whatever a person can get wrong in the data: one line that names the file, the place and the remedy."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from intrr.core import InputError, fingerprint
from intrr.data import Dataset
from intrr.formats import read_amazon
from intrr.readers import read_folder, write_folder
from intrr.synthetic import make_catalogue, open_dataset
from intrr.text import check_embeddings, encode_texts

ROOT = Path(__file__).parents[1]
GOOD = {
    "sequences.txt": "1 10 20 30\n2 30 20 10\n",
    "items.jsonl": '{"id": 10, "title": "Tea"}\n{"id": 20, "title": "Pot"}\n{"id": 30, "title": "Mug"}\n',
    "times.txt": "1 5 5 9\n2 1 2 3\n",
}
ITEMS = GOOD["items.jsonl"]

# name: (file, content, place, remedy)
WRONG = {
    "non-integer": ("sequences.txt", "1 10 20 30\n2 30 x 10\n", ", line 2: 'x' is not an integer", "write the ids"),
    "float id": ("sequences.txt", "1 10 20 30\n2 30 20.0 10\n", ", line 2: '20.0' is not an integer", "write the ids"),
    "unknown item": (
        "sequences.txt",
        "1 10 20 31\n2 30 20 10\n",
        ", line 1: no item has the id 31",
        "add it to the items",
    ),
    "negative id": ("sequences.txt", "1 10 20 30\n2 30 -1 10\n", ", line 2: no item has the id -1", "remove it here"),
    "empty line": ("sequences.txt", "1 10 20 30\n\n2 30 20 10\n", ", line 2: empty line", "remove it"),
    "blank line": ("sequences.txt", "1 10 20 30\n2 30 20 10\n  \n", ", line 3: empty line", "remove it"),
    "short": ("sequences.txt", "1 10 20 30\n2 30 20\n", ", line 2: user 2 has a history of 2", "leave this user out"),
    "user alone": ("sequences.txt", "1\n2 30 20 10\n", ", line 1: user 1 has a history of 0", "leave this user out"),
    "user twice": (
        "sequences.txt",
        "1 10 20 30\n1 30 20 10\n",
        ", line 2: user 1 has line 1 already",
        "one line per user",
    ),
    "nothing": ("sequences.txt", "", ", line 1: no users", "at least one history"),
    "binary": ("sequences.txt", b"1 10 20 30\n2 \xff\xfe\n", ", line 2: not UTF-8", "save the file as UTF-8"),
    "no text": (
        "items.jsonl",
        ITEMS + '{"id": 40, "title": null}\n',
        ", line 4: item 40 has no text",
        "give it a title",
    ),
    "duplicate": ("items.jsonl", ITEMS + '{"id": 20, "title": "Pan"}\n', ", line 4: id 20 was used before", "unique"),
    "cut JSON": ("items.jsonl", ITEMS[:-9], ", line 3: not valid JSON", "one object per line"),
    "empty JSON": ("items.jsonl", "\n" + ITEMS, ", line 1: not valid JSON", "one object per line"),
    "JSON list": ("items.jsonl", "[1, 2]\n", ", line 1: no item id", "write an object such as"),
    "bool id": ("items.jsonl", '{"id": true, "title": "Tea"}\n', ", line 1: no item id", "write an object such as"),
    "no id": ("items.jsonl", '{"title": "Tea"}\n', ", line 1: no item id", "write an object such as"),
    "title": (
        "items.jsonl",
        '{"id": 10, "title": ["Tea"]}\n',
        ", line 1: 'title' is ['Tea']",
        "write a string or null",
    ),
    "categories": (
        "items.jsonl",
        '{"id": 10, "categories": "Tea"}\n',
        ", line 1: 'categories' is 'Tea'",
        "list of paths",
    ),
    "fewer times": ("times.txt", "1 5 5\n2 1 2 3\n", ", line 1: 2 values of user 1", "a time for each item"),
    "other users": ("times.txt", "1 5 5 9\n3 1 2 3\n", ", line 2: 3 values of user 3", "a time for each item"),
    "lines short": ("times.txt", "1 5 5 9\n", ", line 2: nothing", "a time for each item"),
    "lines over": (
        "times.txt",
        GOOD["times.txt"] + "3 1 2 3\n",
        ", line 3: 3 values of user 3",
        "a time for each item",
    ),
    "decreasing": ("times.txt", "1 5 9 5\n2 1 2 3\n", ", line 1: time 5 comes after 9", "sort each history by time"),
    "date": ("times.txt", "1 5 5 9\n2 1 2 2014-07-01\n", ", line 2: '2014-07-01' is not an integer", "Unix seconds"),
    "overflow": ("times.txt", "1 5 5 9\n2 1 2 99999999999999999999\n", ", line 2: '99999", "Unix seconds"),
}


def write(folder: Path, **changes: str | bytes | None) -> Path:
    for name, content in (GOOD | changes).items():
        if content is not None:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def told(call) -> str:
    with pytest.raises(InputError) as e:
        call()
    assert "\n" not in str(e.value)
    return str(e.value)


def test_the_good_folder_loads(tmp_path):
    assert read_folder(write(tmp_path)).flat.tolist() == [0, 1, 2, 2, 1, 0]


@pytest.mark.parametrize("case", WRONG)
def test_line_is_named(tmp_path, case):
    name, content, place, remedy = WRONG[case]
    message = told(lambda: read_folder(write(tmp_path, **{name: content})))
    assert message.startswith(f"{tmp_path / name}{place}"), message
    assert remedy in message.split(place)[1], message


@pytest.mark.parametrize("name", GOOD)
def test_cut_gzip(tmp_path, name):
    folder = write(tmp_path, **{name: None})
    whole = gzip.compress(os.urandom(1000).hex().encode())
    (folder / f"{name}.gz").write_bytes(whole[: len(whole) // 2])
    message = told(lambda: read_folder(folder))
    assert f"{name}.gz, after line" in message and "download it again" in message


@pytest.mark.parametrize("name", ["sequences.txt", "items.jsonl"])
def test_missing_file(tmp_path, name):
    message = told(lambda: read_folder(write(tmp_path, **{name: None})))
    assert f"{tmp_path}: no {name} or {name}.gz" in message and "a dataset folder holds" in message


def test_unknown_dataset(tmp_path):
    message = told(lambda: open_dataset("beautty"))
    assert "'beautty': unknown" in message and "'synthetic' or a folder" in message
    (tmp_path / "file").write_text("")
    assert "no such folder" in told(lambda: open_dataset(tmp_path / "file"))


def test_windows_and_bom(tmp_path):
    lines = GOOD["sequences.txt"].replace("\n", "\r\n").encode()
    folder = write(tmp_path, **{"sequences.txt": lines, "items.jsonl": b"\xef\xbb\xbf" + ITEMS.encode()})
    assert read_folder(folder).flat.tolist() == [0, 1, 2, 2, 1, 0]


def test_line_separators_inside_a_title(tmp_path):
    folder = write(tmp_path, **{"items.jsonl": ITEMS.replace("Tea", "Tea\u2028and\x85more")})
    assert read_folder(folder).title(0) == "Tea and more"


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev/full")
def test_place_that_cannot_be_written(tmp_path):
    data = read_folder(write(tmp_path))
    (tmp_path / "file").write_text("mine")
    message = told(lambda: write_folder(data, tmp_path / "file" / "sub"))
    assert "cannot write" in message and "choose another folder" in message
    assert (tmp_path / "file").read_text() == "mine"


def test_save_keeps_other_data(tmp_path):
    data = read_folder(write(tmp_path))
    assert "choose another folder" in told(lambda: write_folder(data, tmp_path))
    assert {p.name for p in tmp_path.iterdir()} == set(GOOD)


def test_raw_amazon_files(tmp_path):
    reviews, meta = tmp_path / "reviews.json", tmp_path / "meta.json"
    reviews.write_text('{"reviewerID": "A", "asin": "x", "unixReviewTime": 1}\n{"reviewerID": "A"')
    meta.write_text("{'asin': 'x', 'title': 'Tea'}\n")
    message = told(lambda: read_amazon(reviews, meta, progress=False))
    assert message.startswith(f"{reviews}, line 2: neither JSON nor a Python literal")
    message = told(lambda: read_amazon(meta, reviews, progress=False))
    assert message.startswith(f"{meta}, line 1: no field 'reviewerID'")


def test_unknown_ids(tmp_path):
    data = read_folder(write(tmp_path))
    assert "item 99, x: not in dataset" in told(lambda: data.rows([10, 99, "x"]))
    assert "such as 10 or 30" in told(lambda: data.rows([99]))


def test_embeddings(tmp_path):
    x = torch.ones(3, 2)
    assert "3 rows for 4 items" in told(lambda: check_embeddings(x, 4))
    x[1, 1] = torch.nan
    assert "the first is row 1" in told(lambda: check_embeddings(x, 3))
    (tmp_path / "x.npy").write_bytes(b"half")
    assert "x.npy: cannot read" in told(lambda: encode_texts(["a"] * 3, str(tmp_path / "x.npy")))
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "write it with numpy.save" in told(lambda: encode_texts(["a"] * 3, str(tmp_path / "o.npy")))


def test_unknown_encoder(tmp_path):
    assert "write 'owner/name' or use 'tfidf'" in told(lambda: encode_texts(["tea"], "no such encoder", cache=tmp_path))
    assert not list(tmp_path.iterdir())


def test_sizes_of_the_synthetic_catalogue():
    assert "n_items is 3; the synthetic catalogue has 96 to" in told(lambda: make_catalogue(n_items=3))


def test_synthetic_is_the_same_in_every_process():
    code = (
        "from intrr.core import fingerprint; from intrr.synthetic import make_catalogue as m; d = m(200, 300, seed=5);"
        "print(fingerprint([d.flat, d.times, d.items.to_dict('records')]))"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=env | {"PYTHONHASHSEED": "1"}, capture_output=True, text=True
    )
    data = make_catalogue(200, 300, seed=5)
    assert run.stdout.strip() == fingerprint([data.flat, data.times, data.items.to_dict("records")]), run.stderr


def test_frame_without_columns():
    data = make_catalogue(96, 20)
    frame = data.items.rename(columns={"id": "sku"})
    assert "items: no column 'id'; its columns are" in told(
        lambda: Dataset.from_frame(frame.assign(user=1, item=1), frame)
    )
