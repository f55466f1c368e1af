// The curves: one Plotly figure a panel, its div kept and updated in place. What moves many times a second (the slider's
// place, the pointer's, the steps) lies on a canvas of its own above it, since a figure takes some 10 ms to draw.

const panels = all(".pg-panel").map((figure, k) => ({
  k, figure, chosen: figure.querySelector("select"), plot: figure.querySelector(".pg-plot"), div: figure.querySelector(".pg-plotly"),
  over: figure.querySelector("canvas"), hover: figure.querySelector(".pg-hover"), ready: false,
}));
let plotly = null; // plotly.js, once it is loaded

function loadPlotly() { // from the package itself and only when the tab is first opened: 4.8 MB
  if (window.Plotly) return Promise.resolve(window.Plotly);
  return new Promise((resolve, reject) => {
    const { root: base = "", api_prefix: prefix = "/gradio_api" } = window.gradio_config || {};
    const tag = make("script", { src: `${base}${prefix}/file=${props.plotly}` });
    tag.addEventListener("load", () => resolve(window.Plotly));
    tag.addEventListener("error", () => reject(new Error("plotly.js could not be loaded")));
    document.head.append(tag);
  });
}

// --- figures -------------------------------------------------------------------------------------------------------------

const axis = (colours) => ({ color: colours.faint, gridcolor: colours.line, zeroline: false, linecolor: colours.line, tickfont: { size: 10 }, nticks: 5, fixedrange: false });

const namesIn = (name) => (name === "posterior_variance" ? [name, "beta"] : [name]); // the curves of a panel

function tracesOf(name, x) {
  const byLevel = overLevel(name), names = namesIn(name);
  return good().flatMap((card) => {
    const indices = drawnAt(card, x, byLevel), line = lineOf(card);
    return names.map((one) => {
      const values = curveOf(card, one), levels = curveOf(card, "log_snr");
      const kept = byLevel || one === "log_snr" ? indices.filter((i) => Math.abs(levels[i]) < INFINITE) : indices;
      const trace = { type: "scatter", mode: "lines", name: shortName(card), hoverinfo: "skip", x: kept.map((i) => xOf(card, i, byLevel)), y: kept.map((i) => values[i]),
        line: { color: line.color, width: one === name ? 1.6 : 1, dash: one === name ? line.dash : "dash" } };
      return { trace, source: card.curves };
    });
  });
}

function figureOf(panel) {
  const name = S.panels[panel.k], byLevel = overLevel(name), colours = ink(), { log } = S.scene.meta.curves[name];
  const x = S.zoom.x && S.zoom.byLevel === byLevel ? S.zoom.x : xRange(byLevel), y = S.zoom.y[name] || yRange(name);
  const layout = {
    width: panel.plot.clientWidth, height: panel.plot.clientHeight, margin: { l: 36, r: 6, t: 4, b: 20 }, showlegend: false, hovermode: false, dragmode: "zoom",
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", uirevision: `${name} ${byLevel}`, font: { family: FONT, color: colours.text },
    xaxis: { ...axis(colours), range: x, showgrid: false, ticks: "outside", ticklen: 3, tickcolor: colours.line }, yaxis: { ...axis(colours), range: y, type: log ? "log" : "linear", exponentformat: "power", ...(log ? { dtick: Math.max(1, Math.ceil((y[1] - y[0]) / 4)) } : {}) },
  };
  return [tracesOf(name, x), layout];
}
const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";
const CONFIG = { displaylogo: false, doubleClick: false, responsive: false, showTips: false, modeBarButtons: [["toImage"]], toImageButtonOptions: { filename: "schedules", scale: 2 } };

const AT_ONCE = { transition: { duration: 0 }, frame: { duration: 0, redraw: false }, mode: "immediate" };

function drawPanel(panel) {
  if (!plotly || !panel.figure.offsetParent || !good().length || !panel.plot.clientHeight) return;
  const [lines, layout] = figureOf(panel), traces = lines.map((line) => line.trace), form = JSON.stringify([layout, traces.map(({ name, line }) => [name, line])]);
  const moved = [...lines.keys()].filter((k) => !panel.form || lines[k].source !== panel.sources[k]);
  panel.sources = lines.map((line) => line.source);
  if (panel.form === form) { // only numbers changed: these lines alone are moved, a quarter of the work of axes and all
    const data = moved.map((k) => ({ x: traces[k].x, y: traces[k].y }));
    if (moved.length) plotly.animate(panel.div, { data, traces: moved }, AT_ONCE).catch(() => null); // rejected where newer numbers overtook these
    return;
  }
  panel.form = form;
  plotly.react(panel.div, traces, layout, CONFIG);
  if (!panel.ready) {
    panel.ready = true;
    panel.div.on("plotly_relayout", (change) => zoomed(panel, change));
    panel.div.on("plotly_doubleclick", wholeCurves);
  }
}

function drawPanels() {
  panels.forEach(captionOf);
  panels.forEach(drawPanel);
  canvas.dataset.curves = Number(canvas.dataset.curves || 0) + 1;
}

// A zoom is kept over every update and over the other panels' x; only "Whole curves", or another axis, undoes it.
function zoomed(panel, change) {
  const name = S.panels[panel.k], byLevel = overLevel(name), ends = (axisName) => [change[`${axisName}.range[0]`], change[`${axisName}.range[1]`]];
  if (change["xaxis.range[0]"] != null) { S.zoom.x = ends("xaxis"); S.zoom.byLevel = byLevel; }
  if (change["yaxis.range[0]"] != null) S.zoom.y[name] = ends("yaxis");
  find("[data-do=whole]").hidden = !S.zoom.x && !Object.keys(S.zoom.y).length;
  redraw();
}

function wholeCurves() {
  S.zoom = { x: null, y: {} };
  find("[data-do=whole]").hidden = true;
  redraw();
}

// --- what lies above -----------------------------------------------------------------------------------------------------

function above(panel, colours) {
  if (!panel.ready || !panel.figure.offsetParent) return;
  const name = S.panels[panel.k], byLevel = overLevel(name), layout = panel.div._fullLayout; // Plotly's axes know where pixels are
  const xa = layout.xaxis, ya = layout.yaxis, c = fitted(panel.over);
  if (!c) return;
  const { g } = c, left = xa._offset, top = ya._offset, bottom = top + ya._length;
  const px = (x) => left + xa.d2p(x), py = (y) => top + ya.d2p(y);
  g.save(); g.beginPath(); g.rect(left - 1, top - 1, xa._length + 2, ya._length + 2); g.clip();
  const place = (card, index) => [px(xOf(card, index, byLevel)), py(valueAt(card, name, index))];
  const dot = (card, index, size) => {
    const [x, y] = place(card, index);
    if (!Number.isFinite(y)) return;
    g.fillStyle = lineOf(card).color; g.beginPath(); g.arc(x, y, size, 0, 7); g.fill();
    g.strokeStyle = colours.back; g.lineWidth = 1; g.stroke();
  };
  for (const card of good()) drawSteps(g, card, place, colours);
  const vertical = (x, dash) => { g.strokeStyle = colours.text; g.globalAlpha = 0.6; g.setLineDash(dash); g.lineWidth = 1; g.beginPath(); g.moveTo(x, top); g.lineTo(x, bottom); g.stroke(); g.setLineDash([]); g.globalAlpha = 1; };
  if (byLevel === S.equal) vertical(px(S.equal ? level() : sameT() ? Math.round(S.at * (longest() - 1)) : S.at), []);
  for (const card of good()) dot(card, indexNow(card), 3.2);
  if (S.hover) {
    if (byLevel === S.hover.byLevel) vertical(px(S.hover.x), [2, 3]);
    for (const card of good()) dot(card, indexOf(card, S.hover.x, S.hover.byLevel), 2.4);
  }
  g.restore();
}

const shownNumber = (v) => (!Number.isFinite(v) ? "−∞" : v === 0 ? "0" : Math.abs(v) >= 1e4 || Math.abs(v) < 1e-3 ? v.toExponential(1) : v.toPrecision(3)).replace("-", "−");

function sayHover(panel) { // all schedules at one t, in the panel under the pointer
  if (!S.hover || S.hover.panel !== panel.k) { panel.hover.hidden = true; return; }
  const name = S.panels[panel.k], { x, byLevel } = S.hover, names = namesIn(name), symbol = names.map((one) => S.scene.meta.curves[one].symbol).join(", ");
  const head = byLevel ? `λ = ${shownNumber(x)}` : sameT() ? `t = ${Math.round(x)}` : `${Math.round(100 * x)} % of T`;
  panel.hover.replaceChildren(make("b", { textContent: `${symbol} at ${head}` }), ...good().map((card) => {
    const mark = make("i"), index = indexOf(card, x, byLevel);
    mark.style.background = lineOf(card).color;
    return make("span", {}, mark, make("em", { textContent: shortName(card) }), document.createTextNode(names.map((one) => shownNumber(valueAt(card, one, byLevel ? index : Math.round(index)))).join(", ")));
  }));
  panel.hover.hidden = false;
  const room = panel.plot.clientWidth, wide = panel.hover.offsetWidth;
  panel.hover.style.left = `${S.hover.px + 12 + wide < room ? S.hover.px + 12 : Math.max(0, S.hover.px - 12 - wide)}px`;
}

for (const panel of panels) {
  const where = (event) => {
    if (!panel.ready) return null;
    const box = panel.plot.getBoundingClientRect(), xa = panel.div._fullLayout.xaxis, px = event.clientX - box.left, p = px - xa._offset;
    return p < 0 || p > xa._length ? null : { panel: panel.k, px, x: xa.p2d(p), byLevel: overLevel(S.panels[panel.k]) };
  };
  let pressed = null;
  const read = (event) => { S.hover = event && where(event); panels.forEach(sayHover); wake(); };
  panel.plot.addEventListener("pointermove", read);
  panel.plot.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") read(null); }); // a finger is gone at once: what it asked stays
  panel.plot.addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; if (event.pointerType === "touch") read(event); }, true);
  document.addEventListener("pointerup", (event) => { // a click puts the slider there; a drag is a zoom
    const here = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 4 ? where(event) : null;
    pressed = null;
    if (!here || here.byLevel !== S.equal) return;
    play(false);
    if (S.equal) { const [high, low] = levelRange(); setAt((here.x - high) / (low - high)); } else setAt(here.x / (sameT() ? longest() - 1 : 1));
  });
  panel.chosen.addEventListener("change", () => { S.panels[panel.k] = panel.chosen.value; captionOf(panel); drawPanel(panel); wake(); });
}

function captionOf(panel) {
  const name = S.panels[panel.k];
  panel.chosen.title = S.scene.meta.curves[name].help;
  panel.figure.querySelector("small").textContent = `over ${xName(overLevel(name))}`;
}

function fillPanels() {
  const choices = Object.entries(S.scene.meta.curves).map(([name, { title, symbol }]) => [name, name === "posterior_variance" ? "β̃ against β (dashed)" : `${symbol}  ${title}`]);
  for (const panel of panels) {
    panel.chosen.replaceChildren(...choices.map(([name, text]) => new Option(text, name)));
    panel.chosen.value = S.panels[panel.k];
    captionOf(panel);
  }
}
