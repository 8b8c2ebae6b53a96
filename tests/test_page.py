"""The page in a real browser, from a disk: the same numbers as Python, hostile titles, keyboard, narrow screens.

With the environment variable PAGE_PICTURES, a folder, pictures of the views are kept."""

import importlib.util
import os
import shutil
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from intrr.cli import main
from intrr.core import InputError
from intrr.experiments import Setup, size_recipe
from intrr.explorer import Explorer
from intrr.explorer.numbers import unit_vectors
from intrr.explorer.page import page_files, rebuilt_prior, stored_entries, write_page
from intrr.explorer.ranking import part_lifts, part_scores, path_probabilities, rank_items
from intrr.intrr_model import IntRR
from intrr.readers import write_folder
from intrr.recipes import Recipe
from intrr.redistribution import redistribution_of
from intrr.runs import Run
from intrr.synthetic import make_catalogue

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
in_browser = pytest.mark.skipif(
    not CHROMIUM or importlib.util.find_spec("playwright") is None,
    reason="no chromium or no playwright: apt-get install chromium; pip install 'intrr[dev]'",
)
TITLES = {
    0: "<img src=x onerror=\"document.body.dataset.ran='yes'\"> 'Tent' & \"Co\" 🏕️",
    1: "</script><script>document.body.dataset.ran='yes'</script>",
    2: "خيمة للتخييم 2",
    3: "&lt;b&gt; ${1+1} `x` \\u003c <b>bold</b>",
}


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    "A trained IntRR with all parts of the score, and a few hostile titles"
    folder = tmp_path_factory.mktemp("page")
    data = make_catalogue(n_items=200, n_users=400)
    items = data.items.copy()
    items["title"] = [TITLES.get(row, title) for row, title in enumerate(items["title"])]
    write_folder(replace(data, items=items), folder / "shop")
    run = Run.create(folder / "run", Setup(str(folder / "shop"), encoder="tfidf", size=8), progress=False)
    recipe = size_recipe("intrr", size="trial", parts="all")
    recipe = replace(recipe, dim=32, hidden=32, epochs=6, learning_rate=1e-2, batch_targets=128)
    run.train("intrr", recipe, device="cpu", progress=False)
    explorer = Explorer.open(run)
    explorer.model.weigh(share=0.7)  # training chooses 0 or 1
    chosen = explorer.model.prior.chosen
    explorer.model.prior = rebuilt_prior(run, explorer.model).pack(60)  # so that rows lose entries
    explorer.model.prior.chosen = chosen
    return explorer


@pytest.fixture(scope="module")
def folder(explorer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "page"
    write_page(page_files(explorer, "pca"), folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser, folder, anchor="", address=None, **how):
    "The page when it can rank; it must ask for nothing but its own files and have nothing to complain of"
    tab = browser.new_page(**how)
    tab.wrong, root = [], address or folder.as_uri()
    tab.on("console", lambda message: tab.wrong.append(message.text))
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith(root) else tab.wrong.append(request.url))
    tab.goto(f"{root}/index.html{anchor}")
    tab.wait_for_selector("main[aria-busy=false]")
    return tab


def same_ranking(tab, explorer, histories, k=20):
    "The best items of the page are those of Python, but for near ties, with their scores, factors and lifts"
    ask = """histories => histories.map(history => {
        const { scores, parts, rows } = page.ranker.rank(history, %d);
        const chances = page.ranker.chances(scores, rows);
        return [rows, rows.map(row => scores[row]), chances.map(c => c.path), page.ranker.lifts(parts, rows)];
    })"""
    for history, (rows, scores, path, lifts) in zip(histories, tab.evaluate(ask % k, histories), strict=True):
        want = rank_items(explorer.model, history, explorer.repeats)
        best = want.scores[want.order[: len(rows)]]
        left_out = 0 if explorer.repeats else len(set(history))
        assert len(rows) == min(k, explorer.model.n_items - left_out)
        assert torch.allclose(torch.tensor(scores), best.float(), atol=1e-2), history
        assert torch.allclose(want.scores[rows], best, atol=1e-2), history  # other items only where scores are so near
        factors = path_probabilities(explorer.run.sids, want.scores.double().softmax(0), torch.tensor(rows))
        assert torch.allclose(torch.tensor(path, dtype=torch.double), factors, atol=1e-2)
        own = part_lifts(part_scores(explorer.model, want.history), torch.tensor(rows)).to_dict("list")
        assert {name: [o[name] for o in lifts] for name in own} == {
            name: pytest.approx(values, abs=2e-2) for name, values in own.items()
        }


@in_browser
def test_the_ranking_is_that_of_python(browser, explorer, folder):
    full = explorer.run.dataset.test().full(torch.arange(200))
    histories = [row[row >= 0].tolist() for row in full]
    tab = opened(browser, folder)
    same_ranking(tab, explorer, histories)
    stored = stored_entries(explorer.model.prior)
    assert (stored.indptr[1:] - stored.indptr[:-1]).max() == 60
    kept = tab.evaluate(
        f"Array.from({{ length: {stored.shape[0]} }}, (_, row) => [...page.ranker.transitions(row).columns])"
    )
    assert [sorted(columns) for columns in kept] == [sorted(stored.indices[a:b]) for a, b in pairwise(stored.indptr)]
    none_twice = """ranker => {
        ranker.followed.value.fill(0); // as counts become that are too small for half precision
        ranker.rows.clear();
        const rows = [...ranker.tokens.keys()].map(row => ranker.transitions(row).columns);
        return rows.length > 0 && rows.every(columns => new Set(columns).size === columns.length);
    }"""
    assert tab.evaluate(f"({none_twice})(page.ranker)")


SMALL = {"dim": 16, "hidden": 12, "layers": 2, "heads": 2}
PUBLISHED = {**SMALL, "head_dim": 6, "ff": 24, "uid_dim": 8, "digit_size": 64, "exact": True}
RECIPES = {
    "children": Recipe(**SMALL, normaliser="children", assignment="soft"),
    "codes": Recipe(**SMALL, normaliser="codes", split=True),
    "hstu": Recipe(**SMALL, backbone="hstu", item_term=True, assignment="static"),
    "hstu-original": Recipe(**SMALL, backbone="hstu-original", assignment="none", max_len=5),
    "published": replace(Recipe.paper(), **PUBLISHED),
    "published hstu": replace(Recipe.paper(backbone="hstu"), **PUBLISHED),
}


@in_browser
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_other_recipes(browser, explorer, tmp_path, recipe):
    "Weights far from where training starts, so that every branch counts"
    torch.manual_seed(0)
    net = IntRR(explorer.run.sids, recipe).eval()
    with torch.no_grad():
        for part in net.parameters():
            part.add_(0.2 * torch.randn_like(part))
    other = replace(explorer, model=net, red=redistribution_of(net), tokens=unit_vectors(net.token_table()))
    write_page(page_files(other, "pca"), tmp_path / "page")
    tab = opened(browser, tmp_path / "page")
    same_ranking(tab, other, [[5], [9, 9, 4], list(range(7, 37))])
    for row in (0, 44):
        p = tab.evaluate(f"page.ranker.levels({row}).levels.map(level => [...level.p])")
        for ours, theirs in zip(p, net.redistribute(torch.tensor([row])).logits, strict=True):
            assert torch.allclose(torch.tensor(ours), theirs[0].softmax(0), atol=1e-2)
    assert tab.wrong == []


@in_browser
def test_people_who_repeat_items(browser, explorer, tmp_path):
    keeps = replace(explorer)
    vars(keeps)["repeats"] = True  # as if people repeated items in these data
    write_page(page_files(keeps, "pca"), tmp_path / "page")
    tab = opened(browser, tmp_path / "page")
    same_ranking(tab, keeps, [[3, 5, 3], list(range(9))], k=200)
    tab.close()


@in_browser
def test_a_visit(browser, explorer, folder):
    "Search, add, read the ranking, remove; walk the tree; all by the keyboard"
    tab = opened(browser, folder, viewport={"width": 1280, "height": 800})
    tab.focus("#find")
    tab.keyboard.type(explorer.shop.titles[20].lower()[:12])
    assert tab.locator("#hits .ix-line").count() > 0
    tab.locator("#hits .ix-plus").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#said").inner_text().startswith("Added to the history")
    tab.locator("[role=tab][aria-selected=true]").focus()
    tab.keyboard.press("ArrowRight")
    ranking = tab.locator("#next .ix-hit")
    assert ranking.count() == 20 and ranking.first.locator(".ix-cell").count() == explorer.run.sids.levels + 3
    first = tab.evaluate("page.history[0]")
    best = rank_items(explorer.model, [first]).order[0].item()
    assert ranking.first.locator(".ix-title").inner_text() == explorer.shop.titles[best]
    if pictures := os.environ.get("PAGE_PICTURES"):
        tab.screenshot(path=f"{pictures}/next.png", full_page=True)
    ranking.first.locator(".ix-plus").focus()
    tab.keyboard.press("Enter")
    assert tab.evaluate("page.history") == [first, best] and f"history={first}.{best}" in tab.url
    tab.locator("[aria-label^='remove']").first.press("Enter")
    assert tab.evaluate("page.history") == [best]
    tab.locator("#tab-next").press("ArrowRight")
    branches = tab.locator("#tree li")
    assert branches.count() == len(explorer.run.sids.codes[:, 0].unique())
    branches.first.locator(".ix-title").press("Enter")
    assert len(tab.evaluate("page.prefix")) == 1
    tab.focus("#map")
    for key in ("ArrowLeft", "+", "ArrowUp", "Enter"):
        tab.keyboard.press(key)
    assert tab.evaluate("page.view") == "item" and tab.evaluate("page.map.zoom") > 1
    assert tab.wrong == []


@in_browser
def test_from_a_web_server(browser, folder, explorer):
    "Any server of files will do, and is asked for the files alone"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            tab = opened(browser, folder, "#item=5", f"http://127.0.0.1:{server.server_port}")
            same_ranking(tab, explorer, [[4, 8]])
            assert tab.locator("#item h2").inner_text() == explorer.shop.titles[5] and tab.wrong == []
        finally:
            server.shutdown()


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@in_browser
def test_titles_are_text(browser, explorer, folder):
    tab = opened(browser, folder, "#item=0&history=0.1.2.3")
    shown = tab.locator("#next li .ix-title").all_inner_texts()
    titles = explorer.shop.titles[: len(TITLES)]
    assert titles[:3] == list(TITLES.values())[:3] and shown[:4] == titles
    for row, title in enumerate(titles):
        tab.evaluate(f"page.choose({row})")
        assert tab.locator("#item h2").inner_text() == title
        tab.evaluate(f"page.map.hover(...page.map.at({row}))")
    tab.fill("#find", "<img")
    assert tab.locator("#hits .ix-title").all_inner_texts() == [TITLES[0]]
    assert tab.evaluate("document.body.dataset.ran") is None and tab.locator("img").count() == 0
    assert tab.wrong == []


@in_browser
def test_nothing_else_may_run(browser, folder):
    "The policy stops a script that was put into the page"
    tab = opened(browser, folder)
    stopped = (
        """() => { try { document.body.innerHTML += "<img src=x onerror='1'>"; return false } catch { return true } }"""
    )
    assert tab.evaluate(stopped)
    tab.evaluate("fetch('https://example.org/').catch(() => 0)")
    assert any("Content Security Policy" in message for message in tab.wrong)


NAMELESS = r"""[...document.querySelectorAll("button, input, canvas")]
    .filter(e => e.checkVisibility() && !/[\p{L}\p{N}]/u.test(e.ariaLabel ?? e.innerText)).map(e => e.outerHTML)"""
CONTRAST = """() => {
    const ctx = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const paint = colours => {
        ctx.fillStyle = "#fff";
        ctx.fillRect(0, 0, 1, 1);
        for (const colour of colours) { ctx.fillStyle = colour; ctx.fillRect(0, 0, 1, 1); }
        const [r, g, b] = [...ctx.getImageData(0, 0, 1, 1).data].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const own = node => [...node.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    return [...document.querySelectorAll("#page *")].filter(e => own(e) && e.checkVisibility()).map(e => {
        const under = [];
        for (let o = e; o; o = o.parentElement) under.unshift(getComputedStyle(o).backgroundColor);
        const a = paint(under), b = paint([...under, getComputedStyle(e).color]);
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.className, e.textContent.slice(0, 30)];
    }).filter(([contrast]) => contrast < 4.5);
}"""


@in_browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_width(browser, folder, width, scheme):
    "Nothing stands out to the side, every control has a name, and text has the contrast of WCAG 2, level AA"
    tab = opened(
        browser, folder, "#item=7&history=7.9.40", viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    for view in ("item", "next", "tree"):
        tab.evaluate(f"page.turn('{view}')")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(NAMELESS) == []
        assert tab.evaluate(CONTRAST) == []
        if pictures := os.environ.get("PAGE_PICTURES"):
            tab.screenshot(path=f"{pictures}/{view}-{width}-{scheme}.png")
    assert tab.wrong == []


@in_browser
def test_without_scripts(browser, folder):
    tab = browser.new_context(java_script_enabled=False).new_page()
    tab.goto((folder / "index.html").as_uri())
    assert "holds a recommender that was trained on shop" in tab.locator("main").inner_text()


def test_models_that_it_cannot_run(explorer, tmp_path):
    sasrec = replace(size_recipe("sasrec", size="trial"), epochs=1)
    explorer.run.train("sasrec", sasrec, device="cpu", progress=False)
    with pytest.raises(InputError, match="cannot run a SASRec"):
        page_files(Explorer.open(explorer.run, "sasrec"))


def test_the_command(explorer, tmp_path, capsys):
    "What is in the way is refused before anything is read"
    assert main(["page", str(explorer.run.folder), "--out", str(tmp_path / "new"), "--map", "pca"]) == 0
    assert f"open {tmp_path / 'new/index.html'}" in capsys.readouterr().out
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").touch()
    for words, told in (
        (["nowhere", "--out", str(tmp_path / "full")], "full: holds letter.txt, which is no part of a page"),
        (["nowhere"], "page: name a folder"),
        (["nowhere", "--out", str(tmp_path / "none")], "nowhere: no run.json"),
        ([str(explorer.run.folder), "--out", str(tmp_path / "none"), "--map", "globe"], "give 'umap' or 'pca'"),
        ([str(explorer.run.folder), "--out", str(tmp_path / "none"), "--model", "knn"], "cannot run a TransitionKNN"),
    ):
        assert main(["page", *words]) == 2
        err = capsys.readouterr().err
        assert told in err and err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_disk_that_is_full(explorer, tmp_path, monkeypatch):
    "An older page stays whole"
    files = page_files(explorer, "pca")
    write_page(files, tmp_path / "page")
    before = {p.name: p.read_bytes() for p in (tmp_path / "page").iterdir()}
    whole = Path.write_bytes

    def full(path, data):
        if path.name == "tables.js":
            raise OSError(28, "No space left on device")
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        write_page(files | {"index.html": b"new"}, tmp_path / "page")
    assert {p.name: p.read_bytes() for p in (tmp_path / "page").iterdir()} == before
