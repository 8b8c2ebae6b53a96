"""Every notebook once: as it is written, or in library mode.

As written, the notebook's own copy of the exported code is run. In library mode the exported cells are skipped and the
generated module takes their place. That the module is the notebook's code, and that each name in it is known, is
tested elsewhere (`test_sync`, and `ty` in `test_quality`), so a second run of the same assertions is kept for
`INTRR_SLOW`. Notebooks with cells flagged `data` are the other way round where the real data are at hand: they run in
library mode, with those cells but for the ones that are flagged `slow` as well."""

import os
from pathlib import Path

import pytest
from nbrun import changed, execute, notebooks

from intrr.runs import Run

ROOT = Path(__file__).parents[1]
NOTEBOOKS = notebooks()
EXPORTING = [p for p in NOTEBOOKS if "default_exp" in p.read_text(encoding="utf-8")]
DATA = Path(os.environ.get("INTRR_DATA", ROOT.parent / "shared/data"))  # where the notebooks look for it
FLAGS = ("data",) if all((DATA / name).is_dir() for name in ("beauty", "sports", "toys")) else ()
WITH_DATA = [p for p in EXPORTING if FLAGS and '"#| data' in p.read_text(encoding="utf-8")]


@pytest.fixture(autouse=True)
def no_runs(monkeypatch, tmp_path):
    "No cell finds runs beside the project, which would have it write into the project"
    monkeypatch.setenv("INTRR_RUNS", str(tmp_path))


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p not in WITH_DATA], ids=lambda p: p.stem)
def test_as_written(path):
    execute(path, () if path in EXPORTING else FLAGS)


@pytest.mark.parametrize("path", WITH_DATA, ids=lambda p: p.stem)
def test_in_library_mode(path):
    execute(path, FLAGS, library=True)


@pytest.mark.skipif("INTRR_SLOW" not in os.environ, reason="the same assertions twice; set INTRR_SLOW to run them")
@pytest.mark.parametrize("path", EXPORTING, ids=lambda p: p.stem)
def test_in_the_other_way_too(path):
    execute(path, (), library=path not in WITH_DATA)


@pytest.mark.skipif("INTRR_SLOW" not in os.environ, reason="as long as all notebooks; set INTRR_SLOW to run it")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stored_outputs_are_those_of_a_run(path):
    assert changed(path) == []


@pytest.mark.skipif(not FLAGS, reason=f"no real data in {DATA}, so cells flagged data were left out: set INTRR_DATA")
def test_real_data_are_those_of_the_run():
    "The run that comes with the project was made with the Beauty files at hand; of other files it would say so"
    run = Run.open(ROOT / "nbs/runs/beauty", DATA / "beauty")
    assert run.trained == ["intrr"] and run.dataset.n_items == run.sids.n_items


def test_figure_in_a_kernel():
    "Jupyter's own kernel, in which nothing has used pyplot, shows a figure of the library as a picture"
    from jupyter_client.manager import run_kernel

    code = """
    from intrr.health import health_figure
    from intrr.sids import random_sids
    health_figure(random_sids(50, 2, 8))"""
    shown: list[dict] = []
    with run_kernel(kernel_name="python3", cwd=str(ROOT)) as client:
        reply = client.execute_interactive(
            code, timeout=120, output_hook=lambda m: shown.append(m["content"].get("data", {}))
        )
    assert reply["content"]["status"] == "ok", reply["content"]
    assert any("image/png" in data for data in shown)
