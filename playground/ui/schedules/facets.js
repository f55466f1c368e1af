// The charts of quality against network calls: small multiples on the same axes.

// [{title, lines: [{name, color, dash, points}]}]: a chart for each sampler, or for each schedule.
function facetsNow() {
  const { points, cards, facet } = S.chart;
  const { samplers } = S.scene.meta;
  const names = Object.keys(samplers).filter((name) => points.some((p) => p.sampler === name));
  const pointsOf = (name, k) => points.filter((p) => p.sampler === name && p.schedule === k);
  if (facet === "sampler") {
    const lines = (name) => cards.map((card, k) => ({ name: card.name, ...card.line, points: pointsOf(name, k) }));
    return names.map((name) => ({ title: samplers[name].title, lines: lines(name) }));
  }
  const look = (name) => ({ name: samplers[name].title, color: samplers[name].colour, dash: "solid" });
  return cards.map((card, k) => ({
    title: card.name,
    lines: names.map((name) => ({ ...look(name), points: pointsOf(name, k) })),
  }));
}

const CALLS = [4, 8, 16, 32, 64, 128];
const NOTHING = { title: "Press Measure: error against network calls, sampler by sampler", lines: [] };

function drawFacets() {
  facets.dataset.points = S.chart.points.length;
  disable("chart_csv", !S.chart.points.length);
  if (!plotly || !root.offsetParent) return;
  const groups = S.chart.points.length ? facetsNow() : [NOTHING];
  while (facets.children.length < groups.length) facets.append(facetFigure());
  while (facets.children.length > groups.length) {
    plotly.purge(facets.lastChild.children[1]);
    facets.lastChild.remove();
  }
  const axes = facetAxes();
  groups.forEach(({ title, lines }, k) => {
    const [caption, div, note] = facets.children[k].children;
    caption.textContent = title;
    const layout = facetLayout(facets.children[k].clientWidth, axes);
    plotly.react(div, lines.map(traceOf), layout, { ...CONFIG, doubleClick: "reset" });
    noteFacet(note, lines, S.chart.facet === "sampler" || k === 0);
  });
  find(".pg-quality-legend").replaceChildren(
    ...groups[0].lines.map(({ name, color }) => {
      const mark = make("i");
      mark.style.background = color;
      return make("span", {}, mark, document.createTextNode(name));
    }),
  );
}

function facetFigure() {
  const parts = [make("div", { className: "pg-facet" }), make("p", { className: "pg-small pg-facet-note" })];
  return make("figure", {}, make("figcaption"), ...parts);
}

const isPlotted = (p) => p[S.chart.figure] != null && p[S.chart.figure] > 0;

function traceOf({ name, color, dash, points }) {
  const plotted = points.filter(isPlotted);
  return {
    type: "scatter",
    mode: "lines+markers",
    name,
    x: plotted.map((p) => p.calls),
    y: plotted.map((p) => p[S.chart.figure]),
    line: { color, width: 1.6, dash },
    marker: { color, size: 5 },
    hovertemplate: `${name}: %{y:.3g} at %{x} calls<extra></extra>`,
  };
}

// The same in all charts: {range of y in decades, its ticks, lines to compare with, and their labels}.
function facetAxes() {
  const { figure, floor, points } = S.chart;
  const colours = ink();
  const seen = points.filter(isPlotted);
  const withFloor = figure === "distance" && floor;
  const values = [...seen.map((p) => p[figure]), ...(withFloor ? [floor] : [])].map(Math.log10);
  const low = Math.floor(Math.min(...values) * 2) / 2 - 0.1;
  const high = Math.ceil(Math.max(...values) * 2) / 2 + 0.1;
  const range = values.length ? [low, high] : [-3, 0.5];
  const decades = [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3];
  const fine = { tickvals: decades.flatMap((k) => [1, 2, 5].map((m) => m * 10 ** k)), tickformat: "~g" };
  const ticks = range[1] - range[0] > 2 ? { dtick: 1, exponentformat: "power" } : fine;
  const label = { showarrow: false, font: { size: 10, color: colours.faint }, xanchor: "left", yanchor: "bottom" };
  const shapes = [];
  const annotations = [];
  if (withFloor) {
    const line = { color: colours.faint, width: 1, dash: "dash" };
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: floor, y1: floor, line });
    annotations.push({ ...label, text: `floor ${floor.toPrecision(2)}`, xref: "paper", x: 0.01, y: Math.log10(floor) });
  }
  if (figure === "error" && seen.length) {
    for (const order of [1, 2]) {
      const top = range[1] - 0.25;
      const line = { color: colours.faint, width: 1, dash: "dot" };
      shapes.push({ type: "line", x0: 10, x1: 100, y0: 10 ** top, y1: 10 ** top * 10 ** -order, line });
      const y = top - order * Math.log10(3) + 0.02;
      annotations.push({ ...label, text: `slope −${order}`, x: Math.log10(30), y });
    }
  }
  return { range, ticks, shapes, annotations };
}

function facetLayout(width, { range, ticks, shapes, annotations }) {
  const { figure, facet, denoiser } = S.chart;
  const colours = ink();
  const common = { ...axis(colours), type: "log" };
  const unit = figure === "distance" && denoiser === "mnist" ? "Fréchet distance" : `${figure}, cloud’s units`;
  const x = { range: [Math.log10(2.6), Math.log10(170)], tickvals: CALLS };
  return {
    ...PLAIN,
    height: 260,
    width,
    margin: { l: 58, r: 8, t: 4, b: 34 },
    hovermode: "closest",
    uirevision: `${figure} ${facet}`,
    font: { family: FONT, color: colours.text, size: 11 },
    shapes,
    annotations,
    xaxis: { ...common, ...x, title: { text: "network calls", standoff: 4, font: { size: 11 } } },
    yaxis: { ...common, range, ...ticks, title: { text: unit, standoff: 2, font: { size: 10 } } },
  };
}

// What a chart leaves out, and why.
function noteFacet(note, lines, tellsOfNoise) {
  const unique = (texts) => [...new Set(texts)];
  const isUnlike = (p) => !p.note && p[S.chart.figure] == null;
  const samplers = lines.flatMap((line) => line.points.filter(isUnlike).map((p) => p.sampler));
  const noisy = unique(samplers.map((name) => S.scene.meta.samplers[name].title)).join(", ");
  const missing = unique(
    lines.flatMap(({ name, points }) =>
      points.filter((p) => p.note).map((p) => `${name}, ${p.budget} calls: ${p.note}`),
    ),
  );
  const more = missing.length > 1 ? ` (and ${missing.length - 1} more left out)` : "";
  const texts = missing.length ? [`${missing[0]}${more}`] : [];
  if (tellsOfNoise && noisy) {
    const elsewhere = "adds noise at every step and so ends elsewhere than the exact path";
    texts.unshift(`${noisy} ${elsewhere}: see its distance to the data.`);
  }
  note.textContent = texts.join(" ");
  note.title = missing.join("\n");
}
