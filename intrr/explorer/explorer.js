function morph(old, now) {
  if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
  if (old.nodeType === 3) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  for (const a of [...old.attributes]) if (!now.hasAttribute(a.name)) old.removeAttribute(a.name);
  for (const a of now.attributes) if (old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
  if (old.nodeName === "INPUT" && old !== document.activeElement) old.value = now.getAttribute("value") ?? "";
  const [have, want] = [[...old.childNodes], [...now.childNodes]];
  for (const [i, node] of want.entries()) {
    if (have[i]) morph(have[i], node);
    else old.append(node);
  }
  for (const node of have.slice(want.length)) node.remove();
}

function render({ model, el }) {
  const box = document.createElement("div"),
    queue = [];
  box.dataset.lmSuppressShortcuts = "true"; // what is typed here is not for the notebook
  el.append(box);
  let waiting = false,
    timer = 0;
  const draw = () => {
    const fresh = document.createElement("div");
    fresh.dataset.lmSuppressShortcuts = "true";
    fresh.innerHTML = model.get("html");
    morph(box, fresh);
  };
  const next = () => {
    waiting = queue.length > 0;
    if (waiting) model.send(queue.shift());
  };
  const listen = (kind) => (event) => {
    const from = event.target.closest("[data-do]");
    if (!from || (from.nodeName === "INPUT") !== (kind === "input")) return;
    const what = {
      do: from.dataset.do,
      at: kind === "input" ? from.value : (from.dataset.at ?? ""),
    };
    if (kind === "input" && queue.length && queue.at(-1).do === what.do) queue.pop(); // only the last position counts
    queue.push(what);
    if (!waiting) next();
  };
  const play = (event) => {
    const button = event.target.closest("[data-play]");
    if (!button) return;
    const step = (first) => {
      const slider = box.querySelector(`input[data-do=${button.dataset.play}]`);
      if (!slider || (!first && +slider.value >= +slider.max)) return clearInterval(timer);
      slider.value = first && +slider.value >= +slider.max ? slider.min : +slider.value + 1;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    };
    clearInterval(timer);
    timer = setInterval(step, 700);
    step(true);
  };
  box.addEventListener("keydown", (event) => event.stopPropagation());
  box.addEventListener("click", play);
  box.addEventListener("click", listen("click"));
  box.addEventListener("input", listen("input"));
  model.on("change:html", draw);
  model.on("change:answered", next);
  draw();
  return () => clearInterval(timer);
}

export default { render };
