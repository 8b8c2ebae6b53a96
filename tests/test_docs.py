"The site and the README: built from the notebooks, complete, every link good, nothing asked of another host."

import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbsite
import pytest
import yaml
from execnb.nbio import mk_cell, new_nb, write_nb
from fastcore.basics import AttrDict
from nbrun import ROOT, notebooks
from nbsite import Links, cell_markdown, entry, navigation, output_markdown, page_name, public_names, readme_text

from intrr.commands import COMMANDS

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    "Anchors, links, loaded resources and text (code left out) of one page"

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads, self.text, self.open = set(), [], [], "", []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.ids |= {a[k] for k in ("id", "name") if a.get(k)}
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        elif tag != "a":
            loads = tag != "link" or not {"canonical", "prev", "next", "alternate"} & set((a.get("rel") or "").split())
            self.loads += [a[k] for k in ("src", "href", "data") if a.get(k) and loads and tag not in ("base", "form")]

    def handle_endtag(self, tag):
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]

    def handle_data(self, data):
        if not {"code", "pre", "script", "style", "math"} & set(self.open):
            self.text += data


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, ".docs", "site", "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def pages(built):
    return {p: Page(p) for p in built.rglob("*.html") if p.name != "404.html"}


def outside(url):
    parts = urlsplit(url)
    return bool(parts.netloc or parts.scheme) and parts.scheme not in ("data", "mailto")


def html(built, notebook):
    return built / page_name(notebook.relative_to(ROOT / "nbs")).with_suffix(".html")


def test_every_notebook_has_a_page_and_a_place(built):
    listed = [p for _, group in navigation() for p in group]
    assert sorted(listed) == sorted(p.relative_to(ROOT / "nbs") for p in notebooks()), "see nbs/sidebar.yml"
    assert all(html(built, p).exists() for p in notebooks())
    assert (built / "search.json").stat().st_size > 10_000


def test_no_link_has_code_for_a_label():
    "The builder leaves code alone; a public name in backticks is a link by itself"
    said = [(p.name, m) for p in notebooks() for m in re.findall(r"\[`[^`\]]*`\]\([^)]*\.ipynb[^)]*\)", p.read_text())]
    assert not said


def test_internal_links_and_images_resolve(pages):
    broken = []
    for path, page in pages.items():
        for url in [u for u in page.links + page.loads if not outside(u) and not u.startswith(("data:", "mailto:"))]:
            parts = urlsplit(url)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].ids):
                broken.append((path.name, url))
    assert not broken


def test_nothing_is_loaded_from_outside(built, pages):
    assert not [(p.name, u) for p, page in pages.items() for u in page.loads if outside(u)]
    css = [p.read_text(encoding="utf-8") for p in built.rglob("*.css")]
    assert not [u for s in css for u in re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", s) if outside(u)]
    # the theme asks GitHub for stars where a page names a repository
    assert not [p for p in pages if 'data-md-component="source"' in p.read_text(encoding="utf-8")]


def test_every_public_name_has_an_entry(built, pages):
    for name, notebook in public_names().items():
        assert name in pages[html(built, ROOT / "nbs" / notebook)].ids, f"{notebook}: {name}"


def test_formulas_and_callouts_are_rendered(pages):
    left = r"\$[^\s$][^$\n]*\\[^$\n]*\$|^:::.*$"
    assert not [(p.name, m) for p, page in pages.items() for m in re.findall(left, page.text, re.M)]


def scale(
    x: list,  # Item vectors, `(N, d)`
    by: float = 2.0,  # Factor
) -> list:  # `(N, d)`
    "Scale $x$"
    return [by * v for v in x]


class Books(list):
    "Codebooks of every level"

    def __init__(self, size: int):
        self.size = size

    @property
    def levels(self) -> "int":
        "How many"
        return 2

    def nearest(self, *x: "list") -> "list":
        "The code of each row"
        return list(x)

    def _hidden(self): ...


class _Drawn(Books):
    def draw(self) -> "list":
        "Codewords at random"
        return []


class Kept(_Drawn):
    "Codebooks that are kept"

    def save(self) -> "None": ...


def test_entries():
    assert entry("scale", scale).splitlines()[2:] == [
        "```{ .python .signature }",
        "scale(",
        "    x,  # Item vectors, `(N, d)`",
        "    by=2.0,  # Factor",
        ")  # `(N, d)`",
        "```",
        "",
        "Scale $x$",
    ]
    text = entry("Books", Books)
    assert text.startswith("### <code>Books</code> { #Books .entry") and "#### <code>Books.levels</code>" in text
    for line in ("class Books(size)", "Books.levels -> int", "Books.nearest(*x: list) -> list", "The code of each row"):
        assert line in text.splitlines()
    assert "_hidden" not in text
    text = entry("Kept", Kept)  # what a private base gives is its own; what a public one gives stands there
    assert [line for line in text.splitlines() if line.startswith(("class", "Kept"))] == [
        "class Kept(Books)",
        "Kept.draw() -> list",
        "Kept.save() -> None",
    ]
    names = public_names()
    assert names["seed_everything"] == names["InputError"] == Path("00_core.ipynb") and "Run.train" in names


def test_formulas():
    assert nbsite.math("a `$x$` and 5$ or $6") == "a `$x$` and 5$ or $6"
    assert nbsite.math("$c_l$").startswith("<math") and 'display="block"' in nbsite.math("$$c$$")


def test_links():
    links = Links(Path("tutorials/quickstart.ipynb"), {"RAN": Path("31_ran.ipynb")})
    assert links("`RAN` of [RAN](../31_ran.ipynb#RAN)") == "[`RAN`](../ran.md#RAN) of [RAN](../ran.md#RAN)"
    assert links("see `RAN()`") == "see [`RAN()`](../ran.md#RAN)"
    assert links("[a](../results/a.json), [b](../../LICENSE)") == "[a](../files/a.json), [b](../files/LICENSE.txt)"
    assert links.files == {"a.json": Path("results/a.json"), "LICENSE.txt": Path("../LICENSE")}
    same = "`RANs`, [out](https://a.b/c) ![x](images/x.png)\n```\n[a](b.ipynb), `RAN`\n```"
    assert links(same) == same
    assert Links(Path("31_ran.ipynb"), {"RAN": Path("31_ran.ipynb")})("`RAN`") == "[`RAN`](#RAN)"


def test_prose():
    assert nbsite.space_lists("Two:\n- a\n- b\n") == "Two:\n\n- a\n- b\n"
    assert nbsite.fence("```").startswith("````\n")


def test_cells(tmp_path):
    picture = nbsite.Pictures(tmp_path, "ran")
    png = {"output_type": "display_data", "data": {"image/png": "aGk=", "text/plain": "<Figure>"}, "metadata": {}}
    shown = "![Two items](ran_files/figure-1.png)\n\n*Two items*\n"
    assert output_markdown(png, {"fig-cap": "Two items"}, picture) == shown
    assert (tmp_path / "ran_files/figure-1.png").read_bytes() == b"hi"
    stream = {"output_type": "stream", "name": "stdout", "text": ["red"]}
    assert output_markdown(stream, {}, picture) == "```{ .text .output }\nred\n```\n"
    assert nbsite.plain_html('<style scoped>\na\n</style>\n<table border="1">\n\n</table>') == "<table>\n</table>"
    assert nbsite.plain_html("<style>a</style><p>b</p>") == "<style>a</style><p>b</p>"
    assert cell_markdown(mk_cell("#| hide\nimport this"), picture) == ""
    code = lambda s: AttrDict(cell_type="code", source=s, outputs=[result])  # noqa: E731
    result = {"output_type": "execute_result", "data": {"text/plain": ["42"]}}
    said = "```python\n6 * 7\n```\n\n```{ .text .output }\n42\n```\n"
    assert cell_markdown(code("#| slow\n6 * 7"), picture) == said
    fold = cell_markdown(code("#| code-fold: true\n6 * 7"), picture)
    assert fold.startswith('??? source "Code"\n\n    ```python\n    6 * 7') and fold.endswith(said[-32:])


def test_page(tmp_path):
    core = nbsite.page(ROOT / "nbs/00_core.ipynb", Links(Path("00_core.ipynb"), {}), tmp_path)
    assert "# Core" in core and "#seed_everything" in core and "<code>intrr.core</code>" in core


def test_navigation():
    sections = navigation()
    assert sections[0] == ("", [Path("index.ipynb")]) and Path("00_core.ipynb") in dict(sections)["Ground"]


def test_a_folder_of_other_things_is_not_replaced(tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(SystemExit, match="holds other things than a site"):
        nbsite.site(tmp_path)
    assert (tmp_path / "precious.txt").exists()


def test_a_page_to_play_with_stands_behind_the_home_page(tmp_path):
    play, out = tmp_path / "play", tmp_path / "out"
    play.mkdir()
    with pytest.raises(SystemExit, match=r"no index.html; write the page first: intrr page RUN --out"):
        nbsite.site(out, play)
    (play / "index.html").write_text("<p>12 items</p>")
    nbsite.write_pages(out, play)
    nav = yaml.safe_load((out / "mkdocs.yml").read_text())["nav"]
    assert [*nav[0], *nav[1]] == ["Home", "Play with it"] and nav[1]["Play with it"] == "try.md"
    assert (out / "pages/play/index.html").read_text() == "<p>12 items</p>"
    assert 'src="play/index.html"' in (out / "pages/try.md").read_text()


def test_readme_of_a_small_project(tmp_path):
    text = "# a\n\n[data](10_data.ipynb), [licence](../LICENSE), [web](https://a.b)"
    cells = [mk_cell(text, "markdown"), mk_cell("#| hide\nimport os"), mk_cell("print(6 * 7)")]
    (tmp_path / "nbs").mkdir()
    write_nb(new_nb(cells), tmp_path / "nbs/index.ipynb")
    text = readme_text(tmp_path)
    assert "(nbs/10_data.ipynb), [licence](LICENSE), [web](https://a.b)" in text and "import os" not in text
    assert text.endswith("```python\nprint(6 * 7)\n```\n")


def test_readme_is_the_index_notebook():
    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme_text(), "run python .docs readme"


def test_readme_links_resolve():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    urls = [u for u in re.findall(r"\]\(([^)\s]+)\)", text) if not outside(u) and not u.startswith("#")]
    assert urls and not [u for u in urls if not (ROOT / u.partition("#")[0]).exists()]


def test_commands_in_the_text_exist():
    said = [(p.name, m) for p in notebooks() for m in re.findall(r"\bintrr ([a-z]+) ([^`\n\"]*)", p.read_text())]
    said = [(page, name, re.findall(r"--([a-z-]+)", rest)) for page, (name, rest) in said if name in COMMANDS]
    assert len(said) > 20 and sum(bool(options) for *_, options in said) > 10
    known = {
        name: {p.strip("_").replace("_", "-") for p in inspect.signature(fn).parameters}
        for name, fn in COMMANDS.items()
    }
    assert not [(page, name, o) for page, name, options in said for o in options if o not in known[name]]
    inline = [(p.name, m) for p in notebooks() for m in re.findall(r"`intrr ([a-z]+)", p.read_text())]
    assert not [(page, name) for page, name in inline if name not in COMMANDS]
