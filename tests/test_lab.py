"""The explorer in a real JupyterLab with a real browser: search, choose, turn the dial, write a history, walk the tree.

With the environment variable LAB_PICTURES, a folder, a picture of every view is kept."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = [m for m in ("playwright", "jupyterlab", "anywidget") if importlib.util.find_spec(m) is None]
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: pip install 'intrr[dev]'"),
]
ROOT = Path(__file__).parents[1]
NASTY = "<img src=x onerror=\"document.body.dataset.ran='yes'\"> 'Tent' & \"Co\" 🏕️ $x^2$"
LAB = ["-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", "--allow-root", "--IdentityProvider.token="]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A run with kept epochs, one title of which is hostile, and a notebook that explores it"
    from intrr.experiments import Setup, size_recipe
    from intrr.readers import write_folder
    from intrr.runs import Run
    from intrr.synthetic import make_catalogue

    folder = tmp_path_factory.mktemp("lab")
    data = make_catalogue(n_items=200, n_users=300)
    items = data.items.copy()
    items.loc[data.popularity().argmax().item(), "title"] = NASTY
    write_folder(replace(data, items=items), folder / "shop")
    run = Run.create(folder / "run", Setup(str(folder / "shop"), encoder="tfidf", size=8), progress=False)
    recipe = replace(size_recipe("intrr", size="trial"), dim=32, hidden=32, epochs=6, alignment=0.5, batch_targets=256)
    recipe = replace(recipe, learning_rate=1e-2)
    run.train("intrr", recipe, device="cpu", progress=False, keep=2)
    source = ["from intrr.explorer import explore", "explore('run')"]
    cells = [
        dict(cell_type="code", id=f"c{i}", metadata={}, source=s, outputs=[], execution_count=None)
        for i, s in enumerate(source)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
    (folder / "tour.ipynb").write_text(json.dumps(dict(cells=cells, metadata=kernel, nbformat=4, nbformat_minor=5)))
    return folder


@pytest.fixture(scope="module")
def address(folder):
    "JupyterLab, with settings of its own"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    own = {f"JUPYTER_{k}_DIR": str(folder / ".jupyter" / k.lower()) for k in ("CONFIG", "DATA", "RUNTIME")}
    own |= {f"JUPYTERLAB_{k}_DIR": str(folder / ".jupyter" / k.lower()) for k in ("SETTINGS", "WORKSPACES")}
    news = folder / ".jupyter/settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    env = os.environ | own | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / ".ipython")}
    command = [sys.executable, *LAB, f"--port={port}", f"--ServerApp.root_dir={folder}"]
    lab = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/api", timeout=5).read()
                break
            except OSError:
                time.sleep(0.25)
        yield url
    finally:
        lab.terminate()
        lab.wait(30)


@pytest.fixture(scope="module")
def tour(address):
    "The page, with all cells run"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{address}/lab/tree/tour.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.get_by_text("| Idle").wait_for()  # the kernel is there
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.wait_for_selector(".ix-box .ix-level")
        page.set_default_timeout(15_000)
        yield page
        browser.close()


def picture(page, name):
    if folder := os.environ.get("LAB_PICTURES"):
        Path(folder).mkdir(exist_ok=True)
        page.wait_for_timeout(500)
        page.screenshot(path=Path(folder) / f"{name}.png")


def view(page, name):
    page.locator(".ix-tab", has_text=name).click()
    page.wait_for_selector(f".ix-tab.ix-on:has-text('{name}')")


def search(page, text):
    page.locator(".ix-box input[type=search]").press_sequentially(text)
    page.wait_for_selector(f".ix-box input[type=search][value='{text}']")  # the answer to all of it
    page.wait_for_selector(".ix-hits .ix-title")


def test_search_and_choose(tour):
    first = tour.locator(".ix-head h2").inner_text()
    search(tour, "tent")
    names = tour.locator(".ix-hits .ix-title").all_inner_texts()
    assert names and all("tent" in n.lower() for n in names)
    picture(tour, "search")
    chosen = tour.locator(".ix-hits .ix-title").nth(1)
    name = chosen.inner_text()
    chosen.click()
    tour.wait_for_selector(".ix-hits", state="detached")
    assert tour.locator(".ix-head h2").inner_text() == name != first
    assert tour.locator(".ix-box input[type=search]").input_value() == ""
    assert tour.locator(".ix-level").count() == 4 and tour.locator(".ix-strip i").count() > 3 * 8
    assert tour.locator(".jp-Cell").count() == 2  # what was typed did not reach the notebook's shortcuts
    picture(tour, "item")


def test_hostile_title_is_text(tour):
    search(tour, "onerror")
    tour.locator(".ix-hits .ix-title").first.click()
    tour.wait_for_selector(".ix-hits", state="detached")
    assert tour.locator(".ix-head h2").inner_text() == NASTY
    assert tour.locator(".ix-box img").count() == 0 and tour.locator("body").get_attribute("data-ran") is None


def test_dial(tour):
    view(tour, "Training")
    slider = tour.locator("input[data-do=epoch]")
    bars = lambda: tour.locator(".ix-strip i").evaluate_all("bars => bars.map(b => b.style.height)")  # noqa: E731
    assert tour.locator("output").inner_text() == "6"
    end, mark = bars(), tour.locator(".ix-cursor").get_attribute("d")
    slider.focus()
    for epoch in ("4", "2", "0"):
        tour.keyboard.press("ArrowLeft")
        tour.wait_for_selector(f"output:text-is('{epoch}')")
    assert bars() != end and tour.locator(".ix-cursor").get_attribute("d") != mark
    assert slider.evaluate("s => s === document.activeElement")  # it was not replaced under the hand
    tour.get_by_title("play").click()
    tour.wait_for_selector("output:text-is('6')")
    assert bars() == end
    picture(tour, "training")


def test_history_moves_the_ranking(tour):
    view(tour, "User")
    assert "empty" in tour.locator(".ix-card").first.inner_text()
    search(tour, "tent")
    tour.locator(".ix-hits .ix-plus").first.click()
    tour.wait_for_selector(".ix-hit")
    ranking = lambda: tour.locator(".ix-hit .ix-title").all_inner_texts()  # noqa: E731
    one = ranking()
    assert len(one) == 10 and tour.locator(".ix-cell").count() == 40
    tour.locator(".ix-hit .ix-plus").nth(2).click()
    tour.wait_for_selector(".ix-badge:text-is('2')")
    assert ranking() != one and one[2] not in ranking()
    moves = tour.locator(".ix-hit .ix-move").all_inner_texts()
    assert len(moves) == 10 and any("▲" in m for m in moves)
    picture(tour, "user")
    two = ranking()
    tour.get_by_title("earlier").click()
    first = "want => document.querySelector('.ix-card .ix-line .ix-title').innerText === want"
    tour.wait_for_function(first, arg=one[2])
    assert ranking() != two
    tour.get_by_title("remove").first.click()
    tour.wait_for_selector(".ix-badge:text-is('1')")
    assert ranking() == one


def test_beam(tour):
    slider = tour.locator("input[data-do=width]")
    slider.fill("3")
    tour.wait_for_selector("text=A beam of 3 misses")
    assert tour.locator(".ix-beam.ix-now").count() >= 7
    slider.fill("100")
    tour.wait_for_selector("text=A beam of 100 returns all 10")


def test_tree(tour):
    view(tour, "Tree")
    assert tour.locator(".ix-sun .ix-big").text_content() == "200"
    picture(tour, "tree")
    tour.locator(".ix-sun .ix-arc").first.click()
    tour.wait_for_selector(".ix-crumbs button >> nth=1")
    inside = int(tour.locator(".ix-sun .ix-big").text_content())
    assert 0 < inside < 200
    tour.get_by_role("button", name="movers").click()
    tour.wait_for_selector(".ix-push.ix-on:text-is('movers')")
    picture(tour, "branch")
    while not tour.locator(".ix-scroll [data-do=item]").count():
        tour.locator(".ix-scroll [data-do=into]").first.click()
        tour.wait_for_timeout(300)
    leaf = tour.locator(".ix-scroll [data-do=item]").first
    name = leaf.inner_text()
    leaf.click()
    tour.wait_for_selector(".ix-head")
    assert tour.locator(".ix-head h2").inner_text() == name


def test_narrow_page(tour):
    "Nothing sticks out of a narrow notebook"
    tour.set_viewport_size({"width": 800, "height": 1000})
    for name in ("Item", "User", "Tree", "Training"):
        view(tour, name)
        wide = "b => Math.max(...[...b.querySelectorAll('*')].map(e => e.getBoundingClientRect().right)) - b.getBoundingClientRect().right"  # noqa: E501
        assert tour.locator(".ix-box").evaluate(wide) < 2, name
        picture(tour, f"narrow-{name.lower()}")
