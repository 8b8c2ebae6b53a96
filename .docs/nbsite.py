"""README.md and the documentation site, made from the notebooks: prose, code and stored outputs as they stand.

Nothing is run. The modules are imported, and `fastcore.docments` reads their functions and classes."""

from __future__ import annotations

import ast
import base64
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from execnb.nbio import read_nb
from fastcore.docments import docments, docstring
from latex2mathml.converter import convert
from nbdev.process import NBProcessor
from nbdev.processors import hide_line, strip_ansi
from nbrun import ROOT, directives, is_export, module_of, notebooks, settings

BLOCK = re.compile(r"^ *(`{3,}).*?^ *\1 *$", re.M | re.S)
CODE = re.compile(rf"{BLOCK.pattern}|`[^`\n]+`", re.M | re.S)


# Markdown


def outside(code: re.Pattern[str], change: Callable[[str], str], text: str) -> str:
    "Apply `change` to all of a text but the matches of `code`"
    out, at = [], 0
    for m in code.finditer(text):
        out += [change(text[at : m.start()]), m[0]]
        at = m.end()
    return "".join([*out, change(text[at:])])


def fence(text: str, kind: str = "") -> str:
    "A code block that holds whatever `text` holds"
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{ticks}{kind}\n{text.rstrip()}\n{ticks}\n"


def math(text: str) -> str:
    "`$…$` and `$$…$$` to MathML, which browsers draw by themselves"

    def mathml(latex: str, display: str) -> str:
        return re.sub(r"[*_`\\|]", lambda m: f"&#{ord(m[0])};", convert(latex.strip(), display=display))

    def change(s: str) -> str:
        block = '\n\n<div class="formula">{}</div>\n\n'.format
        s = re.sub(r"\$\$(.+?)\$\$", lambda m: block(mathml(m[1], "block")), s, flags=re.S)
        return re.sub(r"(?<![\w$\\])\$(?![\s$])([^$]+?)(?<![\s\\])\$(?![\w$])", lambda m: mathml(m[1], "inline"), s)

    return outside(CODE, change, text)


def space_lists(text: str) -> str:
    "An empty line before each list, which Jupyter does without"
    start = r"^((?! *(?:[-*+]|\d+\.) )[^\n]*\S[^\n]*\n)(?=(?:[-*+]|1\.) )"
    return outside(CODE, lambda s: re.sub(start, r"\1\n", s, flags=re.M), text)


def page_name(notebook: Path) -> Path:
    "The page of a notebook, both relative to `nbs`: the number goes"
    return notebook.with_name(re.sub(r"^\d+_", "", notebook.stem) + ".md")


@dataclass(frozen=True)
class Links:
    "Where everything is, seen from one page"

    page: Path  # The notebook, relative to `nbs`
    names: Mapping[str, Path]  # Public name to its notebook, relative to `nbs`
    files: dict[str, Path] = field(default_factory=dict)  # Other files that pages link to, by name, relative to `nbs`

    def to(self, notebook: Path) -> str:
        "The address of another page"
        return os.path.relpath(page_name(notebook), self.page.parent).replace(os.sep, "/")

    def copied(self, file: Path) -> str:
        "The address of a file that is no notebook; without an ending it is text"
        name = file.name if file.suffix else f"{file.name}.txt"
        self.files[name] = file
        return os.path.relpath(Path("files") / name, self.page.parent).replace(os.sep, "/")

    def name(self, m: re.Match[str]) -> str:
        "A name of the library in backticks, as a link to its entry"
        home = self.names.get(name := m[1].removesuffix("()"))
        return m[0] if home is None else f"[{m[0]}]({'' if home == self.page else self.to(home)}#{name})"

    def target(self, m: re.Match[str]) -> str:
        "A link to a notebook leads to its page, one to any other file to a copy of it that comes with the site"
        path, _, anchor = m[2].partition("#")
        if not path or re.match(r"[\w+.-]+:", path) or (m[1].startswith("!") and not path.startswith("..")):
            return m[0]
        at = Path(os.path.normpath(self.page.parent / path))
        to = self.to(at) if at.suffix == ".ipynb" else self.copied(at)
        return f"{m[1]}({to}{'#' + anchor if anchor else ''})"

    def __call__(self, text: str) -> str:
        text = outside(CODE, lambda s: re.sub(r"(!?\[[^\]]*\])\(([^)\s]+)\)", self.target, s), text)
        name = r"(?<![\[`\w])`([\w.]+(?:\(\))?)`(?![`\]])"
        return outside(BLOCK, lambda s: re.sub(name, self.name, s), text)


# Entries of functions and classes


def signature(name: str, o: Any) -> str:
    "One line where it fits, else a line per parameter with its comment"
    if isinstance(o, property):
        return f"{name} -> {o.fget.__annotations__.get('return', '')}"
    if inspect.isclass(o) and not any("__init__" in vars(part) for part in class_parts(o)):
        bases = [base for part in class_parts(o) for base in part.__bases__ if base not in class_parts(o)]
        return f"class {name}({', '.join(base.__name__ for base in bases)})".replace("(object)", "")
    found = docments(o, full=True, args_kwargs=True)
    back = found.pop("return")
    arrow = f" -> {back.anno}" if isinstance(back.anno, str) and not inspect.isclass(o) else ""
    params = {k: parameter(k, p) for k, p in found.items() if k not in ("self", "cls")}
    name = f"class {name}" if inspect.isclass(o) else name
    flat = f"{name}({', '.join(params.values())}){arrow}"
    if len(flat) <= 80 and not any(p.docment for p in found.values()) and not back.docment:
        return flat
    lines = [f"    {text}," + (f"  # {found[k].docment}" if found[k].docment else "") for k, text in params.items()]
    return "\n".join([f"{name}(", *lines, f"){arrow}" + (f"  # {back.docment}" if back.docment else "")])


def parameter(name: str, p: Any) -> str:
    "A parameter with its stars, type and default"
    typed = f": {p.anno}" if isinstance(p.anno, str) else ""
    value = (
        ""
        if p.default is inspect.Parameter.empty
        else textwrap.shorten(getattr(p.default, "__name__", repr(p.default)), 60)
    )
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(p.kind.name, "")
    return stars + name + typed + (value and (f" = {value}" if typed else f"={value}"))


def entry(name: str, o: Any, level: int = 3) -> str:
    "Anchor, signature and docstring; of a class, those of its public methods too"
    o = o if isinstance(o, property) else inspect.unwrap(o)
    title = f'{"#" * level} <code>{name}</code> {{ #{name} .entry data-toc-label="{name}" }}\n'
    inside = [entry(f"{name}.{k}", v, 4) for k, v in members(o)] if inspect.isclass(o) else []
    return "\n".join([title, fence(signature(name, o), "{ .python .signature }"), docstring(o) + "\n", *inside])


def class_parts(cls: type) -> list[type]:
    "A class, and before it those of its bases that have no entry of their own: the private ones of its module"
    hidden = lambda base: base.__name__.startswith("_") and base.__module__ == cls.__module__  # noqa: E731
    return [base for base in reversed(cls.__mro__) if base is cls or hidden(base)]


def members(cls: type) -> Iterator[tuple[str, Any]]:
    "Public methods and properties that a class defines itself, or has of a private base"
    for name, o in {name: o for part in class_parts(cls) for name, o in vars(part).items()}.items():
        o = getattr(o, "__func__", o)
        if not name.startswith("_") and (isinstance(o, property) or inspect.isfunction(inspect.unwrap(o))):
            yield name, o


def exported(cell: Any, module: Any) -> str:
    "Entries of what a cell exports, and its source behind a click"
    parts, defines = [], False
    for node in ast.parse(cell.source).body:
        if name := getattr(node, "name", None):
            defines = True
            parts += [entry(name, vars(module)[name])] if name in module.__all__ else []
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if (name := getattr(target, "id", None)) in module.__all__:
                text = fence(ast.get_source_segment(cell.source, node) or "", "{ .python .signature }")
                parts.append(f'### <code>{name}</code> {{ #{name} .entry data-toc-label="{name}" }}\n\n{text}')
    return "\n".join([*parts, folded(cell.source, "Source")] if defines else parts)


def folded(code: str, head: str = "Code") -> str:
    "Code behind a click"
    return f'??? source "{head}"\n\n{textwrap.indent(fence(code, "python"), "    ")}'


# Pages


@dataclass
class Pictures:
    "Writes the pictures of one page and numbers them"

    folder: Path  # Where the page is written
    stem: str  # Name of the page
    count: int = 0

    def __call__(self, data: Mapping[str, Any], size: Mapping[str, Any], said: Mapping[str, str]) -> str:
        "Markdown that shows the picture in `data`"
        self.count += 1
        svg = "image/svg+xml" in data
        raw = joined(data["image/svg+xml"]).encode() if svg else base64.b64decode(joined(data["image/png"]))
        name = f"{self.stem}_files/figure-{self.count}.{'svg' if svg else 'png'}"
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(raw)
        caption = said.get("fig-cap", "")
        alt = said.get("fig-alt") or caption or f"Figure {self.count} of {self.stem}"
        width = f'{{ width="{size["width"]}" }}' if "width" in size else ""
        return f"![{alt}]({name}){width}\n" + (f"\n*{caption}*\n" if caption else "")


def joined(text: str | list[str]) -> str:
    "Text of an output"
    return text if isinstance(text, str) else "".join(text)


def plain_html(text: str) -> str:
    "HTML of an output without the borders, empty lines and style sheets of pandas; others keep theirs"
    text = re.sub(r"<style scoped.*?</style>", "", text, flags=re.S)
    return re.sub(r"\n\s*\n", "\n", re.sub(r' (?:border="1"|style="text-align: right;")', "", text)).strip()


def output_markdown(output: Mapping[str, Any], said: Mapping[str, str], picture: Pictures) -> str:
    "The richest form of one output: a picture, Markdown, HTML, text"
    text = "{ .text .output }"
    if output["output_type"] == "stream":
        return fence(joined(output["text"]), text) if output["name"] == "stdout" else ""
    if output["output_type"] == "error":
        return fence(f"{output['ename']}: {output['evalue']}", text)
    data = output["data"]
    if "image/svg+xml" in data or "image/png" in data:
        return picture(data, output.get("metadata", {}).get("image/png", {}), said)
    if "text/markdown" in data:
        return joined(data["text/markdown"]) + "\n"
    if "text/html" in data:
        return f'<div class="output">{plain_html(joined(data["text/html"]))}</div>\n'
    return fence(joined(data["text/plain"]), text) if "text/plain" in data else ""


def cell_markdown(cell: Any, picture: Pictures, module: Any = None) -> str:
    "What a page shows of a cell"
    if cell.cell_type != "code":
        return space_lists(cell.source) + "\n" if cell.cell_type == "markdown" else ""
    said = directives(cell)
    cell.source = code = "\n".join(s for s in cell.source.splitlines() if not re.match(r"#\s*\|", s)).strip()
    if {"hide", "default_exp"} & said.keys() or said.get("include") == "false" or "nbdev_export(" in code:
        return ""
    if is_export(said):
        return exported(cell, module)
    show = folded if said.get("code-fold", "false") != "false" else lambda s: fence(s, "python")
    parts = [show(code)] if code and said.get("echo") != "false" else []
    outputs = [] if said.get("output") == "false" else cell.get("outputs", [])
    return "\n".join([*parts, *(output_markdown(o, said, picture) for o in outputs)])


def read_page(notebook: Path) -> Any:
    "A notebook without hidden lines and colours of the terminal"
    pages = NBProcessor(notebook, procs=[strip_ansi, hide_line], rm_directives=False)
    pages.process()
    return pages.nb


def title_of(nb: Any) -> tuple[str, str]:
    "Title of a notebook, and the one sentence under it"
    title = re.search(r"^# +(.+)$", nb.cells[0].source, re.M)
    lead = re.search(r"^> *(.+(?:\n> .+)*)", nb.cells[0].source, re.M)
    return title[1] if title else Path(nb.path_).stem, lead[1].replace("\n> ", " ") if lead else ""


def page(notebook: Path, links: Links, folder: Path) -> str:
    "The Markdown page of a notebook; its pictures go into `folder`, beside it"
    nb = read_page(notebook)
    (title, lead), module = title_of(nb), module_of(nb)
    chip = f'<p class="module"><code>{module}</code></p>\n\n' if module else ""
    nb.cells[0].source = re.sub(r"^# .+\n?|^>.*\n?", "", nb.cells[0].source, flags=re.M)
    picture, source = Pictures(folder, page_name(notebook).stem), module and importlib.import_module(module)
    body = "\n".join(cell_markdown(c, picture, source) for c in nb.cells)
    head = f'# {title}\n\n{chip}<p class="lead" markdown="span">{lead}</p>\n\n'
    return f"---\ntitle: {json.dumps(title)}\n---\n\n" + math(links(head + body))


# The site


def navigation(root: Path = ROOT) -> list[tuple[str, list[Path]]]:
    "Sections, the first without a name for the home page, and their notebooks relative to `nbs`; see `nbs/sidebar.yml`"
    nbs = root / "nbs"
    contents = yaml.safe_load((nbs / "sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    groups = [(o["section"], o["contents"]) if isinstance(o, dict) else ("", [o]) for o in contents]
    find = lambda o: sorted(nbs.glob(o["auto"] if isinstance(o, dict) else o))  # noqa: E731
    return [(name, [p.relative_to(nbs) for o in group for p in find(o)]) for name, group in groups]


def public_names(root: Path = ROOT) -> dict[str, Path]:
    "Every public name, and those of a class with their class, to the notebook that exports it"
    found: dict[str, Path] = {}
    for path in notebooks(root):
        if name := module_of(read_nb(path)):
            module = importlib.import_module(name)
            for name in module.__all__:
                inside = members(o) if inspect.isclass(o := vars(module)[name]) else ()
                found |= dict.fromkeys([name, *(f"{name}.{k}" for k, _ in inside)], path.relative_to(root / "nbs"))
    return found


PLAY = """# Play with it

> A trained model in this page: search an item, write a history, and the whole catalogue is ranked in your browser.

<iframe src="play/index.html" title="A catalogue to play with" loading="lazy"></iframe>

[In a window of its own](play/index.html). `intrr page` writes such a page from any run.
"""


def write_pages(
    folder: Path,
    play: Path | None = None,  # What `intrr page` wrote, to be shown behind the home page
) -> None:
    "Markdown pages of all notebooks into `folder/pages`, and the builder's configuration beside them"
    cfg, nbs, pages, names = settings(), ROOT / "nbs", folder / "pages", public_names()
    nav: list[dict[str, Any]] = []
    files: dict[str, Path] = {}
    for section, group in navigation():
        for p in group:
            target = pages / page_name(p)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(page(nbs / p, Links(p, names, files), target.parent), encoding="utf-8")
        items = [{title_of(read_nb(nbs / p))[0]: page_name(p).as_posix()} for p in group]
        nav += [{section: items}] if section else [{"Home": page_name(p).as_posix()} for p in group]
        if play and not section:
            shutil.copytree(play, pages / "play")
            (pages / "try.md").write_text(PLAY, encoding="utf-8")
            nav.append({"Play with it": "try.md"})
    shutil.copy(nbs / "styles.css", pages)
    for name, file in files.items():
        (pages / "files").mkdir(exist_ok=True)
        shutil.copy(nbs / file, pages / "files" / name)
    mkdocs = yaml.safe_load((Path(__file__).parent / "mkdocs.yml").read_text(encoding="utf-8"))
    mkdocs |= {"site_name": cfg["title"], "site_description": cfg["description"], "nav": nav}
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(mkdocs), encoding="utf-8")


def site(
    out: Path = ROOT / "_docs",  # A new folder, or an older site
    play: Path | None = None,  # What `intrr page` wrote, to be shown behind the home page
) -> None:
    "Build the documentation site into a folder"
    if play and not (play / "index.html").exists():
        sys.exit(f"{play}: no index.html; write the page first: intrr page RUN --out {play}")
    if out.exists() and any(out.iterdir()) and not (out / "sitemap.xml").exists():
        sys.exit(f"{out}: holds other things than a site; name an empty folder")
    with tempfile.TemporaryDirectory() as d:
        write_pages(Path(d), play)
        command = [sys.executable, "-m", "zensical", "build", "--clean", "-f", f"{d}/mkdocs.yml"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"the site could not be built: {(done.stderr or done.stdout).strip()}")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(Path(d) / "site", out)
    print(out / "index.html")


# The README


def readme_text(root: Path = ROOT, picture: Pictures | None = None) -> str:
    "`README.md` as `nbs/index.ipynb` says it, links from the root; `picture` writes the pictures of outputs"
    with tempfile.TemporaryDirectory() as d:
        picture = picture or Pictures(Path(d), "index")
        cells = read_page(root / "nbs/index.ipynb").cells
        parts = [cell_markdown(c, picture) if c.cell_type == "code" else c.source + "\n" for c in cells]
    text = re.sub(r"^(`{3,})\{ \.(\w+)[^}]*\}$", r"\1\2", "\n".join(parts), flags=re.M)
    text = re.sub(r"(!\[[^\]]*\]\([^)]*\))\{[^}]*\}", r"\1", text)
    local = r"(\]\()(?![\w+.-]+:|#|\.\./)([^)\s]+\))"
    text = outside(CODE, lambda s: re.sub(local, r"\1nbs/\2", s).replace("](../", "]("), text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def readme() -> None:
    "Write README.md from nbs/index.ipynb"
    shutil.rmtree(ROOT / "nbs/index_files", ignore_errors=True)
    (ROOT / "README.md").write_text(readme_text(ROOT, Pictures(ROOT / "nbs", "index")), encoding="utf-8")
