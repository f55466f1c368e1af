// What the MNIST stage shows in each of its modes: the rows of panels on its canvas, and the charts.
const PATH_COLOURS = [COLOUR.samples, COLOUR.x0, COLOUR.exact, COLOUR.warning]; // of a comparison, in its order

// One of a film's three pictures; without a film, the empty place of one. `stamp`: what its pixels depend on;
// `under(k)`: what stands under tile k, and without it no room is left there.
function panel(film, name, lines, more = {}) {
  const { shape } = film || S.forward;
  const isRead = S.reads && film && film.read && name === (film === S.forward ? "xt" : "x0"); // of a path, x̂_0 is read
  const noText = S.reads && S.forward.read ? () => null : null;
  return {
    key: `${film ? film.id : "none"}.${name}`,
    shape,
    n: shape[0],
    side: shape[3],
    lines,
    values: film ? film[name] : null,
    noise: name === "eps",
    stamp: film && (film === S.forward && name !== "xt" ? 0 : film.at),
    selectable: true,
    under: isRead ? (k) => readIn(film, k) : noText,
    ...more,
  };
}

function trainingRows() {
  const shape = S.shape || S.forward.shape;
  const n = S.shape ? S.shape[0] : 16;
  const label = (k) => S.scene.meta.classes[S.labels[k]];
  const live = {
    key: "train",
    shape,
    n,
    side: shape[3],
    lines: [],
    values: S.shown,
    stamp: S.to ? performance.now() : S.stamp,
    under: S.labels.length ? (k) => (label(k) ? { text: label(k), wrong: true } : null) : null,
    empty: ["Press Train.", "A network that knows nothing yet", "learns to make digits while you watch."],
  };
  const note = S.shown ? `${n} digits from the same noise, as the network learns` : "nothing is trained yet";
  const aside = S.shown ? `step ${(S.rewound ?? S.step).toLocaleString("en")}` : "";
  return [{ title: "live", note, aside, panels: [live] }];
}

function comparisonRows() {
  const paths = compared();
  paths.forEach((path) => reverseTo(path, S.t));
  if (!paths.length) {
    const empty = ["Choose what to compare at the left,", "then press Generate."];
    const panels = [panel(null, "none", [], { empty, under: null })];
    return [{ title: "compare", note: "the same noise, several ways down", panels }];
  }
  const rows = [];
  const abreast = S.room.width < 560 ? 2 : 4;
  for (let k = 0; k < paths.length; k += abreast) {
    const some = paths.slice(k, k + abreast);
    const lines = ({ meta }, i) => [
      [meta.title, "", PATH_COLOURS[k + i]],
      ["", meta.caption],
    ];
    rows.push({
      title: "xₜ",
      note: "on its way from noise to a digit",
      panels: some.map((path, i) => panel(path, "xt", lines(path, i), { under: null })),
    });
    rows.push({
      title: "x̂₀",
      note: "what the network takes it for, at this t",
      panels: some.map((path) => panel(path, "x0", [])),
    });
  }
  return rows;
}

const FORWARD_LINES = { xt: ["xₜ", "α x₀ + σ ε"], x0: ["x₀", "the digit"], eps: ["ε", "the noise"] };
const REVERSE_LINES = {
  xt: ["xₜ", "on its way"],
  x0: ["x̂₀", "the network’s guess"],
  eps: ["ε̂", "the noise it sees"],
};

function bothRows() {
  const { forward, path } = S;
  const nothing = { empty: [S.sampling ? "…" : "Press Generate"] };
  forwardTo(S.t);
  if (path) reverseTo(path, S.t);
  const forwards = Object.entries(FORWARD_LINES).map(([name, line]) => panel(forward, name, [line]));
  const reverses = Object.entries(REVERSE_LINES).map(([name, line]) =>
    path ? panel(path, name, [line]) : panel(null, "none", [line], nothing),
  );
  return [
    { title: "forward", note: "a real digit sinks into noise", panels: forwards },
    {
      title: "reverse",
      note: "noise becomes a digit",
      aside: path && stateOf(path, S.room.width < 560),
      panels: reverses,
    },
  ];
}

const ROWS = { train: trainingRows, compare: comparisonRows, both: bothRows };

function paint() {
  if (!S.scene || !S.room.width) return;
  const scale = window.devicePixelRatio || 1;
  const { width } = S.room;
  const colours = ink();
  const rows = ROWS[S.mode]();
  const large = S.large && S.mode !== "train";
  const height = layOut(rows, width, S.room.height, large, scale);
  const w = Math.round(width * scale);
  const h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
  }
  const g = canvas.getContext("2d");
  g.setTransform(scale, 0, 0, scale, 0, 0);
  const inRow = (row) => [row.title, row.note, ...row.panels.map((p) => [p.key, p.tile, p.x, !!p.under, p.empty])];
  const key = [w, h, colours.back, large, S.chosen, ...rows.flatMap(inRow)].join("|");
  const anew = key !== S.painted; // otherwise only pixels and texts changed: drawing those alone is half of the work
  S.painted = key;
  if (anew) {
    g.clearRect(0, 0, width, height);
    S.places.length = 0;
  }
  for (const row of rows) {
    if (anew || row.aside !== S.asides.get(row.title)) paintRow(g, row, anew, colours);
    S.asides.set(row.title, row.aside);
    for (const p of row.panels) {
      if (!p.values) {
        if (anew) paintEmpty(g, p, p.empty, colours);
        continue;
      }
      if (!S.atlases.has(p.key)) S.atlases.set(p.key, newAtlas());
      const atlas = S.atlases.get(p.key);
      const old = atlas.stamp === p.stamp;
      if (!old) {
        tint(atlas, p.values, p.shape, p.noise);
        atlas.stamp = p.stamp;
      }
      if (anew || !old) paintPanel(g, p, atlas, S.chosen, large, colours, anew ? S.places : null);
    }
  }
  if (anew) canvas.dataset.places = JSON.stringify(S.places);
  canvas.dataset.painted = Number(canvas.dataset.painted) + 1;
}

// The room for the canvas: on a wide page what is left of the window, on a narrow one as much as it needs.
function measure() {
  const box = find(".pg-mnist-square");
  const wide = window.innerWidth > 900;
  const top = box.getBoundingClientRect().top + window.scrollY;
  const room = wide ? Math.max(420, window.innerHeight - top - 106) : Infinity;
  S.room = { width: box.clientWidth, height: room };
  box.style.minHeight = wide ? `${Math.floor(room)}px` : ""; // in every mode the bars below stand at the same place
  S.chartsDirty = true;
  wake();
}

function tick(now) {
  if (!root.offsetParent) return; // another tab is open; ResizeObserver tells when this one is again
  if (S.to) {
    const f = calm.matches ? 1 : Math.min(1, (now - S.tweenAt) / S.tweenFor);
    for (let i = 0; i < S.shown.length; i++) S.shown[i] = S.from[i] + (S.to.data[i] * S.to.scale - S.from[i]) * f;
    if (f >= 1) {
      S.to = null;
      S.stamp = now;
    }
  }
  if (S.playing && !S.holding) advance(now);
  paint();
  if (S.chartsDirty && S.scene) {
    S.chartsDirty = false;
    charts();
  }
  if (S.to || (S.playing && !S.holding)) wake();
}
const wake = beforeRepaint(tick);

function advance(now) {
  const passed = Math.min(now - S.playedAt, 100) / 1000;
  S.playedAt = now;
  setT(Math.max(-1, S.t - ((passed * (lastT() + 1)) / PLAY_SECONDS) * Number(find(".pg-play-speed").value)));
  if (S.t > -1) return;
  S.holding = setTimeout(() => {
    Object.assign(S, { holding: 0, playedAt: performance.now() });
    setT(lastT());
  }, HOLD);
}

function charts() {
  const colours = ink();
  const chart = (name) => find(`[data-chart=${name}]`);
  if (S.mode === "train") {
    const common = { xLabel: "steps", empty: "press Train" };
    drawChart(chart("loss"), { ...common, series: [{ ...S.losses, color: COLOUR.samples }], yLog: true }, colours);
    drawChart(
      chart("right"),
      { ...common, series: [{ ...S.rights, color: COLOUR.samples }], yFrom0: true, yTo: 1 },
      colours,
    );
    return;
  }
  const pathColour = (i) => (S.mode === "compare" ? PATH_COLOURS[i] : COLOUR.samples);
  const shown = filmsShown().map((film, i) => ({ film, color: film === S.forward ? colours.data : pathColour(i) }));
  const pixels = shown.map(({ film, color }) => ({ values: film.xt, color, fill: S.mode === "both" }));
  drawHistogram(chart("pixels"), pixels, colours);
  drawChart(
    chart("levels"),
    {
      series: [
        { ...S.scene.signal, color: colours.data },
        { ...S.scene.noise, color: COLOUR.noise },
      ],
      xLabel: "t · signal ᾱ grey, noise 1 − ᾱ blue",
      yFrom0: true,
      cursor: Math.max(0, S.t),
    },
    colours,
  );
  const readers = shown.filter(({ film }) => film.read);
  const marks = readers.map(({ film, color }) => ({ k: film.labels[S.chosen], color })).filter(({ k }) => k != null);
  const bars = readers.map(({ film: { read, row }, color }) => {
    const n = Math.min(S.chosen, read.shape[1] - 1);
    return { color, at: (k) => probability(read, row, n, k) };
  });
  drawBars(chart("reads"), bars, S.scene.meta.classes, marks, colours);
}
