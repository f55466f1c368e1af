// Small line charts on a canvas: thin lines, direct labels, at most a few thousand points. No state of their own.
const niceNumber = (v) =>
  v === 0 ? "0" : Math.abs(v) >= 1000 ? `${+(v / 1000).toPrecision(3)}k` : `${+v.toPrecision(2)}`;

// chart: {series: [{x, y, color, dash, label, below}], xLabel, yLog, yFrom0, yTo, cursor, empty}
function drawChart(canvas, chart, ink) {
  const area = fitted(canvas);
  if (!area) return;
  const { g, width, height } = area;
  const left = 38;
  const right = 8;
  const top = 8;
  const bottom = 20;
  const fy = chart.yLog ? (v) => Math.log10(Math.max(v, 1e-6)) : (v) => v;
  let x0 = Infinity;
  let x1 = -Infinity;
  let y0 = chart.yFrom0 ? 0 : Infinity;
  let y1 = chart.yTo ?? -Infinity;
  for (const { x, y } of chart.series) {
    for (let i = 0; i < y.length; i++) {
      x0 = Math.min(x0, x[i]);
      x1 = Math.max(x1, x[i]);
      y0 = Math.min(y0, fy(y[i]));
      y1 = Math.max(y1, fy(y[i]));
    }
  }
  if (!(x1 >= x0)) {
    g.fillStyle = ink.faint;
    g.textAlign = "center";
    g.fillText(chart.empty || "", width / 2, height / 2);
    return;
  }
  if (x1 === x0) x1 = x0 + 1;
  const pad = (y1 - y0) * 0.08 || 0.1;
  y1 += pad;
  if (!chart.yFrom0) y0 -= pad;
  const px = (v) => left + ((v - x0) / (x1 - x0)) * (width - left - right);
  const py = (v) => top + ((y1 - fy(v)) / (y1 - y0)) * (height - top - bottom);
  g.strokeStyle = ink.line;
  g.fillStyle = ink.faint;
  g.lineWidth = 1;
  for (let i = 0; i <= 2; i++) {
    const value = chart.yFrom0 ? ((y1 - pad) * i) / 2 : y0 + pad * 0.5 + ((y1 - y0 - pad) * i) / 2;
    const shown = chart.yLog ? 10 ** value : value;
    const y = py(shown);
    g.beginPath();
    g.moveTo(left, y);
    g.lineTo(width - right, y);
    g.stroke();
    g.textAlign = "right";
    g.fillText(niceNumber(shown), left - 5, y + 4);
  }
  g.textAlign = "left";
  g.fillText(niceNumber(x0), left, height - 5);
  g.textAlign = "right";
  g.fillText(niceNumber(x1), width - right, height - 5);
  g.textAlign = "center";
  g.fillText(chart.xLabel || "", left + (width - left - right) / 2, height - 5);
  if (chart.cursor != null) {
    g.strokeStyle = ink.faint;
    g.setLineDash([2, 3]);
    g.beginPath();
    g.moveTo(px(chart.cursor), top);
    g.lineTo(px(chart.cursor), height - bottom);
    g.stroke();
    g.setLineDash([]);
  }
  for (const { x, y, color, dash, label, below } of chart.series) {
    if (!y.length) continue;
    g.strokeStyle = color;
    g.fillStyle = color;
    g.lineWidth = 1.6;
    g.setLineDash(dash || []);
    g.beginPath();
    for (let i = 0; i < y.length; i++) g[i ? "lineTo" : "moveTo"](px(x[i]), py(y[i]));
    g.stroke();
    g.setLineDash([]);
    if (y.length === 1) g.fillRect(px(x[0]) - 2, py(y[0]) - 2, 4, 4);
    if (label) {
      const end = py(y[y.length - 1]);
      const low = end + 13 < height - bottom - 2;
      const at = Math.max(top + 9, below && low ? end + 13 : end - 5);
      const wide = g.measureText(label).width; // in ink, with a mark in the line's colour: pale text is hard to read
      g.fillRect(width - right - wide - 16, at - 5, 10, 2.5);
      g.fillStyle = ink.text;
      g.textAlign = "right";
      g.fillText(label, width - right - 2, at);
    }
  }
}
