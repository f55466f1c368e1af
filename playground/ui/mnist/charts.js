// The MNIST tab's two charts of its own: how pixels are distributed, and what the classifier reads.
const BINS = 60;
const REACH = 3; // of the axis, in standard deviations
const counts = new Float32Array(BINS);
const DENSEST = 0.9; // of the axis: the bell's peak is .40; paper, a spike at -1, runs out of the top
const bell = (v) => Math.exp((-v * v) / 2) / Math.sqrt(2 * Math.PI);

// series: [{values, color, fill}]: the pixels' density against N(0, 1), on axes that never move.
function drawHistogram(canvas, series, colours) {
  const c = fitted(canvas);
  if (!c) return;
  const { g, width, height } = c;
  const left = 8;
  const right = 8;
  const bottom = 18;
  const floor = height - bottom;
  const px = (v) => left + ((v + REACH) / (2 * REACH)) * (width - left - right);
  const py = (d) => floor - Math.min(d / DENSEST, 1.02) * (floor - 6);
  g.strokeStyle = colours.line;
  strokeLine(g, left, floor + 0.5, width - right, floor + 0.5);
  g.fillStyle = colours.faint;
  g.textAlign = "center";
  for (let v = -REACH; v <= REACH; v++) g.fillText(String(v).replace("-", "−"), px(v), height - 5);
  for (const { values, color, fill } of series) {
    counts.fill(0);
    for (let i = 0; i < values.length; i++) {
      const bin = ((values[i] + REACH) * (BINS / (2 * REACH))) | 0;
      if (values[i] >= -REACH && bin < BINS) counts[bin]++;
    }
    g.beginPath();
    g.moveTo(px(-REACH), floor);
    for (let b = 0; b < BINS; b++) {
      const y = py((counts[b] / values.length) * (BINS / (2 * REACH)));
      g.lineTo(px(-REACH + (2 * REACH * b) / BINS), y);
      g.lineTo(px(-REACH + (2 * REACH * (b + 1)) / BINS), y);
    }
    g.lineTo(px(REACH), floor);
    if (fill) {
      g.globalAlpha = 0.35;
      g.fillStyle = color;
      g.fill();
      g.globalAlpha = 1;
    }
    g.strokeStyle = color;
    g.lineWidth = 1.4;
    g.stroke();
  }
  g.strokeStyle = COLOUR.noise;
  g.lineWidth = 1.6;
  g.setLineDash([5, 3]);
  g.beginPath();
  for (let k = 0; k <= 80; k++) {
    const v = -REACH + (2 * REACH * k) / 80;
    g[k ? "lineTo" : "moveTo"](px(v), py(bell(v)));
  }
  g.stroke();
  g.setLineDash([]);
  g.textAlign = "right";
  g.fillStyle = colours.text;
  g.fillText("N(0, 1)", width - right - 2, 14);
  g.fillStyle = COLOUR.noise;
  g.fillRect(width - right - 54, 9, 10, 2.5);
}

// series: [{color, at: (class) => probability}], side by side for each class; marks: [{k, color}], the right classes.
function drawBars(canvas, series, classes, marks, colours) {
  const c = fitted(canvas);
  if (!c) return;
  const { g, width, height } = c;
  const left = 26;
  const bottom = 18;
  const floor = height - bottom;
  const step = (width - left - 4) / classes.length;
  g.strokeStyle = colours.line;
  g.fillStyle = colours.faint;
  g.textAlign = "right";
  for (const p of [0, 0.5, 1]) {
    const y = floor - p * (floor - 8);
    strokeLine(g, left, y + 0.5, width - 4, y + 0.5);
    g.fillText(p === 0.5 ? ".5" : String(p), left - 5, y + 4);
  }
  const bar = Math.min(9, (step - 5) / series.length);
  g.textAlign = "center";
  classes.forEach((name, k) => {
    const middle = left + (k + 0.5) * step;
    series.forEach(({ color, at }, s) => {
      const high = at(k) * (floor - 8);
      g.fillStyle = color;
      g.fillRect(middle + (s - series.length / 2) * bar, floor - high, bar - 1, high);
    });
    const right = marks.filter((mark) => mark.k === k);
    g.fillStyle = right.length ? colours.text : colours.faint;
    g.font = `${right.length ? 700 : 400} 11px ${FONT}`;
    g.fillText(shorten(g, name, step - 1) || name[0], middle, height - 6);
    right.forEach(({ color }, s) => {
      g.fillStyle = color;
      g.fillRect(middle + (s - right.length / 2) * 8, height - 3, 7, 3);
    });
  });
}
