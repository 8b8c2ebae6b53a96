// A page that ranks a catalogue by itself. The files `catalogue.js` and `tables.js` call `take` with
// safetensors, compressed by gzip and written in base64, so that the page works from a disk as well.

// ---------------------------------------------------------------------------- files

const HALVES = new Float32Array(65536).map((_, bits) => {
  const [sign, exponent, part] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, (bits & 1023) / 1024];
  if (exponent === 31) return part ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? (1 + part) * 2 ** (exponent - 15) : part * 2 ** -14);
});

function fromHalves(bits) {
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = HALVES[bits[i]];
  return out;
}

const READERS = {
  F16: (b) => fromHalves(new Uint16Array(b)),
  F32: (b) => new Float32Array(b),
  I32: (b) => new Int32Array(b),
  U16: (b) => new Uint16Array(b),
  U8: (b) => new Uint8Array(b),
};

async function unpack(text) {
  const plain = atob(text);
  const packed = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) packed[i] = plain.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const all = await new Response(stream).arrayBuffer();
  const start = 8 + Number(new DataView(all).getBigUint64(0, true));
  const { __metadata__, ...heads } = JSON.parse(new TextDecoder().decode(new Uint8Array(all, 8, start - 8)));
  const tables = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(heads)) {
    const [from, to] = data_offsets;
    tables[name] = { shape, data: READERS[dtype](all.slice(start + from, start + to)) };
  }
  for (const [name, low] of Object.entries(tables).filter(([name]) => name.endsWith(".low"))) {
    const high = tables[name.replace(".low", ".high")].data;
    const bits = new Uint16Array(high.length);
    for (let i = 0; i < bits.length; i++) bits[i] = low.data[i] + 256 * high[i];
    const halves = name.endsWith(".half.low");
    tables[name.replace(/(\.half)?\.low$/, "")] = { shape: low.shape, data: halves ? fromHalves(bits) : bits };
  }
  return { facts: JSON.parse(__metadata__.intrr), tables };
}

// ---------------------------------------------------------------------------- numbers

function dot(a, i, b, j, n) {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += a[i + k] * b[j + k];
  return sum;
}

function linear(x, weight, bias) {
  const [out, width] = weight.shape;
  const rows = x.length / width;
  const y = new Float32Array(rows * out);
  for (let r = 0; r < rows; r++)
    for (let o = 0; o < out; o++)
      y[r * out + o] = dot(x, r * width, weight.data, o * width, width) + (bias ? bias.data[o] : 0);
  return y;
}

function rmsNorm(x, { data }) {
  const d = data.length;
  const y = new Float32Array(x.length);
  for (let r = 0; r < x.length; r += d) {
    const scale = 1 / Math.sqrt(dot(x, r, x, r, d) / d + 2 ** -23);
    for (let k = 0; k < d; k++) y[r + k] = x[r + k] * scale * data[k];
  }
  return y;
}

function layerNorm(x, weight, bias) {
  const d = weight.data.length;
  const y = new Float32Array(x.length);
  for (let r = 0; r < x.length; r += d) {
    const row = x.subarray(r, r + d);
    const mean = row.reduce((sum, v) => sum + v, 0) / d;
    const spread = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / d;
    const scale = 1 / Math.sqrt(spread + 1e-5);
    for (let k = 0; k < d; k++) y[r + k] = (row[k] - mean) * scale * weight.data[k] + bias.data[k];
  }
  return y;
}

const silu = (v) => v / (1 + Math.exp(-v));
const softplus = (v) => (v > 20 ? v : Math.log1p(Math.exp(v)));
function add(x, y) {
  const out = x.slice();
  for (let i = 0; i < out.length; i++) out[i] += y[i];
  return out;
}

function logSumExp(x) {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < x.length; i++) if (x[i] > top) top = x[i];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.exp(x[i] - top);
  return top + Math.log(sum);
}

function softmax(x) {
  const total = logSumExp(x);
  const out = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) out[i] = Math.exp(x[i] - total);
  return out;
}

function best(scores, k) {
  const rows = [];
  for (let i = 0; i < scores.length; i++) {
    if (rows.length === k && scores[i] <= scores[rows[k - 1]]) continue;
    if (scores[i] === Number.NEGATIVE_INFINITY) continue;
    let at = rows.length;
    while (at && scores[rows[at - 1]] < scores[i]) at--;
    rows.splice(at, 0, i);
    if (rows.length > k) rows.pop();
  }
  return rows;
}

// a sparse matrix: where each row starts, and the column and the value of each entry
function sparse(name, tables) {
  const [length, gap, value] = ["length", "gap", "value"].map((part) => tables[`${name}_${part}`].data);
  const start = new Int32Array(length.length + 1);
  for (let i = 0; i < length.length; i++) start[i + 1] = start[i] + length[i];
  const column = Int32Array.from(gap);
  for (let i = 0; i < length.length; i++) for (let e = start[i] + 1; e < start[i + 1]; e++) column[e] += column[e - 1];
  return { start, column, value };
}

// ---------------------------------------------------------------------------- the backbone

const WEIGH = {
  transformer: (s) => softmax(s),
  hstu: (s) => {
    const w = s.map(softplus);
    const total = w.reduce((a, b) => a + b, 0);
    return w.map((v) => v / total);
  },
  "hstu-original": (s) => s.map((v) => silu(v) / s.length),
};

class Backbone {
  constructor(facts, tables) {
    this.facts = facts;
    this.tables = tables;
    this.bucket = Array.from({ length: facts.max_len }, (_, far) => facts.starts.filter((from) => from <= far).length);
  }

  part(name) {
    return this.tables[`backbone.${name}`];
  }

  // each place looks at itself and those before it; `p` has a row per place, with q, k and v from these columns
  attend(p, [q, k, v], block) {
    const { heads, head_dim, scale, bias_tables, backbone } = this.facts;
    const wide = heads * head_dim;
    const width = p.length / this.length;
    const bias = this.part("distance.weight");
    const first = (block % bias_tables) * heads;
    const out = new Float32Array(this.length * wide);
    for (let t = 0; t < this.length; t++)
      for (let head = 0; head < heads; head++) {
        const at = head * head_dim;
        const logits = new Float64Array(t + 1);
        for (let s = 0; s <= t; s++) {
          logits[s] = scale * dot(p, t * width + q + at, p, s * width + k + at, head_dim);
          logits[s] += bias.data[this.bucket[t - s] * bias.shape[1] + first + head];
        }
        const weights = WEIGH[backbone](logits);
        for (let s = 0; s <= t; s++)
          for (let e = 0; e < head_dim; e++) out[t * wide + at + e] += weights[s] * p[s * width + v + at + e];
      }
    return out;
  }

  transformerBlock(x, i) {
    const part = (name) => this.part(`blocks.${i}.${name}`);
    const wide = this.facts.heads * this.facts.head_dim;
    const p = linear(rmsNorm(x, part("norm_attn.weight")), part("qkv.weight"));
    const y = add(x, linear(this.attend(p, [0, wide, 2 * wide], i), part("out.weight")));
    let z = linear(rmsNorm(y, part("norm_ff.weight")), part("up.weight"), part("up.bias"));
    z = z.map((v) => Math.max(v, 0));
    for (let n = 0; part(`deeper.${n}.weight`); n++)
      z = linear(z, part(`deeper.${n}.weight`), part(`deeper.${n}.bias`)).map((v) => Math.max(v, 0));
    return add(y, linear(z, part("down.weight"), part("down.bias")));
  }

  hstuBlock(x, i) {
    const part = (name) => this.part(`blocks.${i}.${name}`);
    const wide = this.facts.heads * this.facts.head_dim;
    const original = part("norm_mixed.weight");
    const p = linear(layerNorm(x, part("norm.weight"), part("norm.bias")), part("uvqk.weight"), part("uvqk.bias"));
    const gate = new Float32Array(this.length * wide);
    for (let n = 0; n < p.length; n++) {
      const column = n % (4 * wide);
      if (column < wide) gate[Math.floor(n / (4 * wide)) * wide + column] = silu(p[n]);
      else if (original) p[n] = silu(p[n]);
    }
    let mixed = this.attend(p, [2 * wide, 3 * wide, wide], i);
    if (original) mixed = layerNorm(mixed, original, part("norm_mixed.bias"));
    return add(
      x,
      linear(
        mixed.map((v, n) => v * gate[n]),
        part("out.weight"),
        part("out.bias"),
      ),
    );
  }

  // the state of the last place
  last(x, length) {
    this.length = length;
    const transformer = this.facts.backbone === "transformer";
    for (let i = 0; i < this.facts.layers; i++) x = transformer ? this.transformerBlock(x, i) : this.hstuBlock(x, i);
    x = x.slice(-this.facts.dim);
    const norm = this.part("norm.weight") ?? this.part("norm.0.weight");
    if (!norm) return x;
    return transformer ? rmsNorm(x, norm) : layerNorm(x, norm, this.part("norm.bias"));
  }
}

// ---------------------------------------------------------------------------- the tree

// numbers of the pairs of codes and of the prefixes that the items use
class Tree {
  constructor({ shape, data }) {
    const [n, levels] = shape;
    this.levels = levels;
    this.code = (row, level) => data[row * levels + level];
    const rows = Array.from({ length: n }, (_, row) => row);
    this.order = rows.sort((a, b) => {
      for (let l = 0; l < levels; l++)
        if (this.code(a, l) !== this.code(b, l)) return this.code(a, l) - this.code(b, l);
      return a - b;
    });
    this.edges = []; // of each level: `prev` and `next` of each pair, ascending, and `of`, the pair of each item
    this.nodes = []; // of each level: `parent` and `edge` of each prefix, and `of`, the prefix of each item
    for (let l = 0; l < levels; l++) {
      const pair = (row) => (l ? this.code(row, l - 1) * 65536 : 0) + this.code(row, l);
      const pairs = [...new Set(rows.map(pair))].sort((a, b) => a - b);
      const place = new Map(pairs.map((p, i) => [p, i]));
      this.edges.push({
        prev: Uint16Array.from(pairs, (p) => Math.floor(p / 65536)),
        next: Uint16Array.from(pairs, (p) => p % 65536),
        of: Int32Array.from({ length: n }, (_, row) => place.get(pair(row))),
      });
      const above = this.nodes[l - 1];
      const node = { parent: [], edge: [], of: new Int32Array(n) };
      let before = null;
      for (const row of this.order) {
        const parent = above ? above.of[row] : 0;
        const edge = this.edges[l].of[row];
        if (before === null || node.parent[before] !== parent || node.edge[before] !== edge) {
          before = node.parent.push(parent) - 1;
          node.edge.push(edge);
        }
        node.of[row] = before;
      }
      this.nodes.push(node);
    }
  }

  // the rows whose codes begin so, in the order of the tree
  below(prefix) {
    return this.order.filter((row) => prefix.every((c, l) => this.code(row, l) === c));
  }
}

// ---------------------------------------------------------------------------- the model

class Ranker {
  constructor(facts, tables, tree) {
    Object.assign(this, { facts, tables, tree, tokens: new Map(), rows: new Map() });
    this.backbone = new Backbone(facts, tables);
    if (facts.prior) for (const name of ["followed", "alike", "listed"]) this[name] = sparse(name, tables);
    this.n = tables.guidance.shape[0];
  }

  // the item side: where an item stands on each level, and its token
  levels(row) {
    const { dim, hardness, assignment, residual } = this.facts;
    const g = this.tables.guidance.data.subarray(row * dim, (row + 1) * dim);
    const own = (name) => this.tables[`item.${name}`] ?? this.tables[name];
    const levels = [];
    const token = new Float32Array(dim);
    let s = linear(g, this.tables.book0);
    for (let l = 0; l < this.tree.levels; l++) {
      const book = this.tables[`book${l}`].data;
      const [before, now] = [this.tree.code(row, l), this.tables.now.data[row * this.tree.levels + l]];
      const p = softmax(s);
      levels.push({ p, before, now });
      const weights = p.map((v, k) => (1 - hardness) * v + (k === now ? hardness : 0));
      const mean = (table, width) => {
        const out = new Float32Array(width);
        for (let k = 0; k < weights.length; k++)
          if (weights[k]) for (let e = 0; e < width; e++) out[e] += weights[k] * table[k * width + e];
        return out;
      };
      const c = assignment === "static" ? book.subarray(before * dim, (before + 1) * dim) : mean(book, dim);
      if (assignment !== "none") for (let e = 0; e < dim; e++) token[e] += c[e];
      if (l + 1 === this.tree.levels) break;
      const guide = linear(g, own(`guide${l + 1}`), own(`guide_bias${l + 1}`));
      const code = mean(own(`code${l + 1}`).data, guide.length);
      const hidden = guide.map((v, e) => Math.max(v + code[e], 0));
      s = linear(hidden, own(`rows${l + 1}`), own(`bias${l + 1}`));
    }
    return { levels, token: token.map((v, e) => v + residual * g[e]) };
  }

  token(row) {
    if (!this.tokens.has(row)) this.tokens.set(row, this.levels(row).token);
    return this.tokens.get(row);
  }

  // the user side: the logit of every pair of codes that some item has
  edgeLogits(h) {
    return this.tree.edges.map(({ prev, next }, l) => {
      if (!l) return Float64Array.from(next, (k) => dot(this.tables.book0.data, k * h.length, h, 0, h.length));
      const [code, rows, bias] = ["code", "rows", "bias"].map((name) => this.tables[name + l].data);
      const guide = linear(h, this.tables[`guide${l}`], this.tables[`guide_bias${l}`]);
      const hidden = new Float32Array(guide.length);
      const out = new Float64Array(prev.length);
      for (let e = 0, last = -1; e < prev.length; e++) {
        if (prev[e] !== last) {
          last = prev[e];
          for (let k = 0; k < hidden.length; k++) hidden[k] = Math.max(guide[k] + code[last * hidden.length + k], 0);
          if (this.facts.decoding === "codes")
            this.totals[l][last] = logSumExp(add(linear(hidden, this.tables[`rows${l}`]), bias));
        }
        out[e] = bias[next[e]] + dot(rows, next[e] * hidden.length, hidden, 0, hidden.length);
      }
      return out;
    });
  }

  // the score of every item along its ID
  path(h) {
    const { decoding } = this.facts;
    const { nodes, edges, levels } = this.tree;
    this.totals = edges.map(() => []);
    const logits = this.edgeLogits(h);
    if (decoding === "codes") this.totals[0][0] = logSumExp(linear(h, this.tables.book0));
    const out = new Float64Array(this.n);
    if (decoding !== "children") {
      for (let l = 0; l < levels; l++) {
        const value = logits[l].map((v, e) => v - (decoding === "codes" ? this.totals[l][edges[l].prev[e]] : 0));
        for (let i = 0; i < this.n; i++) out[i] += value[edges[l].of[i]];
      }
      return out;
    }
    let above = new Float64Array(1);
    for (let l = 0; l < levels; l++) {
      const { parent, edge } = nodes[l];
      const top = new Float64Array(above.length).fill(Number.NEGATIVE_INFINITY);
      const mass = new Float64Array(above.length);
      for (let c = 0; c < parent.length; c++) top[parent[c]] = Math.max(top[parent[c]], logits[l][edge[c]]);
      for (let c = 0; c < parent.length; c++) mass[parent[c]] += Math.exp(logits[l][edge[c]] - top[parent[c]]);
      above = Float64Array.from(parent, (p, c) => above[p] + logits[l][edge[c]] - top[p] - Math.log(mass[p]));
    }
    return out.map((_, i) => above[nodes[levels - 1].of[i]]);
  }

  itemTerm(h) {
    const { dim } = this.facts;
    const scaled = h.map((v) => v / Math.sqrt(dim));
    const out = new Float64Array(this.n);
    for (let i = 0; i < this.n; i++) out[i] = dot(this.tables.guidance.data, i * dim, scaled, 0, dim);
    return out;
  }

  // the row of an item in the table of transitions: columns and values of the entries that the run keeps
  transitions(row) {
    if (this.rows.has(row)) return this.rows.get(row);
    const { forward, back, text, tau } = this.facts.prior;
    const { followed, alike, listed } = this;
    const total = this.tables.alike_total.data;
    this.sum ??= new Float64Array(this.n);
    this.seen ??= new Int32Array(this.n);
    const { sum, seen } = this;
    let n = 0;
    const give = ({ start, column, value }, of, factor) => {
      for (let e = start[of]; e < start[of + 1]; e++) {
        const k = column[e];
        const v = factor * value[e];
        if (v && !sum[k]) seen[n++] = k; // a value that is too small for half precision is 0
        sum[k] += v;
      }
    };
    give(followed, row, 1);
    if (forward)
      for (let e = alike.start[row]; e < alike.start[row + 1]; e++)
        give(followed, alike.column[e], (forward * alike.value[e]) / total[row]);
    if (back)
      for (let e = followed.start[row]; e < followed.start[row + 1]; e++)
        give(alike, followed.column[e], (back * followed.value[e]) / total[followed.column[e]]);
    const factor = this.tables.factor.data[row];
    const scale = 1 / Math.log1p(1 / tau);
    for (let i = 0; i < n; i++) sum[seen[i]] = scale * Math.log1p(sum[seen[i]] * factor);
    give(alike, row, text);
    const all = seen.slice(0, n);
    const cut = this.tables.cut.data[row];
    const kept = new Set(listed.column.subarray(listed.start[row], listed.start[row + 1]));
    const columns = all.filter((k) => sum[k] > cut || kept.has(k));
    const found = { columns, values: Float64Array.from(columns, (k) => sum[k]) };
    for (const k of all) sum[k] = 0;
    this.rows.set(row, found);
    return found;
  }

  // what is counted, less popularity
  counted(history) {
    const { recency, max_len, weight, less } = this.facts.prior;
    const { base, log_counts } = this.tables;
    const out = new Float64Array(this.n);
    for (let i = 0; i < this.n; i++) out[i] = weight * base.data[i] - less * log_counts.data[i];
    const recent = history.slice(-max_len);
    const share = recent.map((_, t) => recency ** (recent.length - 1 - t));
    const total = share.reduce((a, b) => a + b, 0);
    for (const [t, row] of recent.entries()) {
      const { columns, values } = this.transitions(row);
      for (let e = 0; e < columns.length; e++) out[columns[e]] += ((weight * share[t]) / total) * values[e];
    }
    return out;
  }

  state(history) {
    const { dim, max_len } = this.facts;
    const recent = history.slice(-max_len);
    const x = new Float32Array(recent.length * dim);
    for (const [t, row] of recent.entries()) x.set(this.token(row), t * dim);
    return this.backbone.last(x, recent.length);
  }

  // every item scored after a history, by part; what the history holds is left out, unless people repeat items
  rank(history, k = 20) {
    const h = this.state(history);
    const parts = { path: this.path(h) };
    if (this.facts.item_term) parts.item = this.itemTerm(h);
    const scores = parts.item ? add(parts.path, parts.item) : parts.path.slice();
    if (this.facts.prior) {
      const [total, share] = [logSumExp(scores), this.facts.prior.share];
      for (const name of Object.keys(parts)) parts[name] = parts[name].map((v) => share * v);
      parts.counted = this.counted(history);
      for (let i = 0; i < this.n; i++) scores[i] = share * (scores[i] - total) + parts.counted[i];
    }
    if (!this.facts.repeats) for (const row of history) scores[row] = Number.NEGATIVE_INFINITY;
    return { scores, parts, rows: best(scores, k) };
  }

  // the probabilities of some items, and their factors along the IDs
  chances(scores, rows) {
    const p = softmax(scores);
    const masses = this.tree.nodes.map(({ parent, of }) => {
      const mass = new Float64Array(parent.length);
      for (let i = 0; i < p.length; i++) mass[of[i]] += p[i];
      return mass;
    });
    return rows.map((row) => {
      const mass = masses.map((m, l) => m[this.tree.nodes[l].of[row]]);
      return { p: p[row], path: mass.map((m, l) => m / (l ? mass[l - 1] : 1) || 0) };
    });
  }

  // by how much each part lifts some items above the average one
  lifts(parts, rows) {
    const found = rows.map(() => ({}));
    for (const [name, values] of Object.entries(parts)) {
      let sum = 0;
      for (let i = 0; i < this.n; i++) sum += values[i];
      for (const [n, row] of rows.entries()) found[n][name] = values[row] - sum / this.n;
    }
    return found;
  }

  rankOf(scores, row) {
    return 1 + scores.reduce((above, v) => above + (v > scores[row]), 0);
  }

  // the items whose vectors point in the most similar direction
  near(row, k) {
    const { dim } = this.facts;
    const g = this.tables.guidance.data;
    this.lengths ??= Float32Array.from({ length: this.n }, (_, i) => Math.sqrt(dot(g, i * dim, g, i * dim, dim)) || 1);
    const cosine = this.lengths.map((long, i) => dot(g, i * dim, g, row * dim, dim) / (long * this.lengths[row]));
    cosine[row] = Number.NEGATIVE_INFINITY;
    return best(cosine, k).map((i) => [i, cosine[i]]);
  }
}

// ---------------------------------------------------------------------------- elements

// an element; every text goes in as text
function el(name, attributes = {}, ...inside) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "do") node.addEventListener("click", value);
    else if (key === "class") node.className = value.replace(/\S+/g, "ix-$&");
    else if (key === "style") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else node.setAttribute(key, value);
  }
  node.append(...inside.flat(9).filter((part) => part !== null && part !== undefined && part !== false));
  return node;
}

// new contents, with the focus where it was
function refill(box, ...inside) {
  const key = box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  box.replaceChildren(...inside.flat(9).filter(Boolean));
  if (!key) return;
  const again = [...box.querySelectorAll("[data-key]")].find((node) => node.dataset.key === key);
  (again ?? box).focus({ preventScroll: true });
}

const push = (text, act, more = {}) =>
  el("button", { type: "button", class: "push", "data-key": text, do: act, ...more }, text);
const dim = (...text) => el("span", { class: "dim" }, ...text);
const number = (text, more = {}) => el("span", { class: "num", ...more }, text);
const { format: commas } = new Intl.NumberFormat("en");
const sidText = (codes) => `<${codes.join(", ")}>`;
const percent = (p) => `${Number((100 * p).toPrecision(2))} %`;

const PARTS = {
  path: "the path through the ID",
  item: "the item's own vector",
  counted: "transitions that are counted",
};

// ---------------------------------------------------------------------------- the map

class ItemMap {
  constructor(canvas, tip, { place, label }, colours) {
    Object.assign(this, { canvas, tip, label: label.data, colours, zoom: 1, marked: new Map(), only: null });
    this.n = label.data.length;
    this.x = Float32Array.from({ length: this.n }, (_, i) => place.data[2 * i] / 65535);
    this.y = Float32Array.from({ length: this.n }, (_, i) => place.data[2 * i + 1] / 65535);
    this.wide = this.x.reduce((a, b) => Math.max(a, b), 1e-6);
    this.high = this.y.reduce((a, b) => Math.max(a, b), 1e-6);
    this.reset();
    this.groups = colours.map((_, c) => [...this.label.keys()].filter((i) => this.label[i] === c));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.listen();
  }

  reset() {
    Object.assign(this, { zoom: 1, cx: this.wide / 2, cy: this.high / 2 });
  }

  get scale() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    return 0.94 * Math.min(w / this.wide, h / this.high) * this.zoom;
  }

  at(i) {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    return [(this.x[i] - this.cx) * this.scale + w / 2, h / 2 - (this.y[i] - this.cy) * this.scale];
  }

  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.paint();
    });
  }

  paint() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const dense = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(w * dense)) this.canvas.width = Math.round(w * dense);
    if (this.canvas.height !== Math.round(h * dense)) this.canvas.height = Math.round(h * dense);
    const ctx = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    ctx.setTransform(dense, 0, 0, dense, 0, 0);
    ctx.clearRect(0, 0, w, h);
    const s = this.scale;
    const size = Math.min(10, Math.min(8, Math.max(3, 95 / Math.sqrt(this.n))) * Math.sqrt(this.zoom));
    for (const [c, rows] of this.groups.entries()) {
      ctx.fillStyle = this.colours[c];
      ctx.globalAlpha = (this.only !== null && this.only !== c) || (this.only === null && this.faded) ? 0.2 : 0.75;
      ctx.beginPath();
      for (const i of rows) {
        const x = (this.x[i] - this.cx) * s + w / 2;
        const y = h / 2 - (this.y[i] - this.cy) * s;
        if (x < -9 || y < -9 || x > w + 9 || y > h + 9) continue;
        ctx.moveTo(x + size / 2, y);
        ctx.arc(x, y, size / 2, 0, 7);
      }
      ctx.fill();
    }
    ctx.globalAlpha = 1;
    for (const [row, kind] of this.marked) this.mark(ctx, row, kind, size, style);
    if (this.cursor !== undefined) this.mark(ctx, this.cursor, "cursor", size, style);
  }

  mark(ctx, row, kind, size, style) {
    const [x, y] = this.at(row);
    const radius = { below: size / 2, item: size / 2 + 6, cursor: size / 2 + 10 }[kind] ?? size / 2 + 2.5;
    ctx.beginPath();
    ctx.arc(x, y, radius, 0, 7);
    ctx.fillStyle = this.colours[this.label[row]];
    if (kind === "below" || kind === "hit") ctx.fill();
    if (kind === "below") return;
    ctx.lineWidth = kind === "cursor" ? 1 : 2.5;
    const colour = { history: "--was", hit: "--now", item: "--ink", cursor: "--ink" }[kind];
    ctx.strokeStyle = style.getPropertyValue(colour);
    ctx.stroke();
  }

  show(marked, faded) {
    Object.assign(this, { marked, faded });
    this.draw();
  }

  nearest(x, y, reach = 18) {
    let [found, least] = [null, reach * reach];
    for (let i = 0; i < this.n; i++) {
      const [a, b] = this.at(i);
      const far = (a - x) ** 2 + (b - y) ** 2;
      if (far < least && (this.only === null || this.only === this.label[i])) [found, least] = [i, far];
    }
    return found;
  }

  // the next item in a direction: near, and not far off the line
  beside(row, dx, dy) {
    let [found, least] = [row, Number.POSITIVE_INFINITY];
    for (let i = 0; i < this.n; i++) {
      const [x, y] = [this.x[i] - this.x[row], this.y[i] - this.y[row]];
      const along = x * dx + y * dy;
      const off = Math.abs(x * dy - y * dx);
      if (along > 1e-5 && along + 3 * off < least) [found, least] = [i, along + 3 * off];
    }
    return found;
  }

  zoomBy(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const [u, v] = [this.cx + (x - w / 2) / this.scale, this.cy - (y - h / 2) / this.scale];
    this.zoom = Math.min(60, Math.max(1, this.zoom * factor));
    this.cx = u - (x - w / 2) / this.scale;
    this.cy = v + (y - h / 2) / this.scale;
    if (this.zoom === 1) this.reset();
    this.draw();
  }

  centre(row) {
    const [x, y] = this.at(row);
    const { clientWidth: w, clientHeight: h } = this.canvas;
    if (x > 20 && y > 20 && x < w - 20 && y < h - 20) return;
    Object.assign(this, { cx: this.x[row], cy: this.y[row] });
  }

  hover(x, y) {
    const row = this.nearest(x, y);
    this.tip.hidden = row === null;
    this.canvas.classList.toggle("ix-over", row !== null);
    if (row === null) return;
    this.tip.textContent = this.title(row);
    const right = x > this.canvas.clientWidth / 2;
    this.tip.style.left = right ? "auto" : `${x + 14}px`;
    this.tip.style.right = right ? `${this.canvas.clientWidth - x + 14}px` : "auto";
    this.tip.style.top = `${Math.max(4, y - 12)}px`;
  }

  listen() {
    const fingers = new Map();
    let moved = 0;
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, place(event));
      if (fingers.size === 1) moved = 0;
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      if (!fingers.has(event.pointerId)) return this.hover(x, y);
      const [a, b] = fingers.get(event.pointerId);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      moved += Math.hypot(x - a, y - b);
      if (other) {
        const [before, after] = [Math.hypot(a - other[0], b - other[1]), Math.hypot(x - other[0], y - other[1])];
        this.zoomBy(after / Math.max(before, 1), (x + other[0]) / 2, (y + other[1]) / 2);
      } else if (moved > 4) {
        this.cx -= (x - a) / this.scale;
        this.cy += (y - b) / this.scale;
        this.tip.hidden = true;
      }
      fingers.set(event.pointerId, [x, y]);
      this.draw();
    });
    const lift = (event) => {
      if (fingers.delete(event.pointerId) && event.type === "pointerup" && moved <= 4) {
        const row = this.nearest(...place(event), event.pointerType === "mouse" ? 18 : 30);
        if (row !== null) this.choose(row);
      }
    };
    for (const kind of ["pointerup", "pointercancel"]) this.canvas.addEventListener(kind, lift);
    this.canvas.addEventListener("pointerleave", () => {
      this.tip.hidden = true;
    });
    this.canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && document.activeElement !== this.canvas) return; // the wheel scrolls, unless the map is in use
        event.preventDefault();
        this.zoomBy(1.0018 ** -event.deltaY, ...place(event));
      },
      { passive: false },
    );
    const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    this.canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (ways[event.key]) {
        this.cursor = this.beside(this.cursor ?? this.chosen(), ...ways[event.key]);
        this.centre(this.cursor);
        this.say(this.title(this.cursor));
      } else if (event.key === "Enter" && this.cursor !== undefined) this.choose(this.cursor);
      else if (event.key === "+" || event.key === "=") this.zoomBy(1.5);
      else if (event.key === "-") this.zoomBy(1 / 1.5);
      else if (event.key === "0") this.reset();
      else return;
      event.preventDefault();
      this.draw();
    });
    this.canvas.addEventListener("blur", () => {
      this.cursor = undefined;
      this.draw();
    });
  }
}

// ---------------------------------------------------------------------------- the page

const MARKS = {
  item: [
    ["item", "this item"],
    ["hit", "alike after training"],
  ],
  next: [
    ["history", "history"],
    ["hit", "the best 20"],
  ],
  tree: [["item", "the item shown last"]],
};
const TABS = { item: "Item", next: "What comes next", tree: "Tree" };

class Page {
  // the catalogue is there: everything but what the model knows
  open({ facts, tables }) {
    Object.assign(this, {
      facts,
      tables,
      tree: new Tree(tables.codes),
      query: "",
      view: "item",
      prefix: [],
      history: [],
    });
    this.levels = this.tree.levels;
    this.item = facts.suggested[0] ?? 0;
    this.box = Object.fromEntries(
      ["said", "hits", "item", "next", "tree", "keys"].map((id) => [id, el("div", { id, tabindex: -1 })]),
    );
    const said = document.getElementById("said");
    this.box.said = said;
    const find = el("input", {
      type: "search",
      placeholder: "Search a title",
      "aria-label": "Search a title",
      id: "find",
      autocomplete: "off",
    });
    find.addEventListener("input", () => {
      this.query = find.value;
      this.showHits();
    });
    find.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.clearQuery();
    });
    document.querySelector("header").append(el("search", {}, find));
    this.tabs = Object.entries(TABS).map(([view, text]) =>
      el(
        "button",
        {
          type: "button",
          class: "tab",
          id: `tab-${view}`,
          role: "tab",
          "aria-controls": view,
          do: () => this.turn(view),
        },
        text,
      ),
    );
    for (const view of Object.keys(TABS)) {
      this.box[view].setAttribute("role", "tabpanel");
      this.box[view].setAttribute("aria-labelledby", `tab-${view}`);
    }
    const list = el("div", { class: "tabs", role: "tablist", "aria-label": "Views" }, this.tabs);
    list.addEventListener("keydown", (event) => this.nextTab(event));
    const side = el(
      "section",
      { class: "side", "aria-label": "Views" },
      list,
      this.box.item,
      this.box.next,
      this.box.tree,
    );
    document
      .getElementById("main")
      .replaceChildren(said, this.box.hits, el("div", { class: "stage" }, this.mapPart(), side));
    this.read();
    this.show();
    this.say("Reading the model …");
  }

  // the model is there as well
  run({ facts, tables }) {
    this.ranker = new Ranker(facts, tables, this.tree);
    this.show();
    this.say("");
    document.getElementById("main").setAttribute("aria-busy", "false");
  }

  mapPart() {
    const canvas = el("canvas", {
      id: "map",
      tabindex: 0,
      role: "application",
      "aria-label":
        "Map of the items. Arrow keys go to the next item, Enter opens it, plus and minus zoom, 0 shows all.",
    });
    const tip = el("div", { class: "tip", dir: "auto", hidden: "" });
    this.map = new ItemMap(canvas, tip, this.tables, this.facts.colours);
    this.map.title = (row) => this.facts.titles[row];
    this.map.choose = (row) => this.choose(row);
    this.map.chosen = () => this.item;
    this.map.say = (text) => this.say(text);
    const zoom = (name, sign, act) =>
      el("button", { type: "button", class: "push", "aria-label": name, title: name, do: act }, sign);
    const buttons = [
      zoom("zoom in", "+", () => this.map.zoomBy(1.6)),
      zoom("zoom out", "−", () => this.map.zoomBy(1 / 1.6)),
      zoom("show the whole map", "⤢", () => this.map.zoomBy(1 / this.map.zoom)),
    ];
    const frame = el("div", { class: "frame" }, canvas, tip, el("div", { class: "zoom" }, buttons));
    const how = "Click the map and scroll, or pinch, to zoom; arrow keys and Enter go from item to item.";
    const hint = el("p", { class: "dim hint" }, how);
    return el(
      "section",
      { class: "mapped", "aria-label": "Map of the items" },
      frame,
      this.box.keys,
      hint,
      this.about(),
    );
  }

  about() {
    const { titles, name } = this.facts;
    const ids = `Every item of ${name} has a Semantic ID: a tuple of codes, made from its text and shared in part with items of similar text. Training moves items to other codes. Blue is where the text had put an item, orange where training has moved it, green where both agree.`;
    const score = `After a history each of the ${commas(titles.length)} items has a score: the path through its ID, and where the model has them the item's own vector and transitions that are counted. All of it is computed here, in the browser; nothing is sent or fetched.`;
    return el("details", {}, el("summary", {}, "How to read this page"), el("p", {}, ids), el("p", {}, score));
  }

  say(text) {
    this.box.said.textContent = text;
  }

  read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const rows = (name) =>
      (given.get(name) ?? "")
        .split(".")
        .filter((part) => /^\d+$/.test(part))
        .map(Number)
        .filter((row) => row < this.facts.titles.length);
    this.item = rows("item")[0] ?? this.item;
    this.history = rows("history");
    if (this.history.length) this.view = "next";
  }

  keep() {
    const parts = [`item=${this.item}`, this.history.length ? `history=${this.history.join(".")}` : null];
    history.replaceState(null, "", `#${parts.filter(Boolean).join("&")}`);
  }

  clearQuery() {
    this.query = document.getElementById("find").value = "";
    this.showHits();
  }

  choose(row) {
    this.item = row;
    this.view = "item";
    this.clearQuery();
    this.map.centre(row);
    this.show();
    this.say(`Shown: ${this.facts.titles[row]}`);
    const far = this.box.item.getBoundingClientRect().top > innerHeight - 100;
    if (far && document.activeElement !== this.map.canvas) this.box.item.scrollIntoView();
  }

  write(rows, said, user = null) {
    Object.assign(this, { history: rows, user });
    this.show();
    this.say(said);
  }

  add(row) {
    this.write([...this.history, row], `Added to the history: ${this.facts.titles[row]}`);
  }

  turn(view) {
    this.view = view;
    this.show();
  }

  nextTab(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = (this.tabs.indexOf(event.target) + step + this.tabs.length) % this.tabs.length;
    this.turn(Object.keys(TABS)[at]);
    this.tabs[at].focus();
  }

  into(prefix) {
    this.prefix = prefix;
    this.turn("tree");
  }

  // a line with an item that can be chosen and added
  line(row, more = [], first = [], kind = "") {
    const title = this.facts.titles[row];
    const name = el(
      "button",
      { type: "button", class: "title", dir: "auto", title, "data-key": `open ${row}`, do: () => this.choose(row) },
      title,
    );
    const says = `add to the history: ${title}`;
    const plus = {
      type: "button",
      class: "plus",
      title: "add to the history",
      "aria-label": says,
      "data-key": `add ${row}`,
    };
    return el(
      "li",
      { class: `line ${kind}` },
      first,
      name,
      more,
      el("button", { ...plus, do: () => this.add(row) }, "+"),
    );
  }

  show() {
    for (const [i, view] of Object.keys(TABS).entries()) {
      const on = view === this.view;
      this.box[view].hidden = !on;
      this.tabs[i].className = on ? "ix-tab ix-on" : "ix-tab";
      this.tabs[i].setAttribute("aria-selected", on);
      this.tabs[i].tabIndex = on ? 0 : -1;
    }
    const badge = this.history.length ? el("b", { class: "badge" }, String(this.history.length)) : "";
    this.tabs[1].replaceChildren(TABS.next, badge);
    this.showHits();
    this.showKeys();
    const marked = { item: () => this.showItem(), next: () => this.showNext(), tree: () => this.showTree() }[
      this.view
    ]();
    this.map.show(...marked);
    this.keep();
  }

  showHits() {
    const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return refill(this.box.hits);
    this.lower ??= this.facts.titles.map((title) => title.toLowerCase());
    const counts = this.tables.counts.data;
    const rows = [...this.lower.keys()].filter((row) => words.every((word) => this.lower[row].includes(word)));
    rows.sort((a, b) => counts[b] - counts[a] || a - b);
    const says = `${commas(rows.length)} items${rows.length > 12 ? ", the 12 most popular" : ""}`;
    const lines = rows.slice(0, 12).map((row) => this.line(row, dim(sidText(this.sid(row)))));
    refill(this.box.hits, el("div", { class: "hits" }, el("small", { role: "status" }, says), el("ul", {}, lines)));
  }

  showKeys() {
    const keys = this.facts.labels.map((label, c) => {
      const on = this.map.only === c;
      const act = () => {
        this.map.only = on ? null : c;
        this.showKeys();
        this.map.draw();
      };
      const swatch = el("i", { style: { background: this.facts.colours[c] } });
      const more = {
        type: "button",
        class: on ? "push on" : "push",
        "aria-pressed": on ? "true" : "false",
        "data-key": `only ${c}`,
      };
      return this.map.groups[c].length && label ? el("button", { ...more, do: act }, swatch, label) : null;
    });
    const marks = MARKS[this.view].map(([kind, text]) => el("span", {}, el("i", { class: `ring-${kind}` }), text));
    refill(
      this.box.keys,
      el("p", { class: "keys rings" }, marks),
      el("div", { class: "keys", role: "group", "aria-label": "Categories" }, keys),
    );
  }

  sid(row) {
    return Array.from({ length: this.levels }, (_, l) => this.tree.code(row, l));
  }

  // ---- an item

  showItem() {
    const row = this.item;
    const { titles, labels, suggested } = this.facts;
    const facts = [labels[this.tables.label.data[row]], `bought ${commas(this.tables.counts.data[row])} times`];
    const another = () => this.choose(suggested[(suggested.indexOf(row) + 1) % suggested.length]);
    const head = el(
      "div",
      { class: "head" },
      el("h2", { dir: "auto" }, titles[row]),
      el("p", {}, facts.filter(Boolean).join(" · ")),
      this.ids(row),
      push("+ add to history", () => this.add(row)),
      push("show in tree", () => this.into(this.sid(row).slice(0, -2))),
      suggested.length ? push("another item", another) : null,
    );
    if (!this.ranker) {
      refill(this.box.item, head);
      return [new Map([[row, "item"]]), false];
    }
    const standing = this.ranker.levels(row).levels.map((level, l) => this.levelRow(level, l));
    const scale = el("small", {}, "bars: the probability of each code, logarithmic from 0.0001 to 1");
    const cards = [el("section", { class: "card" }, el("h3", {}, "Codes on each level"), scale, standing)];
    const near = this.ranker.near(row, 6);
    const lines = near.map(([i, cosine]) => this.line(i, number(cosine.toFixed(2))));
    cards.push(el("section", { class: "card" }, el("h3", {}, "Alike after training"), el("ul", {}, lines)));
    refill(this.box.item, head, cards);
    return [new Map([...near.map(([i]) => [i, "hit"]), [row, "item"]]), false];
  }

  chips(codes, other, kind) {
    return el(
      "span",
      {},
      codes.map((c, l) => el("b", { class: c === other[l] ? "chip" : `chip ${kind}` }, String(c))),
    );
  }

  ids(row) {
    const before = this.sid(row);
    if (!this.ranker) return el("div", { class: "ids" }, dim("by its text"), this.chips(before, before, "was"));
    const now = before.map((_, l) => this.ranker.tables.now.data[row * this.levels + l]);
    const left = before.slice(0, -1).filter((c, l) => c !== now[l]).length;
    const verdict = left ? `has left ${left} of ${this.levels - 1} codes` : "keeps its semantic codes";
    const told = el("span", { class: left ? "verdict now" : "verdict" }, verdict);
    return el(
      "div",
      { class: "ids" },
      dim("by its text"),
      this.chips(before, now, "was"),
      dim("now"),
      this.chips(now, before, "now"),
      told,
    );
  }

  levelRow({ p, before, now }, l) {
    const words = this.facts.words[l];
    const height = (v) => Math.max(0, Math.min(100, Math.round(25 * (4 + Math.log10(v)))));
    const bars = [...p].map((v, code) => {
      const kind = `bar${code === now ? " now" : ""}${code === before ? " was" : ""}`;
      const title = `${code} · ${v.toPrecision(2)}${words?.[code] ? ` · ${words[code]}` : ""}`;
      return el("i", { class: kind, title, style: { height: `${height(v)}%` } });
    });
    const same = [["kept", "kept, p =", now]];
    const said =
      before === now
        ? same
        : [
            ["was", "by its text, p =", before],
            ["now", "now, p =", now],
          ];
    const text = said.map(([kind, head, code]) =>
      el(
        "div",
        { class: "code" },
        el("b", { class: `chip ${kind}` }, String(code)),
        el("span", {}, `${head} ${p[code].toPrecision(2)}`),
        words?.[code] ? el("em", {}, words[code]) : null,
      ),
    );
    const name = words ? `Level ${l + 1}` : "Collision";
    const strip = el(
      "div",
      { class: "strip", role: "img", "aria-label": `${name}: probabilities of ${p.length} codes` },
      bars,
    );
    return el(
      "div",
      { class: "level" },
      el("span", { class: "name" }, name),
      strip,
      el("div", { class: "says" }, text),
    );
  }

  // ---- a history and what comes next

  showNext() {
    const marked = new Map(this.history.map((row) => [row, "history"]));
    const user = this.user === null || this.user === undefined ? -1 : this.user;
    const { examples } = this.facts;
    const take = () => {
      const at = (user + 1) % examples.length;
      this.write(examples[at].rows, "The history of another user", at);
    };
    const lines = this.history.map((row, n) => {
      const without = () =>
        this.write(
          this.history.filter((_, m) => m !== n),
          `Removed: ${this.facts.titles[row]}`,
        );
      const title = this.facts.titles[row];
      const name = {
        type: "button",
        class: "title",
        dir: "auto",
        title,
        "data-key": `past ${n}`,
        do: () => this.choose(row),
      };
      const cross = {
        type: "button",
        class: "plus",
        title: "remove",
        "aria-label": `remove: ${title}`,
        "data-key": `remove ${n}`,
        do: without,
      };
      return el("li", { class: "line" }, number(String(n + 1)), el("button", name, title), el("button", cross, "×"));
    });
    const hint = "The history is empty. Search above and press +, or take a user's.";
    const card = el(
      "section",
      { class: "card" },
      el("h3", {}, "History", el("small", {}, "oldest first")),
      lines.length ? el("ol", {}, lines) : el("p", { class: "dim" }, hint),
      examples.length ? push("a user's history", take) : null,
      lines.length ? push("clear", () => this.write([], "The history is empty")) : null,
    );
    if (!this.history.length || !this.ranker) {
      refill(this.box.next, card);
      return [marked, false];
    }
    const { scores, parts, rows } = this.ranker.rank(this.history);
    const chances = this.ranker.chances(scores, rows);
    const lifts = this.ranker.lifts(parts, rows);
    const hits = rows.map((row, n) => this.hit(n + 1, row, scores[row], chances[n], lifts[n]));
    const note = `score · probability · its factors along the ID${Object.keys(parts).length > 1 ? " · share of each part" : ""}`;
    const whole = `The whole catalogue, ${commas(this.ranker.n)} items, ranked exactly`;
    const ranking = el(
      "section",
      { class: "card" },
      el("h3", {}, "What comes next", el("small", {}, note)),
      el("ol", {}, hits),
      el("p", { class: "dim" }, whole),
    );
    refill(this.box.next, card, this.boughtNext(scores, user), ranking);
    for (const row of rows) marked.set(row, "hit");
    return [marked, true];
  }

  boughtNext(scores, user) {
    const row = this.facts.examples[user]?.next;
    if (row === undefined || row === null) return null;
    const rank = `rank ${commas(this.ranker.rankOf(scores, row))} of ${commas(this.ranker.n)}`;
    return el(
      "section",
      { class: "card" },
      el("h3", {}, "Bought next", el("small", {}, rank)),
      el("ul", {}, this.line(row)),
    );
  }

  hit(n, row, score, { p, path }, lifts) {
    const cells = path.map((share, l) => {
      const title = `level ${l + 1}, code ${this.tree.code(row, l)}: p = ${share.toPrecision(3)}`;
      const small = el("small", {}, share >= 0.005 ? share.toFixed(2) : "<.01");
      return el(
        "span",
        { class: "cell", title, style: { "--p": `${Math.round(45 * share)}%` } },
        el("b", {}, String(this.tree.code(row, l))),
        small,
      );
    });
    const more = [
      number(score.toFixed(2), { title: `score ${score.toPrecision(4)}` }),
      number(percent(p), { title: "probability" }),
      el("span", { class: "path" }, cells),
      Object.keys(lifts).length > 1 ? el("span", { class: "path shares" }, this.shares(lifts)) : null,
    ];
    return this.line(row, el("span", { class: "detail" }, more), number(String(n), { class: "num place" }), "hit");
  }

  shares(lifts) {
    const total = Object.values(lifts).reduce((a, b) => a + b, 0);
    return Object.entries(lifts).map(([name, lift]) => {
      const share = total > 0 ? lift / total : 0;
      const title = `${PARTS[name]}: ${lift.toFixed(2)} nats above the average item, of ${total.toFixed(2)}`;
      const style = { "--p": `${Math.round(45 * Math.min(Math.max(share, 0), 1))}%` };
      return el(
        "span",
        { class: "cell", title, style },
        el("b", {}, `${Math.round(100 * share)} %`),
        el("small", {}, name),
      );
    });
  }

  // ---- the tree

  showTree() {
    const depth = this.prefix.length;
    const rows = this.tree.below(this.prefix);
    const children = new Map();
    for (const row of rows) {
      const code = this.tree.code(row, depth);
      if (children.has(code)) children.get(code).push(row);
      else children.set(code, [row]);
    }
    const branches = [...children].sort(([, a], [, b]) => b.length - a.length);
    const lines = branches.map(([code, own]) => this.branch(code, own, branches[0][1].length));
    const steps = ["all items", ...this.prefix].map((name, d) =>
      push(String(name), () => this.into(this.prefix.slice(0, d)), { "data-key": `up ${d}` }),
    );
    const head = `${commas(rows.length)} items in ${commas(branches.length)} branches`;
    const where = push(
      `to ${this.facts.titles[this.item].slice(0, 40)}`,
      () => this.into(this.sid(this.item).slice(0, -2)),
      { dir: "auto", "data-key": "there" },
    );
    refill(
      this.box.tree,
      el(
        "section",
        { class: "card" },
        el("h3", {}, "The tree of IDs", el("small", {}, head)),
        el("nav", { "aria-label": "Path" }, steps, where),
        el("ul", {}, lines),
      ),
    );
    const marked = new Map(depth ? rows.map((row) => [row, "below"]) : []);
    return [marked.set(this.item, "item"), depth > 0];
  }

  branch(code, own, most) {
    const depth = this.prefix.length;
    const counts = this.tables.counts.data;
    const first = own.reduce((a, b) => (counts[b] > counts[a] ? b : a));
    const here =
      this.prefix.every((c, l) => c === this.tree.code(this.item, l)) && code === this.tree.code(this.item, depth);
    const chip = el("b", { class: here ? "chip was" : "chip" }, String(code));
    if (own.length === 1) return this.line(own[0], [], chip);
    const words = this.facts.words[depth]?.[code] || this.facts.titles[first];
    const colour = this.facts.colours[this.tables.label.data[first]];
    const bar = el(
      "span",
      { class: "meter" },
      el("i", { style: { width: `${Math.round((100 * own.length) / most)}%`, background: colour } }),
    );
    const name = {
      type: "button",
      class: "title",
      dir: "auto",
      title: this.facts.titles[first],
      "data-key": `into ${code}`,
    };
    return el(
      "li",
      { class: "line" },
      chip,
      el("button", { ...name, do: () => this.into([...this.prefix, code]) }, words),
      number(commas(own.length)),
      bar,
    );
  }
}

const page = new Page();
const ready = {};

// biome-ignore lint/correctness/noUnusedVariables: the files of data call it
async function take(name, text) {
  ready[name] = unpack(text);
  if (name === "catalogue") page.open(await ready.catalogue);
  else {
    await ready.catalogue;
    page.run(await ready.tables);
  }
}
