"Notebooks are run as they say, and what is stored is the same at each run."

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from execnb.nbio import mk_cell
from matplotlib.figure import Figure
from nbrun import LIVE, ROOT, directives, execute, notebooks, settings, small_png, store, tidy
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
