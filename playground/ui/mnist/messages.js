// What Python sends to the MNIST stage: scenes, paths, news, and the frames of a training run.

const take = inOrder(say);

function onScene({ meta, arrays }) {
  const first = S.scene == null;
  const { T, classes } = meta;
  S.scene = { meta, arrays, signal: newLine(), noise: newLine() };
  for (let k = 0; k <= 64; k++) {
    const t = Math.round((k / 64) * (T - 1));
    const [alpha, sigma] = levelAt(t);
    const signal = (alpha * alpha) / (alpha * alpha + sigma * sigma);
    S.scene.signal.x.push(t);
    S.scene.signal.y.push(signal);
    S.scene.noise.x.push(t);
    S.scene.noise.y.push(1 - signal);
  }
  S.forward = forwardFilm({ meta, arrays });
  dropAtlases();
  setText(".pg-warning", meta.warning || "");
  find(".pg-warning").hidden = !meta.warning;
  find(".pg-label").replaceChildren(...classes.map((name, k) => new Option(name, k)));
  for (const [k, choice] of [...find(".pg-chosen").options].entries()) {
    choice.hidden = k >= S.forward.shape[0];
    choice.text = meta.labels[k] == null ? k + 1 : `${k + 1}: ${classes[meta.labels[k]]}`;
  }
  slider.max = T - 1;
  if (first) sayWhereItStands();
  setT(first ? (calm.matches ? Math.round(0.4 * T) : T - 1) : Math.min(S.t, T - 1));
  updateTexts();
  measure();
}

function onPath(message) {
  const { meta } = message;
  const path = pathFilm(message);
  const several = meta.slots > 1;
  if (several) {
    if (S.compare.id !== meta.id) S.compare = { id: meta.id, slots: meta.slots, paths: new Map() };
    S.compare.paths.set(meta.slot, path);
  } else S.path = path;
  canvas.dataset.paths = Number(canvas.dataset.paths) + 1;
  const complete = !several || S.compare.paths.size === S.compare.slots;
  if (complete) {
    S.sampling = false;
    progress(null);
  }
  dropAtlases();
  S.heardAt = performance.now();
  if (S.mode !== "train") show(several ? "compare" : "both");
  if (complete && S.mode !== "train") {
    sayWhereItStands();
    playFromNoise();
  }
  updateTexts();
  measure();
}

function onNews({ meta }) {
  S.heardAt = performance.now();
  if (meta.running != null) {
    S.training = meta.running;
    if (!S.training) Object.assign(S, { begun: false, requested: "" });
  }
  if (meta.sampling != null) S.sampling = meta.sampling;
  if (meta.progress !== undefined) progress(meta.progress && meta.progress[0] / meta.progress[1]);
  if (meta.sampling === false) progress(null);
  if (meta.status != null) say(meta.status, meta.wrong);
  updateTexts();
  wake();
}

function onFrame({ meta, arrays }) {
  const now = performance.now();
  if (meta.run != null && meta.run < S.run) return; // of an experiment that is over
  if (meta.run > S.run) startRun(meta.run);
  heardOfRun(S, !!meta.running, !!meta.running && meta.step != null); // before its first step Pause could stop nothing
  if (meta.step != null) {
    if (meta.step < S.step) forkAt(S, lines(), meta.step); // the lab went back
    S.step = meta.step;
  }
  if (meta.rate) S.rate = meta.rate;
  for (const [step, loss] of meta.losses || []) addPoint(S.losses, step, loss);
  if (meta.right != null) addPoint(S.rights, meta.step, meta.right);
  if (arrays.labels) S.labels = arrays.labels.data;
  if (arrays.x) {
    keepFrame(S.frames, { step: meta.step, ...arrays.x });
    S.shape = arrays.x.shape;
    if (S.rewound == null) fadeTo(arrays.x, now);
    canvas.dataset.frames = Number(canvas.dataset.frames) + 1;
    canvas.dataset.step = meta.step;
  }
  if (meta.note) say(meta.note, !meta.calm);
  else if (S.mode === "train") sayWhereItStands();
  S.chartsDirty = true;
  updateTexts();
  wake();
}

// Those of films that are gone.
function dropAtlases() {
  const alive = new Set([S.forward, S.path, ...S.compare.paths.values()].map((film) => String(film && film.id)));
  for (const key of S.atlases.keys()) if (key !== "train" && !alive.has(key.split(".")[0])) S.atlases.delete(key);
}

// All of an earlier run is gone.
function startRun(run) {
  Object.assign(S, { run, step: 0, frames: [], rewound: null, losses: newLine(), rights: newLine(), rate: null });
  Object.assign(S, { shown: null, to: null });
  canvas.dataset.step = 0;
}

function fadeTo(images, now) {
  S.tweenFor = Math.min(900, Math.max(120, 0.5 * S.tweenFor + 0.4 * (now - S.lastFrameAt)));
  S.lastFrameAt = now;
  if (!S.shown || S.shown.length !== images.data.length) S.shown = floats(images);
  Object.assign(S, { from: S.shown.slice(), to: images, tweenAt: now });
}
