"""Whatever runs only where a flag allows it has beside it what runs always, or says why it cannot.

A cell that is flagged `slow`, `cuda` or `data` is left out of most runs of the tests. So one of the two cells before it
or the two behind it is its *twin*: a cell without a flag that asserts something, with a comment that begins "Twin of".
Or it is prose, with a sentence that begins with "Needs" and tells what: files, weights, a GPU, seconds, minutes."""

import re

import pytest
from execnb.nbio import read_nb
from fastcore.basics import AttrDict
from nbrun import directives, notebooks, settings

FLAGS = set(settings()["tst_flags"].split())
REASON = re.compile(r"(?:^|[.:;(*] *)Needs [^.]*\b(?:files|weights|GPU|seconds|minutes)\b", re.M)


def flagged(cell):
    return cell["cell_type"] == "code" and bool(FLAGS & directives(cell).keys())


def stands_for(cell):
    "Whether a cell is a twin or a reason"
    source = cell["source"]
    if cell["cell_type"] == "markdown":
        return bool(REASON.search(source))
    told = re.search(r"^# Twin of ", source, re.M) and re.search(r"^\s*(?:assert|test_\w+\()", source, re.M)
    runs = directives(cell).get("eval") != "false" and not flagged(cell)
    return cell["cell_type"] == "code" and runs and bool(told)


def alone(cells):
    "The flagged cells that have neither beside them"
    return [
        cell["source"]
        for i, cell in enumerate(cells)
        if flagged(cell) and not any(stands_for(o) for o in cells[max(0, i - 2) : i + 3])
    ]


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_flagged_cells_have_a_twin_or_a_reason(path):
    found = "\n\n".join(alone(read_nb(path).cells))
    assert not found, f"{path.name}: give these a twin ('# Twin of …') or a reason ('Needs …') beside them:\n{found}"


def cell(source, kind="code"):
    return AttrDict(cell_type=kind, source=source)


TWIN, PLAIN = cell("# Twin of the next cell\nassert 1 + 1 == 2"), cell("1 + 1")


@pytest.mark.parametrize("flag", sorted(FLAGS))
def test_a_planted_cell_is_found(flag):
    planted = cell(f"#| {flag}\nassert 1 + 1 == 2")
    for kept in (
        [TWIN, planted],
        [planted, PLAIN, TWIN],
        [cell("It is so. Needs a GPU; the cell above is the same on a CPU.", "markdown"), planted],
        [cell("Needs the real Beauty files; see above.", "markdown"), planted, planted],
    ):
        assert not alone(kept), kept
    for lost in (
        [planted],
        [TWIN, PLAIN, PLAIN, planted],
        [cell(f"#| {flag}\n" + TWIN["source"]), planted],
        [cell("#| eval: false\n" + TWIN["source"]), planted],
        [cell("# Twin of the next cell\n1 + 1"), planted],
        [cell("assert 1 + 1 == 2"), planted],
        [cell("A recording needs no files.", "markdown"), planted],
        [cell("Needs thought.", "markdown"), planted],
        [cell("A twin.", "markdown"), planted],
    ):
        assert planted["source"] in alone(lost), lost
