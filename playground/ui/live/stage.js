// The toy lab's stage: one canvas, its transport bar, its charts. Python sends scenes, frames and studies (see stage.py);
// everything between two of them (tweening, scrubbing, the forward process, density) happens here, without a request.

const PLAY_SECONDS = 5; // one pass through all of t at speed 1
const SPEEDS = { auto: "auto", max: 0, "100 / s": 100, "20 / s": 20, "5 / s": 5, "1 / s": 1 };

const root = element.querySelector(".pg-toy");
root.innerHTML = `
  <section class="pg-stage" aria-label="Stage">
    <div class="pg-bar">
      <button type="button" class="pg-main" data-do="train">Train</button>
      <button type="button" data-do="pause" disabled>Pause</button>
      <button type="button" data-do="one_step">One step</button>
      <button type="button" data-do="reset">Reset</button>
      <label class="pg-small" title="auto: slow at first, so that you see it learn; the numbers are training steps a second">speed
        <select aria-label="training speed, steps per second">${Object.keys(SPEEDS).map((s) => `<option>${s}</option>`).join("")}</select></label>
      <span class="pg-status" role="status" aria-live="polite">loading …</span>
    </div>
    <div class="pg-square">
      <canvas data-testid="toy-live" data-step="0" data-frames="0" data-painted="0" role="img" tabindex="0"
        aria-label="Points in the plane: data, samples and noise"></canvas>
      <div class="pg-legend" aria-hidden="true"></div>
      <div class="pg-corner">
        <button type="button" class="pg-chip" data-do="draw" title="draw your own data">Draw your own</button>
        <button type="button" class="pg-chip" data-do="picture" title="save what you see as a picture">PNG</button>
      </div>
      <div class="pg-hint"></div>
      <div class="pg-warning pg-wrong" role="status" hidden></div>
      <div class="pg-brush" hidden>
        <span>Draw with the mouse or a finger.</span>
        <button type="button" class="pg-main" data-do="use_drawing">Use this drawing</button>
        <button type="button" data-do="clear_drawing">Clear</button>
        <button type="button" data-do="cancel_drawing">Cancel</button>
      </div>
    </div>
    <div class="pg-bar">
      <button type="button" data-do="to_start" aria-label="to pure noise" title="to pure noise (End)">${ICON.toNoise}</button>
      <button type="button" data-do="play" aria-label="play the reverse process" title="play from noise to data">${ICON.play}</button>
      <button type="button" data-do="to_end" aria-label="to the data" title="to the data (Home)">${ICON.toData}</button>
      <input type="range" class="pg-t" min="0" max="999" value="0" aria-label="how noisy (t)" title="how noisy (t): arrows scrub">
      <span class="pg-readout"></span>
      <select class="pg-play-speed" aria-label="playing speed"><option value="0.25">¼×</option><option value="0.5">½×</option>
        <option value="1" selected>1×</option><option value="2">2×</option></select>
    </div>
    <div class="pg-bar">
      <span class="pg-small">training time</span>
      <input type="range" class="pg-time" min="0" max="0" value="0" aria-label="training time, rewind" disabled
        title="see the samples of an earlier step; Train goes on from there">
      <span class="pg-time-readout">step 0</span>
      <button type="button" data-do="rewind" hidden title="put the network back to this step">Go back here</button>
    </div>
    <div class="pg-bar pg-views" role="group" aria-label="Views">
      ${[["data", "Data"], ["samples", "Samples"], ["forward", "Forward"], ["paths", "Paths"], ["x0", "x̂₀"], ["density", "Density"]]
        .map(([view, name]) => `<button type="button" class="pg-chip" data-view="${view}" aria-pressed="false">${name}</button>`).join("")}
      <select class="pg-score" aria-label="score arrows"><option value="off">Score arrows: off</option><option value="learned">Score: learned</option>
        <option value="exact">Score: exact</option><option value="difference">Score: difference</option></select>
    </div>
  </section>
  <aside class="pg-charts" aria-label="Charts">
    <dl class="pg-stats">
      <div><dt>step</dt><dd data-stat="step">0</dd></div><div><dt>steps/s</dt><dd data-stat="rate">–</dd></div>
      <div><dt>loss</dt><dd data-stat="loss">–</dd></div><div><dt>distance</dt><dd data-stat="distance">–</dd></div>
    </dl>
    <figure><figcaption>Loss <small>mean squared error, per batch</small></figcaption>
      <canvas data-chart="loss" role="img" aria-label="Loss against training steps"></canvas></figure>
    <figure><figcaption>Distance to the data <small class="pg-n">sliced Wasserstein-2</small></figcaption>
      <canvas data-chart="distance" role="img" aria-label="Distance of samples to data against training steps, with its floor"></canvas></figure>
    <figure><figcaption>Loss by timestep <small>and the least possible</small></figcaption>
      <canvas data-chart="by_timestep" role="img" aria-label="Loss at each timestep, with the irreducible floor"></canvas></figure>
    <p class="pg-look" aria-live="off"></p>
  </aside>`;

const find = (selector) => root.querySelector(selector);
const canvas = find("canvas[data-testid]");
let g = canvas.getContext("2d"); // where drawing goes: the stage, or for a moment its backdrop
const slider = find(".pg-t"), timeSlider = find(".pg-time"), status = find(".pg-status"), hint = find(".pg-hint");

const S = {
  scene: null, arrays: {}, study: null, exact: null, run: -1, step: 0, training: false, begun: false, wish: "", rewound: null,
  frames: [], losses: { x: [], y: [] }, distances: { x: [], y: [] }, floor: null,
  shown: null, from: null, to: null, tweenAt: 0, tweenFor: 200, lastFrameAt: 0,
  t: 0, playing: 0, playedAt: 0, hold: 0,
  views: { data: true, samples: true, forward: true, paths: false, x0: false, density: false }, score: "off",
  drawing: null, chartsDirty: true, scheduled: false,
};

// --- what stands where -------------------------------------------------------------------------------------------------

const lastT = () => (S.scene ? S.scene.T - 1 : 999);
const levelAt = (t) => [table(S.arrays.alphas.data, t), table(S.arrays.sigmas.data, t)];

function forwardAt(t) { // x_t = α_t x_0 + σ_t ε, in the data's coordinates
  const [alpha, sigma] = levelAt(t), { data } = S.arrays.points, eps = S.arrays.eps.data, { mean, std } = S.scene;
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const m = mean[i & 1];
    out[i] = alpha * (data[i] - m) + sigma * std * eps[i] + m;
  }
  return out;
}

function pathIndex(t) { // fractional index k into the path at timestep t; its t falls from T-1 to 0
  const ts = S.study.path_t.data, last = ts.length - 1;
  if (ts[0] - ts[last] < 1e-6) return (1 - t / lastT()) * last; // a sampler that stays at one noise level
  let k = 0;
  while (k < last - 1 && ts[k + 1] > t) k++;
  return k + Math.min(1, Math.max(0, (ts[k] - t) / (ts[k] - ts[k + 1] || 1)));
}

function blend({ data, shape }, index) { // row `index` (fractional) of (K, ...) arrays
  const size = data.length / shape[0], low = Math.min(Math.floor(index), shape[0] - 1), high = Math.min(low + 1, shape[0] - 1);
  const f = index - low, out = new Float32Array(size);
  for (let i = 0; i < size; i++) out[i] = data[low * size + i] * (1 - f) + data[high * size + i] * f;
  return out;
}

const samplesAt = (t) => (t > 0 && S.study ? blend(S.study.path_x, pathIndex(t)) : S.shown);

function fieldAt(kind, t) {
  const levels = S.study.field_t.data;
  let k = 0;
  while (k < levels.length - 2 && levels[k + 1] < t) k++;
  const index = k + Math.min(1, Math.max(0, (t - levels[k]) / (levels[k + 1] - levels[k])));
  const learned = kind === "exact" ? null : blend(S.study.learned, index);
  if (kind === "learned") return learned;
  if (!S.exact) return null;
  const exact = blend(S.exact, index);
  return kind === "exact" ? exact : learned.map((v, i) => v - exact[i]);
}

// --- drawing -----------------------------------------------------------------------------------------------------------

function view() { // data coordinates -> pixels
  const scale = window.devicePixelRatio || 1, size = canvas.clientWidth;
  const px = Math.round(size * scale);
  if (canvas.width !== px) { canvas.width = px; canvas.height = px; }
  const [cx, cy, half] = S.drawing ? [0, 0, 1.25] : S.scene.window;
  g.setTransform(scale, 0, 0, scale, 0, 0);
  return { size, x: (v) => ((v - cx) / half + 1) * size / 2, y: (v) => (1 - (v - cy) / half) * size / 2, k: size / 2 / half, cx, cy, half };
}

const still = document.createElement("canvas");
let stillKey = "";
function backdrop(v, colours) { // what does not move: ground and data, drawn once and then copied, half of a frame's work
  const key = [canvas.width, v.size, colours.back, S.views.data, S.views.forward, S.scene.key, S.scene.window].join();
  if (key === stillKey) return still;
  stillKey = key;
  still.width = still.height = canvas.width;
  const live = g;
  g = still.getContext("2d");
  g.setTransform(canvas.width / v.size, 0, 0, canvas.width / v.size, 0, 0);
  g.fillStyle = colours.back; g.fillRect(0, 0, v.size, v.size);
  if (S.views.data) dots(v, S.arrays.points.data, colours.data, 2.4, S.views.forward ? 0.28 : 0.5);
  g = live;
  return still;
}

function dots(v, points, colour, side, alpha) {
  g.fillStyle = colour; g.globalAlpha = alpha;
  const h = side / 2;
  for (let i = 0; i < points.length; i += 2) g.fillRect(v.x(points[i]) - h, v.y(points[i + 1]) - h, side, side);
  g.globalAlpha = 1;
}

const BINS = 56, heat = document.createElement("canvas");
heat.width = heat.height = BINS;
function density(v, points) { // a histogram, blurred twice: a kernel density estimate good enough for the eye
  let a = new Float32Array(BINS * BINS), b = new Float32Array(BINS * BINS);
  for (let i = 0; i < points.length; i += 2) {
    const x = Math.floor(((points[i] - v.cx) / v.half + 1) * BINS / 2), y = Math.floor((1 - (points[i + 1] - v.cy) / v.half) * BINS / 2);
    if (x >= 0 && y >= 0 && x < BINS && y < BINS) a[y * BINS + x] += 1;
  }
  for (const stride of [1, BINS, 1, BINS, 1, BINS]) {
    for (let i = 0; i < a.length; i++) b[i] = (a[i] * 2 + (a[i - stride] || 0) + (a[i + stride] || 0)) / 4;
    [a, b] = [b, a];
  }
  const peak = a.reduce((m, c) => Math.max(m, c), 1e-9), image = new ImageData(BINS, BINS);
  for (let i = 0; i < a.length; i++) image.data.set([230, 159, 0, 225 * (a[i] / peak) ** 0.7], 4 * i);
  heat.getContext("2d").putImageData(image, 0, 0);
  g.imageSmoothingEnabled = true;
  g.drawImage(heat, 0, 0, v.size, v.size);
}

function paths(v, t) {
  const { data, shape } = S.study.path_x, size = data.length / shape[0], end = Math.max(1, Math.ceil(t > 0 ? pathIndex(t) : shape[0] - 1));
  g.strokeStyle = COLOUR.samples; g.globalAlpha = 0.35; g.lineWidth = 1; g.beginPath();
  for (let i = 0; i < Math.min(size, 240); i += 2) {
    for (let k = 0; k <= end; k++) g[k ? "lineTo" : "moveTo"](v.x(data[k * size + i]), v.y(data[k * size + i + 1]));
  }
  g.stroke(); g.globalAlpha = 1;
}

function arrows(v, field, colour) {
  const grid = S.scene.grid, cell = v.size / (grid - 1);
  g.strokeStyle = colour; g.lineWidth = 1.3; g.beginPath();
  for (let i = 0; i < grid * grid; i++) {
    const x = (i % grid) * cell, y = v.size - Math.floor(i / grid) * cell; // row by row from the lower left
    const dx = field[2 * i], dy = -field[2 * i + 1], norm = Math.hypot(dx, dy);
    if (norm < 1e-3) continue;
    const reach = (cell * 0.9 * Math.tanh(norm / 2)) / norm, ex = x + dx * reach, ey = y + dy * reach;
    const hx = dx * reach * 0.28, hy = dy * reach * 0.28;
    g.moveTo(x, y); g.lineTo(ex, ey);
    g.moveTo(ex - hx - hy * 0.6, ey - hy + hx * 0.6); g.lineTo(ex, ey); g.lineTo(ex - hx + hy * 0.6, ey - hy - hx * 0.6);
  }
  g.stroke();
}

function strokes(v) {
  g.strokeStyle = COLOUR.samples; g.lineCap = g.lineJoin = "round"; g.lineWidth = 0.06 * v.k;
  for (const stroke of S.drawing.strokes) {
    g.beginPath();
    stroke.forEach(([x, y], i) => g[i ? "lineTo" : "moveTo"](v.x(x), v.y(y)));
    if (stroke.length === 1) g.lineTo(v.x(stroke[0][0]) + 0.01, v.y(stroke[0][1]));
    g.stroke();
  }
  g.lineWidth = 1; g.strokeStyle = ink().faint; g.setLineDash([4, 4]);
  g.strokeRect(v.x(-1), v.y(1), 2 * v.k, 2 * v.k); g.setLineDash([]);
}

function paint() {
  if (!S.scene || !canvas.clientWidth) return;
  const v = view(), { t, views } = S, colours = ink();
  if (S.drawing) {
    g.fillStyle = colours.back; g.fillRect(0, 0, v.size, v.size);
    strokes(v);
  } else {
    const samples = S.shown && samplesAt(t);
    g.drawImage(backdrop(v, colours), 0, 0, v.size, v.size);
    if (views.density && (samples || S.arrays.points)) density(v, samples || forwardAt(t));
    if (views.density && views.data) dots(v, S.arrays.points.data, colours.data, 2.4, 0.5); // it would hide them
    if (views.forward) dots(v, forwardAt(t), COLOUR.noise, 2.6, 0.7);
    if (views.paths && S.study) paths(v, t);
    if (views.samples && samples) dots(v, samples, COLOUR.samples, 3.2, 0.9);
    if (views.x0 && S.study) dots(v, blend(S.study.path_x0, pathIndex(t)), COLOUR.x0, 3, 0.85);
    if (S.score !== "off" && S.study) {
      const field = fieldAt(S.score, t);
      if (field) arrows(v, field, S.score === "exact" ? COLOUR.exact : S.score === "learned" ? COLOUR.noise : COLOUR.warning);
    }
  }
  canvas.dataset.painted = Number(canvas.dataset.painted) + 1;
}

function tick(now) {
  S.scheduled = false;
  if (S.to) {
    const f = calm.matches ? 1 : Math.min(1, (now - S.tweenAt) / S.tweenFor);
    for (let i = 0; i < S.to.length; i++) S.shown[i] = S.from[i] + (S.to[i] - S.from[i]) * f;
    if (f >= 1) S.to = null;
  }
  if (S.playing) advance(now);
  paint();
  if (S.chartsDirty) charts();
  if (S.to || S.playing) wake();
}
function wake() {
  if (!S.scheduled) { S.scheduled = true; requestAnimationFrame(tick); }
}

function advance(now) {
  const passed = Math.min(now - S.playedAt, 100) / 1000;
  S.playedAt = now;
  if ((S.hold -= passed) > 0) return;
  const next = S.t + S.playing * passed * (lastT() / PLAY_SECONDS) * Number(find(".pg-play-speed").value);
  setT(Math.min(lastT(), Math.max(0, next)), true);
  if (next <= 0 || next >= lastT()) {
    S.hold = 0.8;
    if (S.shown && S.views.samples) setT(next <= 0 ? lastT() : S.t, true); // reverse process: start again from noise
    else S.playing = next <= 0 ? 1 : -1; // nothing learned yet: data to noise and back
  }
}

// --- charts and words --------------------------------------------------------------------------------------------------

let chartsAt = 0;
function charts() {
  const now = performance.now();
  if (now - chartsAt < 320) return void setTimeout(wake, 340);
  chartsAt = now; S.chartsDirty = false;
  const colours = ink(), by = S.study && S.study.by_t;
  drawChart(find("[data-chart=loss]"), { series: [{ ...S.losses, color: COLOUR.samples }], xLabel: "steps", empty: "press Train" }, colours);
  const series = [{ ...S.distances, color: COLOUR.samples }];
  if (S.floor != null && S.distances.x.length) series.push({ x: [S.distances.x[0], S.distances.x.at(-1)], y: [S.floor, S.floor], color: colours.faint, dash: [4, 3], label: "floor: data to data", below: true });
  drawChart(find("[data-chart=distance]"), { series, xLabel: "steps", yLog: true, empty: "press Train" }, colours);
  drawChart(find("[data-chart=by_timestep]"), {
    series: by ? [{ x: by.data, y: S.study.by_loss.data, color: COLOUR.samples, label: "learned" }, { x: by.data, y: S.study.by_floor.data, color: COLOUR.exact, dash: [4, 3], label: "floor", below: true }] : [],
    xLabel: "t", yFrom0: true, cursor: by ? S.t : null, empty: "press Train",
  }, colours);
}

function words() {
  const put = (name, text) => { find(`[data-stat=${name}]`).textContent = text; };
  put("step", S.step.toLocaleString("en"));
  put("loss", S.losses.y.length ? S.losses.y.at(-1).toPrecision(3) : "–");
  put("distance", S.distances.y.length ? `${S.distances.y.at(-1).toFixed(3)}` : "–");
  find(".pg-n").textContent = `sliced Wasserstein-2, N = ${S.shown ? (S.shown.length / 2).toLocaleString("en") : "1,000"}${S.floor == null ? "" : `, floor ${S.floor.toFixed(3)}`}${S.calls ? `, ${S.calls} network calls` : ""}`;
  const buttons = { train: S.training, pause: !S.training, one_step: S.training, reset: false };
  for (const [name, off] of Object.entries(buttons)) find(`[data-do=${name}]`).disabled = off;
  if (S.training && document.activeElement === document.body) find("[data-do=pause]").focus({ preventScroll: true });
  timeSlider.disabled = S.frames.length < 2;
  timeSlider.max = Math.max(0, S.frames.length - 1);
  if (S.rewound == null) timeSlider.value = timeSlider.max;
  timeSlider.setAttribute("aria-valuetext", `step ${S.rewound ?? S.step}`);
  find(".pg-time-readout").textContent = S.rewound == null ? `step ${S.step}` : `step ${S.rewound} of ${S.step}`;
  find("[data-do=rewind]").hidden = S.rewound == null || S.training;
  for (const chip of root.querySelectorAll("[data-view]")) chip.setAttribute("aria-pressed", S.views[chip.dataset.view]);
  legend();
}

function legend() {
  const parts = [];
  const add = (on, colour, text) => on && parts.push(`<span><i style="background:${colour}"></i>${text}</span>`);
  if (!S.drawing) {
    add(S.views.data, ink().data, "data");
    add(S.views.forward, COLOUR.noise, "data + noise");
    add(S.views.samples && S.shown, COLOUR.samples, "samples");
    add(S.views.x0 && S.study, COLOUR.x0, "x̂₀, the guess");
    add(S.score === "learned", COLOUR.noise, "learned score");
    add(S.score === "exact", COLOUR.exact, "exact score");
    add(S.score === "difference", COLOUR.warning, "learned − exact");
  }
  find(".pg-legend").innerHTML = parts.join("");
}

function readout() {
  if (!S.scene) return;
  const [alpha, sigma] = levelAt(S.t), signal = alpha * alpha / (alpha * alpha + sigma * sigma);
  const noise = S.t === 0 ? "data" : `${Math.round(100 * (1 - signal))} % noise`;
  find(".pg-readout").textContent = `t = ${Math.round(S.t)} · ${noise}`;
  slider.setAttribute("aria-valuetext", `t = ${Math.round(S.t)} of ${lastT()}, ${noise}`);
}

function setT(t, quiet) {
  S.t = t;
  slider.value = t;
  canvas.dataset.t = Math.round(t);
  readout();
  if (S.study && !quiet) S.chartsDirty = true;
  wake();
}

function say(text, wrong) {
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("pg-wrong", !!wrong);
}

function play(direction) {
  S.playing = direction; S.playedAt = performance.now(); S.hold = 0;
  const button = find("[data-do=play]");
  button.innerHTML = direction ? ICON.stop : ICON.play;
  button.setAttribute("aria-label", direction ? "stop playing" : "play the reverse process");
  if (direction) wake(); else S.chartsDirty = true, wake();
}

function forget(run) {
  Object.assign(S, { run, step: 0, study: null, frames: [], losses: { x: [], y: [] }, distances: { x: [], y: [] }, floor: null,
    shown: null, from: null, to: null, rewound: null, chartsDirty: true });
  canvas.dataset.step = 0;
  find("[data-stat=rate]").textContent = "–";
}

// --- what Python sends -------------------------------------------------------------------------------------------------

function onScene(text) {
  const { meta, arrays } = unpack(text);
  if (meta.run < S.run) return; // overtaken by a newer one
  const first = S.scene == null, anew = meta.run !== S.run;
  if (!first && String(meta.key) !== String(S.scene.key)) S.exact = null; // it belongs to the data and the schedule
  S.scene = meta;
  Object.assign(S.arrays, arrays);
  if (anew) forget(meta.run);
  slider.max = meta.T - 1;
  S.t = Math.min(S.t, meta.T - 1);
  find(".pg-look").textContent = meta.look;
  find(".pg-warning").textContent = meta.warning; find(".pg-warning").hidden = !meta.warning;
  S.training = meta.running;
  if (S.drawing && S.drawing.sent) actions.cancel_drawing(); // it has become the data
  if (anew) {
    S.views.forward = true;
    if (!S.training) { say(first ? "Press Train" : "New experiment: press Train"); hint.textContent = first ? "The data dissolve into noise. Press Train to learn the way back." : ""; setT(0); if (!calm.matches) play(1); }
  }
  if (meta.link != null) keepLink(meta.link);
  if (!anew) askForScore();
  S.chartsDirty = true;
  readout(); words(); wake();
  if (S.early) { const early = S.early; S.early = null; onFrame(early); }
}

function onFrame(text) {
  const { meta, arrays } = unpack(text), now = performance.now();
  if (meta.run != null && meta.run < S.run) return; // of an experiment that is over
  if (meta.run > S.run) { S.early = text; return; } // its scene is still on the way
  if (meta.rewound) fork(meta.step);
  S.training = !!meta.running; S.heardAt = now;
  if (S.training && !S.begun && S.wish) trigger(S.wish, {}); // the run began after Pause or Reset was pressed
  S.begun = S.training;
  if (!S.training) S.wish = "";
  if (meta.step != null) S.step = meta.step;
  if (meta.calls != null) S.calls = meta.calls;
  if (meta.forked) fork(meta.step - 1); // the lab went on from the checkpoint before the frame that was shown
  for (const [step, loss] of meta.losses || []) { S.losses.x.push(step); S.losses.y.push(loss); thin(S.losses); }
  if (meta.distance != null) { S.distances.x.push(meta.step); S.distances.y.push(meta.distance); S.floor = meta.floor; thin(S.distances); }
  if (meta.running) find("[data-stat=rate]").textContent = Math.round(meta.rate).toLocaleString("en");
  if (arrays.x) {
    hint.textContent = "";
    if (!S.shown || !S.frames.length) {
      S.views.forward = false; S.views.samples = true;
      if (S.playing) { play(0); setT(0); } // the data's way into noise made room for the first samples
    }
    if (!S.frames.length || meta.step > S.frames.at(-1).step) S.frames.push({ step: meta.step, x: arrays.x.data });
    if (S.frames.length > MAX_FRAMES) thinFrames(S.frames);
    if (S.rewound == null) glideTo(arrays.x.data, now);
    canvas.dataset.frames = Number(canvas.dataset.frames) + 1;
    canvas.dataset.step = meta.step;
  }
  if (arrays.path_t) S.study = arrays;
  if (arrays.exact) S.exact = arrays.exact;
  if (arrays.path_t && !arrays.exact) askForScore(); // new data, or a new network: the exact score is still to come
  say(meta.note || (S.training ? (S.wish ? "Pausing …" : "Training") : meta.status || (S.step ? `Paused at step ${S.step.toLocaleString("en")}` : "Press Train")), meta.note);
  S.chartsDirty = true;
  words(); readout(); wake();
}

function fork(step) { // training goes on from here: what came later is gone
  for (const line of [S.losses, S.distances]) {
    const keep = line.x.filter((x) => x <= step).length;
    line.x.length = line.y.length = keep;
  }
  S.frames = S.frames.filter((f) => f.step <= step);
  S.rewound = null;
}

function keepLink(link) { // the address holds the experiment; what others put there (a theme, a Space's token) stays
  const query = new URLSearchParams(link);
  for (const [name, value] of new URLSearchParams(location.search)) if (name.startsWith("__")) query.append(name, value);
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`);
}

function glideTo(x, now) {
  S.tweenFor = Math.min(600, Math.max(60, 0.5 * S.tweenFor + 0.5 * (now - S.lastFrameAt)));
  S.lastFrameAt = now;
  if (!S.shown || S.shown.length !== x.length) S.shown = x.slice();
  S.from = S.shown.slice(); S.to = x; S.tweenAt = now;
}

function askForScore() {
  const exact = S.score === "exact" || S.score === "difference";
  if (S.score !== "off" && (!S.study || (exact && !S.exact))) trigger("look", { exact });
}

// --- what visitors do --------------------------------------------------------------------------------------------------

function goOnFrom(event) {
  const { rewound } = S;
  if (rewound != null) fork(rewound);
  trigger(event, { rewind: rewound });
}

const actions = {
  train() {
    if (!S.scene || S.training) return;
    S.training = true; S.lastFrameAt = S.heardAt = performance.now();
    play(0); setT(0); words(); say("Starting …");
    goOnFrom("train");
  },
  pause() { if (S.training) { S.wish = "pause"; say("Pausing …"); trigger("pause", {}); } },
  one_step() {
    if (!S.scene || S.training) return;
    play(0); setT(0);
    goOnFrom("one_step");
  },
  reset() { if (S.scene) { play(0); S.wish = S.training ? "reset" : ""; trigger("reset", {}); } },
  rewind() { trigger("rewind", { rewind: S.rewound }); },
  to_start() { play(0); setT(lastT()); },
  to_end() { play(0); setT(0); },
  play() {
    if (S.playing) return play(0);
    if (!S.scene) return undefined;
    if (S.shown && S.views.samples && S.t <= 0) setT(lastT());
    return play(S.shown && S.views.samples ? -1 : 1);
  },
  draw() {
    if (!S.scene) return;
    play(0); S.drawing = { strokes: [], pointer: null };
    find(".pg-brush").hidden = false; hint.textContent = "";
    canvas.style.touchAction = "none"; // a finger draws; it does not scroll
    words(); wake();
  },
  clear_drawing() { S.drawing.strokes = []; wake(); },
  cancel_drawing() { S.drawing = null; canvas.style.touchAction = ""; find(".pg-brush").hidden = true; words(); wake(); },
  use_drawing() {
    const drawn = S.drawing.strokes;
    if (!drawn.length) return say("Draw something first.", true);
    S.drawing.sent = true; // the brush stays until the drawing is taken: a refused one can be mended
    return trigger("drawn", { strokes: drawn });
  },
  picture() {
    canvas.toBlob((blob) => download(blob, `toy-lab-step-${S.step}-t-${Math.round(S.t)}.png`));
  },
};

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) actions[button.dataset.do]();
  if (button.dataset.view) { S.views[button.dataset.view] = !S.views[button.dataset.view]; words(); wake(); }
});
slider.addEventListener("input", () => { play(0); setT(Number(slider.value)); });
timeSlider.addEventListener("input", () => {
  const at = Number(timeSlider.value), frame = S.frames[at];
  S.rewound = at < S.frames.length - 1 ? frame.step : null;
  S.to = null; S.shown = frame.x.slice();
  if (S.t > 0) setT(0);
  words(); wake();
});
find(".pg-bar select").addEventListener("change", (event) => trigger("speed", { steps_per_second: SPEEDS[event.target.value] }));
find(".pg-score").addEventListener("change", (event) => {
  S.score = event.target.value;
  askForScore();
  words(); wake();
});
document.addEventListener("keydown", (event) => {
  if (S.drawing || !keyIsOurs(event, root, canvas)) return;
  const fine = Math.max(1, Math.round(lastT() / 100));
  const keys = {
    " ": () => actions[S.training ? "pause" : "train"](), ".": actions.one_step,
    ArrowRight: () => { play(0); setT(Math.min(lastT(), S.t + fine)); }, ArrowLeft: () => { play(0); setT(Math.max(0, S.t - fine)); },
    Home: actions.to_end, End: actions.to_start,
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width * 2 - 1) * 1.25, (1 - (event.clientY - box.top) / box.height * 2) * 1.25];
};
canvas.addEventListener("pointerdown", (event) => {
  if (!S.drawing) return;
  event.preventDefault(); canvas.setPointerCapture(event.pointerId);
  S.drawing.pointer = event.pointerId; S.drawing.strokes.push([place(event)]); wake();
});
canvas.addEventListener("pointermove", (event) => {
  if (!S.drawing || S.drawing.pointer !== event.pointerId) return;
  const stroke = S.drawing.strokes.at(-1), [x, y] = place(event), [px, py] = stroke.at(-1);
  if (Math.hypot(x - px, y - py) > 0.01) { stroke.push([+x.toFixed(3), +y.toFixed(3)]); wake(); }
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { if (S.drawing) S.drawing.pointer = null; });

new ResizeObserver(() => { S.chartsDirty = true; wake(); }).observe(root);
new MutationObserver(() => { S.chartsDirty = true; wake(); }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
document.addEventListener("playground:toy-scene", (event) => onScene(event.detail));
document.addEventListener("playground:toy-file", (event) => saveFile(event.detail));
document.addEventListener("playground:toy-look", (event) => onFrame(event.detail));
watch("value", () => { if (props.value) onFrame(props.value); });
setInterval(() => { // a lost connection must not leave the page waiting for ever
  if (!S.training || performance.now() - S.heardAt < SILENCE) return;
  S.training = S.begun = false; S.wish = "";
  words(); say("No news for a while: is the server still there? Press Train to try again.", true);
}, 2000);
words();
trigger("ready", { search: location.search });
