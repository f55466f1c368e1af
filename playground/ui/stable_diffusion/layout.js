// How much room the canvas and the diagram have, and the charts.

// The diagram gives way as far as it has to: shapes on two lines; smaller boxes; words and picture above, the loop
// below; all in a column.
const FITS = ["line", "short", "short tight", "below", "below column"];
function fitDiagram() {
  const diagram = find(".pg-diagram");
  const flow = find(".pg-flow");
  const wide = String(flow.clientWidth);
  if (diagram.matches(".pg-idle") && diagram.dataset.wide === wide) return; // while it is empty it stays as it was
  diagram.dataset.wide = wide;
  for (const fit of FITS) {
    diagram.dataset.fit = fit;
    if (flow.scrollWidth <= flow.clientWidth) return;
  }
}

// The room for the canvas: on a wide page what is left of the window; in a tall one no more than for two squares side
// by side.
function measure() {
  fitDiagram();
  const box = find(".pg-diff-square");
  const diagram = find(".pg-diagram").offsetHeight;
  const barsBelow = all(".pg-stage > .pg-bar:not([hidden])").filter((bar) => bar.offsetTop > box.offsetTop);
  const below = barsBelow.reduce((sum, bar) => sum + bar.offsetHeight + 5, 0);
  const top = box.getBoundingClientRect().top + window.scrollY;
  const left = Math.max(250, Math.floor(window.innerHeight - top - below - diagram - 34));
  const squares = CAPTION + Math.round(box.clientWidth * 0.6);
  S.room = { width: box.clientWidth, height: window.innerWidth > 900 ? Math.min(left, squares) : Infinity };
  S.chartsDirty = true;
  wake();
}

function charts() {
  const colours = ink();
  const shown = slotsShown();
  const steps = shown[0] ? shown[0].steps.filter(Boolean) : [];
  const draw = (name, series, more) => {
    drawChart(find(`[data-chart=${name}]`), { series, xLabel: "step", yFrom0: true, cursor: S.k, ...more }, colours);
  };
  // both are as long as the whole run, which is known
  const length = steps.length ? [{ x: [0, totalSteps()], y: [0, 0], color: "transparent" }] : [];
  const norms = shown.map((slot, i) => normsOf(slot, i, shown.length > 1 ? "AB"[i] : ""));
  const isUnguided = shown.length && norms.every(({ y }) => !y.some((v) => v > 0));
  const empty = isUnguided ? "guidance 1: nothing pulls" : "press Draw";
  draw("norm", isUnguided ? [] : [...length, ...norms], { empty });
  const x = steps.map(({ meta }) => meta.index);
  const signal = steps.map(({ meta }) => meta.alpha ** 2);
  const levels = [
    { x, y: signal, color: colours.data },
    { x, y: signal.map((v) => 1 - v), color: COLOUR.noise },
  ];
  draw("levels", [...length, ...levels], { yTo: 1, empty: "press Draw" });
}

function normsOf(slot, i, label) {
  const line = { x: [], y: [], color: i ? COLOUR.exact : COLOUR.samples, label };
  slot.steps.forEach((step, k) => {
    const norm = step && step.meta.norms[S.chosen];
    if (norm == null || step.meta.t < 0) return;
    line.x.push(k);
    line.y.push(norm);
  });
  return line;
}
