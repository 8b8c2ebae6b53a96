"Run notebooks as `nbdev_test` runs them, and store their outputs as `nbdev_clean` leaves them."

from __future__ import annotations

import base64
import importlib
import os
import re
import sys
import textwrap
from collections.abc import Collection, Generator, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from configparser import ConfigParser
from contextlib import chdir, contextmanager
from difflib import unified_diff
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import imagehash
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from fastcore.xtras import globtastic
from nbdev.clean import clean_nb
from nbdev.process import extract_directives
from PIL import Image
from tyro.conf import Positional

ROOT = Path(__file__).resolve().parents[1]
LIVE = {"application/vnd.jupyter.widget-view+json", "application/vnd.plotly.v1+json"}  # with another id at each run


def settings(root: Path = ROOT) -> Mapping[str, str]:
    "What `settings.ini` says"
    ini = ConfigParser(delimiters=["="])
    ini.read(root / "settings.ini", encoding="utf-8")
    return ini["DEFAULT"]


def notebooks(root: Path = ROOT) -> list[Path]:
    "Every notebook, in order; a name or folder that begins with a dot or an underscore is left out"
    return sorted(
        map(Path, globtastic(root / "nbs", file_glob="*.ipynb", skip_folder_re="^[_.]", skip_file_re="^[_.]"))
    )


def directives(cell: Any) -> dict[str, str]:
    "What the `#|` lines of a code cell say: name to value, empty where there is none"
    found = extract_directives(cell, remove=False) if cell["cell_type"] == "code" else {}
    return {name.rstrip(":"): " ".join(words).strip("\"'") for name, words in found.items()}


def is_export(said: Mapping[str, str]) -> bool:
    "Whether a cell with these directives goes to the module"
    return bool({"export", "exports", "exporti"} & said.keys())


def module_of(nb: Any) -> str | None:
    "The module that a notebook exports, such as `intrr.core`"
    names = [f"intrr.{said['default_exp']}" for c in nb.cells if "default_exp" in (said := directives(c))]
    return names[0].removesuffix(".__init__") if names else None


@contextmanager
def own_registries() -> Generator[None]:
    "What a notebook's own classes register as is what was registered before, when the notebook has ended"
    modules = [m for name, m in sys.modules.items() if name.startswith("intrr.")]
    tables = [t for m in modules for name, t in vars(m).items() if name.isupper() and isinstance(t, dict)]
    before = [(t, dict(t)) for t in tables]
    try:
        yield
    finally:
        for table, entries in before:
            table.clear()
            table.update(entries)


def execute(
    path: str | Path,  # A notebook
    flags: Collection[str] = (),  # Flagged cells to run as well: `slow`, `cuda`, `data`
    library: bool = False,  # Load the module in the place of the exported cells, so that it is what is tested
) -> Any:  # The notebook, with the outputs of the cells that were run
    "Run a notebook in this process; the first exception is raised, with the cell that it comes from"
    path = Path(path).resolve()
    root = next(p for p in path.parents if (p / "settings.ini").exists())
    left_out = set(settings(root)["tst_flags"].split()) - set(flags)
    nb, shell = read_nb(path), CaptureShell(path)
    if library and (module := module_of(nb)):
        shell.user_ns |= {k: v for k, v in vars(importlib.import_module(module)).items() if not k.startswith("__")}

    def skipped(cell: Any) -> bool:
        said = directives(cell)
        never = cell.cell_type != "code" or "nbdev_export(" in cell.source or said.get("eval") == "false"
        if not (leave := never or bool(said.keys() & left_out) or (library and is_export(said))):
            cell["outputs"] = []
        return leave

    # IN_TEST tells nbdev_export not to write; if it stayed, it would silence the next export
    with chdir(path.parent), patch.dict(os.environ, IN_TEST="1"), own_registries():
        try:
            shell.run_all(nb, exc_stop=True, preproc=skipped)
        except BaseException as e:
            number = shell._cell_idx - 1
            e.add_note(f"in {path.name}, cell {number}:\n{textwrap.indent(nb.cells[number].source, '    ')}")
            raise
    return nb


def small_png(
    png: str,  # In base 64
) -> str:  # The same, or as long at most
    "A picture in 256 colours if that is smaller, as a notebook is kept in every version; a transparent one stays"
    picture = Image.open(BytesIO(base64.b64decode(png))).convert("RGBA")
    if min(picture.getchannel("A").tobytes()) < 255:
        return png
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out := BytesIO(), "png", optimize=True)
    return min(png, base64.b64encode(out.getvalue()).decode(), key=len)


def tidy(outputs: Iterable[Mapping[str, Any]]) -> list[Any]:
    "The outputs of a cell that are the same at each run: without progress bars and live views; pictures made small"
    kept = [dict(o) for o in outputs if o.get("name") != "stderr"]
    for o in kept:
        if "data" in o:
            o["data"] = {k: v for k, v in o["data"].items() if k not in LIVE}
            if "image/png" in o["data"]:
                o["data"]["image/png"] = small_png(o["data"]["image/png"])
    return kept


def fresh(path: str | Path, flags: Collection[str] = ()) -> Any:
    "A notebook that was run, as it is stored"
    nb = execute(path, flags)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell["outputs"] = tidy(cell.get("outputs", []))
    clean_nb(nb)
    return nb


def store(path: str | Path, flags: Collection[str] = ()) -> None:
    "Run one notebook and write its outputs into it"
    beside = Path(f"{path}.tmp")
    write_nb(fresh(path, flags), beside)
    beside.replace(path)


def shown(
    outputs: Iterable[Mapping[str, Any]],
    varies: str | None = None,  # How much may differ at each run or on each processor: '' the numbers, 'all' the text
) -> tuple[str, list[Image.Image]]:  # What a reader sees: text, in which what may differ is left out, and pictures
    "The outputs of a cell, to be compared"
    found = [part for o in outputs for part in sorted((o.get("data") or {"text": o.get("text", "")}).items())]
    both = [(kind, value if isinstance(value, str) else "".join(value)) for kind, value in found]
    pictures = [Image.open(BytesIO(base64.b64decode(value))) for kind, value in both if kind == "image/png"]
    text = "\n".join(kind if varies == "all" else value.rstrip() for kind, value in both if kind != "image/png")
    text = re.sub(r"/tmp/tmp\w+", "/tmp/…", text)
    return text if varies is None else re.sub(r"[ -]*\d[\d.,]*(e[+-]?\d+)?", "#", text), pictures


def alike(one: Image.Image, other: Image.Image) -> bool:
    "Whether two pictures have one size and look the same: 4 of 64 bits of a perceptual hash may differ"
    return one.size == other.size and abs(imagehash.phash(one) - imagehash.phash(other)) <= 4


def changed(path: str | Path, flags: Collection[str] = ()) -> list[str]:
    """Where a run shows something else than what is stored, by cell

    With `#| varies`, for seconds and for what rounding decides, numbers and looks may differ; with `#| varies: all` all
    but the kinds of output.
    """
    out, stored = [], read_nb(path).cells
    for i, (was, now) in enumerate(zip(stored, fresh(path, flags).cells, strict=True)):
        if was.cell_type == "code":
            varies = directives(was).get("varies")
            (a, old), (b, new) = (shown(cell.outputs, varies) for cell in (was, now))
            if a != b or len(old) != len(new):
                lines = list(unified_diff(a.splitlines(), b.splitlines(), "stored", "now", lineterm="", n=0))
                out.append(
                    f"{path}, cell {i}:\n" + textwrap.indent("\n".join(lines) or "another number of pictures", "    ")
                )
            elif varies is None and not all(map(alike, old, new)):
                out.append(f"{path}, cell {i}: another picture")
    return out


def run(
    notebook: Positional[tuple[Path, ...]] = (),
    flags: tuple[str, ...] = (),
    workers: int = 1,
    check: bool = False,
) -> None:
    """Run notebooks, each in a process of its own, and store their outputs

    Args:
        notebook: Notebooks; default: all
        flags: Flagged cells to run as well: slow, cuda, data
        workers: Notebooks at a time
        check: Store nothing; say where the outputs are not those that are stored, and fail if any is
    """
    paths, wrong = list(notebook) or notebooks(), 0
    with ProcessPoolExecutor(workers, get_context("spawn"), max_tasks_per_child=1) as pool:
        for path, found in zip(paths, pool.map(changed if check else store, paths, [flags] * len(paths)), strict=True):
            print(path, *(found or ()), sep="\n")
            wrong += len(found or ())
    if wrong:
        sys.exit(f"{wrong} cells show something else than what is stored")
