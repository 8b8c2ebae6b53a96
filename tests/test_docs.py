"The site and the README: built from the notebooks, complete, every link good, nothing asked of another host."

import ast
import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from intrr.cli import COMMANDS
from intrr.docs import navigation, notebooks, page_name, readme_text

ROOT = Path(__file__).parents[1]
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
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "intrr.docs", "site", "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {p: Page(p) for p in site.rglob("*.html") if p.name != "404.html"}


def outside(url):
    parts = urlsplit(url)
    return bool(parts.netloc or parts.scheme) and parts.scheme not in ("data", "mailto")


def html(site, notebook):
    return site / page_name(notebook.relative_to(ROOT / "nbs")).with_suffix(".html")


def test_every_notebook_has_a_page_and_a_place(site):
    listed = [p for _, group in navigation(ROOT) for p in group]
    assert sorted(listed) == sorted(p.relative_to(ROOT / "nbs") for p in notebooks(ROOT)), "see nbs/sidebar.yml"
    assert all(html(site, p).exists() for p in notebooks(ROOT))
    assert (site / "search.json").stat().st_size > 10_000


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


def test_nothing_is_loaded_from_outside(site, pages):
    assert not [(p.name, u) for p, page in pages.items() for u in page.loads if outside(u)]
    css = [p.read_text(encoding="utf-8") for p in site.rglob("*.css")]
    assert not [u for s in css for u in re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", s) if outside(u)]
    # the theme asks GitHub for stars where a page names a repository
    assert not [p for p in pages if 'data-md-component="source"' in p.read_text(encoding="utf-8")]


def test_every_public_name_has_an_entry(site, pages):
    for nb in notebooks(ROOT):
        module = ROOT / "intrr" / page_name(nb).with_suffix(".py").name
        if module.exists() and nb.parent.name == "nbs":
            public = re.search(r"^__all__ = (\[.*?\])", module.read_text(encoding="utf-8"), re.M | re.S)
            missing = set(ast.literal_eval(public[1]) if public else []) - pages[html(site, nb)].ids
            assert not missing, f"{nb.name}: {sorted(missing)}"


def test_formulas_and_callouts_are_rendered(pages):
    left = r"\$[^\s$][^$\n]*\\[^$\n]*\$|^:::.*$"
    assert not [(p.name, m) for p, page in pages.items() for m in re.findall(left, page.text, re.M)]


def test_readme_is_the_index_notebook():
    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme_text(ROOT), "run python -m intrr.docs readme"


def test_readme_links_resolve():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    urls = [u for u in re.findall(r"\]\(([^)\s]+)\)", text) if not outside(u) and not u.startswith("#")]
    assert urls and not [u for u in urls if not (ROOT / u.partition("#")[0]).exists()]


def test_commands_in_the_text_exist():
    said = [(p.name, m) for p in notebooks(ROOT) for m in re.findall(r"\bintrr ([a-z]+) ([^`\n\"]*)", p.read_text())]
    said = [(page, name, re.findall(r"--([a-z-]+)", rest)) for page, (name, rest) in said if name in COMMANDS]
    assert len(said) > 20 and sum(bool(options) for *_, options in said) > 10
    known = {name: {p.replace("_", "-") for p in inspect.signature(fn).parameters} for name, fn in COMMANDS.items()}
    assert not [(page, name, o) for page, name, options in said for o in options if o not in known[name]]
    inline = [(p.name, m) for p in notebooks(ROOT) for m in re.findall(r"`intrr ([a-z]+)", p.read_text())]
    assert not [(page, name) for page, name in inline if name not in COMMANDS]
