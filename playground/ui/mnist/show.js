// What the MNIST stage shows: its state, the forward process and the sampled paths at any t, the picture and the charts.

const PLAY_SECONDS = 6; // one pass through all of t at speed 1
const HOLD = 1000; // ms on the finished digits, before it starts again
const SLOTS = [COLOUR.samples, COLOUR.x0, COLOUR.exact, COLOUR.warning]; // one colour for each path of a comparison
const canvas = find("canvas[data-testid]"), slider = find(".pg-t"), timeSlider = find(".pg-time"), status = find(".pg-status");

const S = {
  mode: "both", scene: null, forward: null, path: null, compare: { id: null, slots: 0, paths: new Map() },
  t: -1, playing: false, holding: 0, playedAt: 0, large: false, reads: true, chosen: 0, sampling: false, heardAt: 0,
  run: -1, step: 0, training: false, begun: false, wish: "", rewound: null, frames: [], shape: null, labels: [],
  losses: { x: [], y: [] }, rights: { x: [], y: [] }, rate: null,
  shown: null, from: null, to: null, tweenAt: 0, tweenFor: 300, lastFrameAt: 0,
  atlases: new Map(), asides: new Map(), painted: "", places: [], room: { width: 0, height: 0 }, scheduled: false, chartsDirty: true, played: false,
};
find(".pg-play-speed").value = "1";

// --- what stands where -------------------------------------------------------------------------------------------------

const lastT = () => (S.scene ? S.scene.meta.T - 1 : 999);
const levelAt = (t) => { // (α, σ) of the forward process; t = -1 is the data
  const { alphas, sigmas } = S.scene.arrays, f = Math.min(1, t + 1);
  return t >= 0 ? [table(alphas.data, t), table(sigmas.data, t)] : [1 + (alphas.data[0] - 1) * f, sigmas.data[0] * f];
};

function rowAt(ts, t) { // the fractional row of a table that rises or falls with t
  const last = ts.length - 1, sign = ts[last] >= ts[0] ? 1 : -1;
  let k = 0;
  while (k < last - 1 && sign * ts[k + 1] <= sign * t) k++;
  return last ? k + Math.min(1, Math.max(0, (t - ts[k]) / (ts[k + 1] - ts[k] || 1))) : 0;
}

function pathRow(path, t) {
  const ts = path.arrays.t.data, last = ts.length - 1;
  return ts[0] - ts[last - 1] < 1e-6 ? (1 - (t + 1) / (lastT() + 1)) * last : rowAt(ts, t); // Langevin stays at one level
}

function probability(reads, row, n, k) { // of class k for image n
  const [rows, images, classes] = reads.shape, low = Math.min(Math.floor(row), rows - 1), high = Math.min(low + 1, rows - 1), f = row - low;
  const at = n * classes + k, stride = images * classes;
  return ((1 - f) * reads.data[low * stride + at] + f * reads.data[high * stride + at]) * reads.scale;
}

const under = (film, n) => { // the word under a tile: what is read, pale where something else is right
  let best = 0;
  for (let k = 1; k < film.read.shape[2]; k++) if (probability(film.read, film.row, n, k) > probability(film.read, film.row, n, best)) best = k;
  const right = film.labels[n];
  return { text: S.scene.meta.classes[best] ?? String(best), wrong: right != null && right !== best };
};

// A film: images over t, and in `xt`, `x0` and `eps` what they are at one moment of it, the time `at`.
let films = 0;
function film(meta, arrays, shape) {
  const [xt, x0, eps] = [0, 0, 0].map(() => new Float32Array(shape.reduce((a, b) => a * b, 1))), { reads } = arrays;
  return { id: ++films, meta, arrays, shape, xt, x0, eps, at: null, row: 0, labels: meta.labels, read: reads && reads.shape[0] ? reads : null };
}

function forwardFilm({ meta, arrays }) {
  const f = film(meta, arrays, arrays.x0.shape);
  for (const name of ["x0", "eps"]) arrays[name].data.forEach((v, i) => { f[name][i] = v * arrays[name].scale; });
  return f;
}

function pathFilm({ meta, arrays }) {
  const alphas = arrays.alpha.data, sigmas = arrays.sigma.data;
  const angle = alphas.map((a, k) => Math.atan2(sigmas[k], a)), norm = alphas.map((a, k) => Math.hypot(a, sigmas[k]));
  return { ...film(meta, arrays, arrays.x0.shape.slice(1)), angle, norm };
}

function forwardTo(t) { // x_t = α_t x_0 + σ_t ε
  const f = S.forward;
  if (f.at === t) return;
  const [alpha, sigma] = levelAt(t), { xt, x0, eps } = f;
  for (let i = 0; i < xt.length; i++) xt[i] = alpha * x0[i] + sigma * eps[i];
  f.at = t;
  if (f.read) f.row = rowAt(f.arrays.reads_t.data, t);
}

function reverseTo(path, t) { // between two states x̂_0 and ε̂ go straight, and the noise's angle atan2(σ, α) evenly
  if (path.at === t) return;
  const row = pathRow(path, t), size = path.xt.length, low = Math.min(Math.floor(row), path.angle.length - 1), high = Math.min(low + 1, path.angle.length - 1);
  const f = row - low, angle = table(path.angle, row), norm = table(path.norm, row), alpha = norm * Math.cos(angle), sigma = norm * Math.sin(angle);
  const X = path.arrays.x0, E = path.arrays.eps, xa = X.scale * (1 - f), xb = X.scale * f, ea = E.scale * (1 - f), eb = E.scale * f;
  for (let i = 0, a = low * size, b = high * size; i < size; i++, a++, b++) {
    const x = X.data[a] * xa + X.data[b] * xb, e = E.data[a] * ea + E.data[b] * eb;
    path.x0[i] = x; path.eps[i] = e; path.xt[i] = alpha * x + sigma * e;
  }
  path.at = t; path.row = row;
}

const comparing = () => [...S.compare.paths.entries()].sort((a, b) => a[0] - b[0]).map(([, path]) => path);
const filmsShown = () => (S.mode === "compare" ? comparing() : [S.forward, S.path].filter(Boolean));

// --- the picture ---------------------------------------------------------------------------------------------------------

function panel(of, name, values, lines, more = {}) { // stamp: what the pixels depend on
  const read = S.reads && of && of.read && name === (of === S.forward ? "xt" : "x0"); // of a path the classifier reads x̂_0
  return { key: `${of ? of.id : "none"}.${name}`, shape: of ? of.shape : S.forward.shape, n: (of || S.forward).shape[0], side: (of || S.forward).shape[3], lines, values,
    noise: name === "eps", stamp: of && (of === S.forward && name !== "xt" ? 0 : of.at), selectable: true,
    under: read ? (k) => under(of, k) : S.reads && S.forward.read ? () => null : null, ...more };
}

function standing(path, short) { // where between its states a path is
  const { row } = path, last = path.angle.length - 1, low = Math.floor(row);
  if (Math.abs(row - Math.round(row)) < 1e-3) return `state ${Math.round(row)} of ${last}`;
  return short ? `${low}–${low + 1} of ${last}` : `between states ${low} and ${low + 1} of ${last}`;
}

function scenery() { // the rows of this mode
  const { forward, path, t } = S;
  if (S.mode === "train") {
    const n = S.shape ? S.shape[0] : 16, shape = S.shape || forward.shape, label = (k) => S.scene.meta.classes[S.labels[k]];
    const note = S.shown ? `${n} digits from the same noise, as the network learns` : "nothing is trained yet";
    return [{ title: "live", note, aside: S.shown ? `step ${(S.rewound ?? S.step).toLocaleString("en")}` : "",
      panels: [{ key: "train", shape, n, side: shape[3], lines: [], values: S.shown, stamp: S.to ? performance.now() : S.stamp,
        under: S.labels.length ? (k) => (label(k) ? { text: label(k), wrong: true } : null) : null, empty: ["Press Train.", "A network that knows nothing yet", "learns to make digits while you watch."] }] }];
  }
  if (S.mode === "compare") {
    const paths = comparing();
    paths.forEach((p) => reverseTo(p, t));
    if (!paths.length) return [{ title: "compare", note: "the same noise, several ways down", panels: [panel(null, "none", null, [], { empty: ["Choose what to compare at the left,", "then press Generate."], under: null })] }];
    const rows = [], abreast = S.room.width < 560 ? 2 : 4;
    for (let k = 0; k < paths.length; k += abreast) {
      const some = paths.slice(k, k + abreast);
      rows.push(
        { title: "xₜ", note: "on its way from noise to a digit", panels: some.map((p, i) => panel(p, "xt", p.xt, [[p.meta.title, "", SLOTS[k + i]], ["", p.meta.caption]], { under: null })) },
        { title: "x̂₀", note: "what the network takes it for, at this t", panels: some.map((p) => panel(p, "x0", p.x0, [])) });
    }
    return rows;
  }
  forwardTo(t);
  if (path) reverseTo(path, t);
  const empty = { empty: [S.sampling ? "…" : "Press Generate"], under: S.reads && forward.read ? () => null : null };
  return [
    { title: "forward", note: "a real digit sinks into noise", panels: [
      panel(forward, "xt", forward.xt, [["xₜ", "α x₀ + σ ε"]]), panel(forward, "x0", forward.x0, [["x₀", "the digit"]]), panel(forward, "eps", forward.eps, [["ε", "the noise"]])] },
    { title: "reverse", note: "noise becomes a digit", aside: path && standing(path, S.room.width < 560), panels: path
      ? [panel(path, "xt", path.xt, [["xₜ", "on its way"]]), panel(path, "x0", path.x0, [["x̂₀", "the network’s guess"]]), panel(path, "eps", path.eps, [["ε̂", "the noise it sees"]])]
      : [["xₜ", "on its way"], ["x̂₀", "the network’s guess"], ["ε̂", "the noise it sees"]].map((line) => panel(null, "none", null, [line], empty)) },
  ];
}

function paint() {
  if (!S.scene || !S.room.width) return;
  const scale = window.devicePixelRatio || 1, { width } = S.room, colours = ink(), rows = scenery(), large = S.large && S.mode !== "train";
  const height = lay(rows, width, S.room.height, large, scale), w = Math.round(width * scale), h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; canvas.style.height = `${height}px`; }
  const g = canvas.getContext("2d");
  g.setTransform(scale, 0, 0, scale, 0, 0);
  const key = [w, h, colours.back, large, S.chosen, ...rows.flatMap((row) => [row.title, row.note, ...row.panels.map((p) => [p.key, p.tile, p.x, !!p.under, p.empty])])].join("|");
  const anew = key !== S.painted; // otherwise only pixels and words changed: draw those alone, half of a frame's work
  S.painted = key;
  if (anew) { g.clearRect(0, 0, width, height); S.places.length = 0; }
  for (const row of rows) {
    if (anew || row.aside !== S.asides.get(row.title)) paintRow(g, row, anew, colours);
    S.asides.set(row.title, row.aside);
    for (const p of row.panels) {
      if (!p.values) { if (anew) paintEmpty(g, p, p.empty, colours); continue; }
      if (!S.atlases.has(p.key)) S.atlases.set(p.key, newAtlas());
      const atlas = S.atlases.get(p.key), old = atlas.stamp === p.stamp;
      if (!old) { tint(atlas, p.values, p.shape, p.noise); atlas.stamp = p.stamp; }
      if (anew || !old) paintPanel(g, p, atlas, S.chosen, large, colours, anew ? S.places : null);
    }
  }
  if (anew) canvas.dataset.places = JSON.stringify(S.places);
  canvas.dataset.painted = Number(canvas.dataset.painted) + 1;
}

function measure() { // the room for the canvas: on a wide page what is left of the window, on a narrow one as much as it likes
  const box = find(".pg-mnist-square"), wide = window.innerWidth > 900;
  const room = wide ? Math.max(420, window.innerHeight - (box.getBoundingClientRect().top + window.scrollY) - 106) : Infinity;
  S.room = { width: box.clientWidth, height: room };
  box.style.minHeight = wide ? `${Math.floor(room)}px` : ""; // in every mode the bars below stand at the same place
  S.chartsDirty = true;
  wake();
}

function tick(now) {
  S.scheduled = false;
  if (!root.offsetParent) return; // another tab is open; ResizeObserver tells when this one is again
  if (S.to) {
    const f = calm.matches ? 1 : Math.min(1, (now - S.tweenAt) / S.tweenFor);
    for (let i = 0; i < S.shown.length; i++) S.shown[i] = S.from[i] + (S.to.data[i] * S.to.scale - S.from[i]) * f;
    if (f >= 1) { S.to = null; S.stamp = now; }
  }
  if (S.playing && !S.holding) advance(now);
  paint();
  if (S.chartsDirty && S.scene) { S.chartsDirty = false; charts(); }
  if (S.to || (S.playing && !S.holding)) wake();
}
function wake() {
  if (!S.scheduled) { S.scheduled = true; requestAnimationFrame(tick); }
}

function advance(now) {
  const passed = Math.min(now - S.playedAt, 100) / 1000;
  S.playedAt = now;
  setT(Math.max(-1, S.t - passed * (lastT() + 1) / PLAY_SECONDS * Number(find(".pg-play-speed").value)));
  if (S.t <= -1) S.holding = setTimeout(() => { S.holding = 0; S.playedAt = performance.now(); setT(lastT()); }, HOLD);
}

function charts() {
  const colours = ink();
  if (S.mode === "train") {
    drawChart(find("[data-chart=loss]"), { series: [{ ...S.losses, color: COLOUR.samples }], xLabel: "steps", yLog: true, empty: "press Train" }, colours);
    drawChart(find("[data-chart=right]"), { series: [{ ...S.rights, color: COLOUR.samples }], xLabel: "steps", yFrom0: true, yTo: 1, empty: "press Train" }, colours);
    return;
  }
  const { t, scene } = S, shown = filmsShown(), colour = (f, i) => (f === S.forward ? colours.data : S.mode === "compare" ? SLOTS[i] : COLOUR.samples);
  drawHistogram(find("[data-chart=pixels]"), shown.map((f, i) => ({ values: f.xt, color: colour(f, i), fill: S.mode === "both" })), colours);
  drawChart(find("[data-chart=levels]"), { series: [{ ...scene.signal, color: colours.data }, { ...scene.noise, color: COLOUR.noise }], xLabel: "t · signal ᾱ grey, noise 1 − ᾱ blue", yFrom0: true, cursor: Math.max(0, t) }, colours);
  const readers = shown.map((f, i) => ({ f, color: colour(f, i) })).filter(({ f }) => f.read);
  const marks = readers.map(({ f, color }) => ({ k: f.labels[S.chosen], color })).filter(({ k }) => k != null);
  drawBars(find("[data-chart=reads]"), readers.map(({ f, color }) => ({ color, at: (k) => probability(f.read, f.row, Math.min(S.chosen, f.read.shape[1] - 1), k) })), scene.meta.classes, marks, colours);
}
