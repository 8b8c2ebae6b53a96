"Notebooks are run as they say, and what is stored is the same at each run."

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from execnb.nbio import mk_cell
from matplotlib.figure import Figure
from nbrun import LIVE, ROOT, alike, changed, directives, execute, notebooks, settings, small_png, store, tidy
from PIL import Image


def notebook(folder, *sources):
    "A project whose only notebook has these code cells"
    cells = [
        {"cell_type": "code", "id": f"{i:08}", "metadata": {}, "execution_count": None, "outputs": [], "source": s}
        for i, s in enumerate(sources)
    ]
    (folder / "settings.ini").write_text("[DEFAULT]\ntst_flags = slow\n")
    (folder / "nbs").mkdir(exist_ok=True)
    path = folder / "nbs/00_a.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_project():
    assert settings()["lib_name"] == "intrr"
    assert ROOT / "nbs/00_core.ipynb" in notebooks() and not [p for p in notebooks() if "checkpoints" in str(p)]


def test_directives():
    said = directives(mk_cell("#| echo: false\n#| fig-cap: 'One item, two paths'\nplot()"))
    assert said == {"echo": "false", "fig-cap": "One item, two paths"}
    assert directives(mk_cell("# | slow\n1 + 1  # not | this")) == {"slow": ""}
    assert directives(mk_cell("#| slow", "markdown")) == {}


def test_flagged_cells_run_when_asked(tmp_path):
    small = notebook(tmp_path, "a = 2", "#| slow\na = 3", "a * 10", "#| eval: false\na = 5")
    assert execute(small).cells[2].outputs[0]["data"]["text/plain"] == ["20"]
    assert execute(small, flags=["slow"]).cells[2].outputs[0]["data"]["text/plain"] == ["30"]


def test_what_a_notebook_registers_ends_with_it(tmp_path):
    import intrr.sequence_models  # noqa: F401, registers SASRec
    from intrr.recommenders import MODELS

    before = dict(MODELS)
    execute(notebook(tmp_path, "from intrr.recommenders import MODELS\nMODELS['sasrec'] = MODELS['mine'] = 1"))
    assert before == MODELS and "sasrec" in MODELS


def test_an_exception_says_where(tmp_path):
    with pytest.raises(ZeroDivisionError) as e:
        execute(notebook(tmp_path, "a = 2", "a / 0"))
    assert e.value.__notes__ == ["in 00_a.ipynb, cell 1:\n    a / 0"]


def test_stored_twice_is_stored_once(tmp_path):
    small = notebook(tmp_path, "import sys\n\nprint('bar', file=sys.stderr)\nprint('kept')")
    store(small)
    once = small.read_text()
    store(small)
    assert small.read_text() == once
    assert "kept" in once and "stderr" not in once.replace("sys.stderr", "")


def test_what_is_stored_is_what_a_run_shows(tmp_path):
    plot = "from matplotlib.figure import Figure\n\nf = Figure((2, 1))\nf.subplots().plot([1, 2, WHERE])\nf"
    sources = ["'kept'", "#| varies\nprint('took 1.3 s')", plot.replace("WHERE", "3"), "#| slow\n1 / 0"]
    sources += ["#| varies: all\n'whatever comes'"]
    store(path := notebook(tmp_path, *sources))
    assert changed(path) == []
    told = path.read_text()
    for old, new, what in (
        ("'kept'", "'other'", ["cell 0"]),
        ("1.3 s", "27 s", []),
        ("took", "needed", ["cell 1"]),
        ("'whatever comes'", "'anything else'", []),
        ("'whatever comes'", "None", ["cell 4"]),
        ("1, 2, 3", "1, 2, -3", ["another picture"]),
        ("(2, 1)", "(3, 1)", ["cell 2"]),
    ):
        nb = json.loads(told)
        for cell in nb["cells"]:
            cell["source"] = "".join(cell["source"]).replace(old, new)
        path.write_text(json.dumps(nb))
        found = changed(path)
        assert len(found) == len(what) and all(w in f for w, f in zip(what, found, strict=True))


def test_pictures_that_look_the_same_are_alike():
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((200, 200))
    noise = np.clip(np.asarray(picture, int) + rng.integers(-6, 7, (200, 200, 3)), 0, 255)
    assert alike(picture, Image.fromarray(noise.astype(np.uint8)))
    assert not alike(picture, picture.rotate(90)) and not alike(picture, picture.resize((200, 201)))


def test_live_views_and_progress_bars_go():
    bar = {"output_type": "stream", "name": "stderr", "text": ["100%|####|"]}
    data = {kind: {"model_id": "7f3a"} for kind in LIVE} | {"text/html": ["<b>7</b>"]}
    widget = {"output_type": "display_data", "data": data, "metadata": {}}
    assert tidy([bar, widget]) == [{"output_type": "display_data", "data": {"text/html": ["<b>7</b>"]}, "metadata": {}}]
    assert widget["data"].keys() > LIVE


def test_pictures_are_small():
    fig, rng = Figure(figsize=(3, 3)), np.random.default_rng(0)
    fig.subplots().scatter(*rng.random((2, 400)), c=rng.random(400), s=9)
    fig.savefig(large := BytesIO(), format="png")
    small = small_png(base64.b64encode(large.getvalue()).decode())
    both = (large.getvalue(), base64.b64decode(small))
    before, after = (np.asarray(Image.open(BytesIO(b)).convert("RGB"), int) for b in both)
    assert len(small) < 0.6 * 4 / 3 * len(large.getvalue()) and abs(before - after).mean() < 1
    assert len(small_png(small)) <= len(small)
    fig.savefig(clear := BytesIO(), format="png", transparent=True)
    assert small_png(glass := base64.b64encode(clear.getvalue()).decode()) == glass
