"The explorer without a browser: hostile titles, models that do not redistribute, runs without epochs, wrong clicks."

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from intrr.core import InputError
from intrr.experiments import Setup, size_recipe
from intrr.explorer import ACTIONS, Exploration, apply_action, explore, explorer_page
from intrr.explorer.numbers import Explorer, search_items
from intrr.explorer.pieces import COLOUR_BY
from intrr.explorer.ranking import rank_items, top_items
from intrr.explorer.views import VIEWS, State
from intrr.readers import write_folder
from intrr.runs import Run
from intrr.synthetic import make_catalogue

ROOT = Path(__file__).parents[1]
TITLES = {
    0: "<script>alert(1)</script>",
    1: '"><img src=x onerror=alert(1)>',
    2: "' onmouseover='alert(1)",
    3: "🏕️ Tent & $x$ costs $5 `code` </button></div>",
    4: None,
    5: "",
    6: "a" * 600,
    7: "&lt;b&gt; already escaped",
}
TAGS = {"div", "section", "header", "nav", "main", "span", "b", "i", "em", "p", "h2", "h3", "h4", "small", "strong"}
TAGS |= {"button", "input", "label", "output", "svg", "path", "circle", "text", "title"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A shop of 120 items with hostile titles, and four models"
    folder = tmp_path_factory.mktemp("explorer")
    data = make_catalogue(n_items=120, n_users=150)
    items = data.items.copy()
    for row, title in TITLES.items():
        items.loc[row, "title"] = title
    write_folder(replace(data, items=items), folder / "shop")
    run = Run.create(folder / "run", Setup(str(folder / "shop"), encoder="tfidf", size=6), progress=False)
    for model in ("intrr", "sasrec", "flat"):
        recipe = replace(size_recipe(model, size="trial"), epochs=1)
        run.train(model, recipe, device="cpu", progress=False, keep=int(model != "flat"))
    return run


@pytest.fixture(scope="module")
def explorer(run):
    return Explorer.open(run)


class Elements(HTMLParser):
    "Tags, attributes and text of a page, which must be well formed"

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = set(), set(), "", []
        self.feed(str(text))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {k for k, _ in attrs}
        if tag != "input":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def every_page(explorer):
    "All views, with all hostile items in them"
    state = State(0, history=tuple(TITLES), before=tuple(TITLES)[1:])
    for view in VIEWS:
        for row in TITLES:
            yield view, explorer_page(explorer, replace(state, view=view, item=row))
    for prefix in [(), *(explorer.run.sids.sid(0)[:depth] for depth in (1, 2, 3, 4))]:
        for colour in COLOUR_BY:
            yield "tree", explorer_page(explorer, replace(state, view="tree", prefix=prefix, colour=colour))
    for query in ("a", "<", "<0", "alert", "nothing has this name"):
        yield "search", explorer_page(explorer, replace(state, query=query))


@pytest.mark.parametrize("model", ["intrr", "sasrec", "flat", "knn"])
def test_titles_are_text_in_every_view(run, model):
    for view, text in every_page(Explorer.open(run, model)):
        seen = Elements(text)
        assert seen.tags <= TAGS, (view, seen.tags - TAGS)
        assert not [a for a in seen.attributes if a.startswith("on") or a in ("src", "href")], view
    explorer = Explorer.open(run, model)
    text = Elements(explorer_page(explorer, State(0, history=tuple(TITLES), view="user"))).text
    assert explorer.shop.titles[:3] == [TITLES[row] for row in range(3)]
    assert all(explorer.shop.titles[row] in text for row in TITLES)


def test_snapshot_stands_by_itself(explorer):
    for view in VIEWS:
        text = Exploration(explorer, State(3, view=view, history=(0, 1, 2, 3))).snapshot()
        body = text.partition("</style>")[2]
        assert "script" not in Elements(text).tags and "http" not in text and "url(" not in text
        assert "$" not in body and "`" not in body  # what would be mathematics or code on a page made of Markdown


def test_all_views_of_a_model_without_redistribution(run):
    for model in ("sasrec", "flat", "knn"):
        explorer = Explorer.open(run, model)
        assert f"the model '{model}' does not redistribute" in Elements(explorer_page(explorer, State(9))).text
        assert (
            f"the model '{model}' does not redistribute"
            in Elements(explorer_page(explorer, State(9, view="dial"))).text
        )
        best = top_items(explorer, [9, 10], k=5)
        assert best["row"].tolist() == rank_items(explorer.model, [9, 10]).order[:5].tolist()
        assert "lost" not in best and ("path" in best) == (model != "knn")
        assert "movers" not in explorer_page(explorer, State(9, view="tree"))


@pytest.mark.parametrize(("model", "parts"), [("intrr", ["path", "item", "counted"]), ("sasrec", ["item", "counted"])])
def test_a_pooled_model_is_shown_whole(run, tmp_path, model, parts):
    "The ranking is that of the whole score, with the share of each part; no beam decodes it"
    whole = Run.create(tmp_path / "whole", run.setup, progress=False)
    whole.train(model, replace(size_recipe(model, size="trial", parts="all"), epochs=2), device="cpu", progress=False)
    explorer = Explorer.open(whole, model)
    history = torch.tensor([[9, 10, 11]])
    assert type(explorer.model).__name__ == "Pooled" and explorer.network is explorer.model.network
    best = top_items(explorer, [9, 10, 11], k=5)
    assert best["row"].tolist() == explorer.model.topk(history, 5, exclude=history)[1][0].tolist()
    assert [list(lifts) for lifts in best["lifts"]] == [parts] * 5 and "beam" not in best
    text = Elements(explorer_page(explorer, State(9, view="user", history=(9, 10, 11)))).text
    assert all(text.count(name) >= 5 for name in parts) and "A beam of" not in text
    for _, page in every_page(explorer):
        assert Elements(page).tags <= TAGS


def test_style_and_script_are_clean():
    "Lint and format of the files that no notebook holds"
    biome = shutil.which("biome", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not biome:
        pytest.skip("no biome: pip install 'intrr[dev]'")
    files = [str(p) for p in sorted((ROOT / "intrr/explorer").glob("*.[cj]s*"))]
    assert len(files) == 4
    done = subprocess.run(
        [biome, "check", "--config-path=.biome.json", "--error-on-warnings", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_runs_that_lack_something(run, tmp_path):
    with pytest.raises(InputError, match="no run"):
        explore(tmp_path)
    with pytest.raises(InputError, match="no trained 'tiger'"):
        explore(run, "tiger")
    bare = replace(Explorer.open(run), kept={}, texts=None, suggested=[3])
    assert "Train with run.train(keep=1)" in Elements(explorer_page(bare, State(3, view="dial"))).text
    assert "its encoder is not here" in Elements(explorer_page(bare, State(3))).text


def test_without_the_extra(explorer, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    from intrr import explorer as module

    module._widget_class.cache_clear()
    with pytest.raises(InputError, match=re.escape("the explorer needs anywidget: pip install 'intrr[explore]'")):
        _ = Exploration(explorer).widget
    assert "ix-box" in Exploration(explorer).snapshot()
    module._widget_class.cache_clear()


@pytest.mark.parametrize(
    ("do", "at", "said"),
    [
        ("item", 120, "no item 120; item rows go from 0 to 119"),
        ("item", "x", "cannot do 'item' with 'x'"),
        ("add", -1, "no item -1"),
        ("user", 150, "no user 150; users go from 0 to 149"),
        ("into", "99", "<99>: no item has this prefix"),
        ("into", "", "cannot do 'into'"),
        ("view", "secret", "cannot do 'view' with 'secret'"),
        ("colour", "smell", "cannot do 'colour'"),
        ("width", "wide", "cannot do 'width'"),
        ("rm", "-rf", "cannot do 'rm' with '-rf'"),
    ],
)
def test_a_wrong_click_changes_nothing(explorer, do, at, said):
    state = State(3, history=(1, 2))
    after = apply_action(explorer, state, do, at)
    assert said in after.note and replace(after, note="") == state
    assert said in Elements(explorer_page(explorer, after)).text


def test_history_is_written(explorer):
    state = State(3)
    for row in (5, 6, 7):
        state = apply_action(explorer, state, "add", row)
    assert state.history == (5, 6, 7) and state.before == (5, 6) and state.view == "item"
    assert apply_action(explorer, state, "earlier", 2).history == (5, 7, 6)
    assert apply_action(explorer, state, "earlier", 0).history == (5, 6, 7)
    assert apply_action(explorer, state, "later", 0).history == (6, 5, 7)
    assert apply_action(explorer, state, "later", 2).history == (5, 6, 7)
    assert apply_action(explorer, state, "remove", 1).history == (5, 7)
    assert apply_action(explorer, state, "clear").history == ()
    assert "history is empty" in Elements(explorer_page(explorer, State(3, view="user"))).text


def test_history_of_a_user(explorer):
    state = apply_action(explorer, State(3), "user", 11)
    data = explorer.run.dataset
    assert list(state.history) == data.test().full(torch.tensor([11]))[0].tolist() and state.view == "user"
    text = Elements(explorer_page(explorer, state)).text
    rank = int(rank_items(explorer.model, state.history).rank[data.test().target[11]])
    assert f"rank {rank:,} of 120" in text


@pytest.mark.parametrize("model", ["intrr", "sasrec", "flat", "knn"])
def test_a_history_that_holds_nearly_the_whole_catalogue(run, model):
    explorer = Explorer.open(run, model)
    rows = tuple(range(explorer.model.n_items))
    for left in (9, 1):
        page = str(explorer_page(explorer, State(3, view="user", history=rows[left:], before=rows[left + 1 :])))
        assert page.count('ix-hit"') == left or model == "flat"  # whose beam may meet none of them
    page = Elements(explorer_page(explorer, State(3, view="user", history=rows)))
    assert "Nothing is left: the history holds every item that the model has scored." in page.text


def test_epochs(explorer):
    state = apply_action(explorer, State(3), "epoch", 0)
    assert "after 0 epochs" in explorer_page(explorer, state)
    assert "after 1 epochs" in explorer_page(explorer, apply_action(explorer, state, "epoch", 1))
    assert "after 1 epochs" in explorer_page(explorer, apply_action(explorer, state, "epoch", 77))


def test_a_click_reaches_the_widget(explorer):
    tour = Exploration(explorer)
    before = tour.widget.html
    tour.widget._handle_custom_msg({"do": "view", "at": "tree"}, [])
    assert tour.state.view == "tree" and tour.widget.html == explorer_page(explorer, tour.state) != before
    assert tour.widget.answered == 1
    tour.widget._handle_custom_msg({}, [])
    assert tour.widget.answered == 2 and "cannot do" in tour.widget.html
    bundle = tour._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle and "ix-still" in bundle["text/html"]


def test_search(explorer):
    assert 3 in search_items(explorer, "TENT 🏕️") and search_items(explorer, "alert(1") != []
    assert set(search_items(explorer, "<" + ", ".join(map(str, explorer.run.sids.sid(5))))) == {5}
    assert search_items(explorer, str(explorer.run.dataset.items["id"].iloc[17]))
    assert set(ACTIONS) >= {"item", "find", "add", "remove", "user", "width", "into", "epoch"}
