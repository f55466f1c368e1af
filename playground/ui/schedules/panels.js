// The curves: one Plotly figure a panel, its div kept and updated in place. What moves many times a second is drawn
// on a canvas above it (see overlay.js), since a figure takes some 10 ms to draw.

const panels = all(".pg-panel").map((figure, k) => ({
  k,
  figure,
  ready: false,
  chosen: figure.querySelector("select"),
  plot: figure.querySelector(".pg-plot"),
  div: figure.querySelector(".pg-plotly"),
  overlay: figure.querySelector("canvas"),
  hover: figure.querySelector(".pg-hover"),
}));
let plotly = null; // plotly.js, once it is loaded

// From the Python package itself, and only when the tab is first opened: it has 4.8 MB.
function loadPlotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  return new Promise((resolve, reject) => {
    const { root: base = "", api_prefix: prefix = "/gradio_api" } = window.gradio_config || {};
    const tag = make("script", { src: `${base}${prefix}/file=${props.plotly}` });
    tag.addEventListener("load", () => resolve(window.Plotly));
    tag.addEventListener("error", () => reject(new Error("plotly.js could not be loaded")));
    document.head.append(tag);
  });
}

// --- figures --------------------------------------------------------------------------------------------------------

const axis = ({ faint, line }) => ({
  color: faint,
  gridcolor: line,
  linecolor: line,
  zeroline: false,
  tickfont: { size: 10 },
  nticks: 5,
  fixedrange: false,
});
const PLAIN = { showlegend: false, paper_bgcolor: "transparent", plot_bgcolor: "transparent" };
const CONFIG = {
  displaylogo: false,
  doubleClick: false,
  responsive: false,
  showTips: false,
  modeBarButtons: [["toImage"]],
  toImageButtonOptions: { filename: "schedules", scale: 2 },
};
const AT_ONCE = { transition: { duration: 0 }, frame: { duration: 0, redraw: false }, mode: "immediate" };

const namesIn = (name) => (name === "posterior_variance" ? [name, "beta"] : [name]); // the curves of a panel

function tracesOf(name, x) {
  const byLevel = overLevel(name);
  const names = namesIn(name);
  return goodCards().flatMap((card) => {
    const indices = drawnAt(card, x, byLevel);
    const line = lineOf(card);
    return names.map((one) => {
      const values = curveOf(card, one);
      const levels = curveOf(card, "log_snr");
      const kept = byLevel || one === "log_snr" ? indices.filter((i) => Math.abs(levels[i]) < INFINITE) : indices;
      const look = one === name ? { width: 1.6, dash: line.dash } : { width: 1, dash: "dash" };
      const trace = {
        type: "scatter",
        mode: "lines",
        name: shortName(card),
        hoverinfo: "skip",
        line: { color: line.color, ...look },
        x: kept.map((i) => xOf(card, i, byLevel)),
        y: kept.map((i) => values[i]),
      };
      return { trace, source: card.curves };
    });
  });
}

function figureOf(panel) {
  const name = S.panels[panel.k];
  const byLevel = overLevel(name);
  const colours = ink();
  const { log } = S.scene.meta.curves[name];
  const x = S.zoom.x && S.zoom.byLevel === byLevel ? S.zoom.x : xRange(byLevel);
  const y = S.zoom.y[name] || yRange(name);
  const decades = log ? { dtick: Math.max(1, Math.ceil((y[1] - y[0]) / 4)) } : {};
  const layout = {
    ...PLAIN,
    width: panel.plot.clientWidth,
    height: panel.plot.clientHeight,
    margin: { l: 36, r: 6, t: 4, b: 20 },
    hovermode: false,
    dragmode: "zoom",
    uirevision: `${name} ${byLevel}`,
    font: { family: FONT, color: colours.text },
    xaxis: { ...axis(colours), range: x, showgrid: false, ticks: "outside", ticklen: 3, tickcolor: colours.line },
    yaxis: { ...axis(colours), range: y, type: log ? "log" : "linear", exponentformat: "power", ...decades },
  };
  return [tracesOf(name, x), layout];
}

function drawPanel(panel) {
  if (!plotly || !panel.figure.offsetParent || !goodCards().length || !panel.plot.clientHeight) return;
  const [lines, layout] = figureOf(panel);
  const traces = lines.map((line) => line.trace);
  const form = JSON.stringify([layout, traces.map(({ name, line }) => [name, line])]); // all but the numbers
  const moved = [...lines.keys()].filter((k) => !panel.form || lines[k].source !== panel.sources[k]);
  panel.sources = lines.map((line) => line.source);
  if (panel.form === form) {
    // these lines alone are moved: a quarter of the work of drawing axes and all
    const data = moved.map((k) => ({ x: traces[k].x, y: traces[k].y }));
    const overtaken = () => null; // by newer numbers: nothing is lost
    if (moved.length) plotly.animate(panel.div, { data, traces: moved }, AT_ONCE).catch(overtaken);
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

// A zoom outlives every update, and its x holds for the other panels too; only "Whole curves", or another axis,
// undoes it.
function zoomed(panel, change) {
  const name = S.panels[panel.k];
  const byLevel = overLevel(name);
  const ends = (axisName) => [change[`${axisName}.range[0]`], change[`${axisName}.range[1]`]];
  if (change["xaxis.range[0]"] != null) {
    S.zoom.x = ends("xaxis");
    S.zoom.byLevel = byLevel;
  }
  if (change["yaxis.range[0]"] != null) S.zoom.y[name] = ends("yaxis");
  find("[data-do=whole]").hidden = !S.zoom.x && !Object.keys(S.zoom.y).length;
  redraw();
}

function wholeCurves() {
  S.zoom = { x: null, y: {} };
  find("[data-do=whole]").hidden = true;
  redraw();
}

function captionOf(panel) {
  const name = S.panels[panel.k];
  panel.chosen.title = S.scene.meta.curves[name].help;
  panel.figure.querySelector("small").textContent = `over ${xName(overLevel(name))}`;
}

function fillPanels() {
  const titles = Object.entries(S.scene.meta.curves).map(([name, { title, symbol }]) => [name, `${symbol}  ${title}`]);
  const texts = { ...Object.fromEntries(titles), posterior_variance: "β̃ against β (dashed)" };
  for (const panel of panels) {
    panel.chosen.replaceChildren(...titleOptions(texts));
    panel.chosen.value = S.panels[panel.k];
    captionOf(panel);
  }
}
