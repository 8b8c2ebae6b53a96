"""Every notebook as it is written, and those that export a module a second time, in library mode.

As written, the notebook's own copy of the exported code is run. In library mode the exported cells are skipped and the
generated module takes their place, so that prose and assertions test the package."""

from pathlib import Path

import pytest

from intrr.docs import execute, notebooks

ROOT = Path(__file__).parents[1]
NOTEBOOKS = notebooks(ROOT)
EXPORTING = [p for p in NOTEBOOKS if "default_exp" in p.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_as_written(path):
    execute(path)


@pytest.mark.parametrize("path", EXPORTING, ids=lambda p: p.stem)
def test_in_library_mode(path):
    execute(path, library=True)


def test_figure_in_a_kernel():
    "Jupyter's own kernel, in which nothing has used pyplot, shows a figure of the library as a picture"
    from jupyter_client.manager import run_kernel

    code = """
    from intrr.sids import health_figure, random_sids
    health_figure(random_sids(50, 2, 8))"""
    shown: list[dict] = []
    with run_kernel(kernel_name="python3", cwd=str(ROOT)) as client:
        reply = client.execute_interactive(
            code, timeout=120, output_hook=lambda m: shown.append(m["content"].get("data", {}))
        )
    assert reply["content"]["status"] == "ok", reply["content"]
    assert any("image/png" in data for data in shown)
