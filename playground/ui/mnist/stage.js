// The MNIST tab's stage: what Python sends (see digits.py), and what visitors do. Scrubbing, playing and rewinding happen
// here, without a request.

// --- words ---------------------------------------------------------------------------------------------------------------

const setText = (selector, text) => { const at = find(selector); if (at.textContent !== text) at.textContent = text; };
const stat = (name, text) => setText(`[data-stat=${name}]`, text);
const disable = (name, off) => { find(`[data-do=${name}]`).disabled = off; };

function words() {
  for (const part of root.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(S.mode);
  for (const chip of root.querySelectorAll("[data-mode]")) chip.setAttribute("aria-pressed", chip.dataset.mode === S.mode);
  for (const name of ["large", "reads"]) find(`[data-do=${name}]`).setAttribute("aria-pressed", S[name]);
  const readable = filmsShown().some((f) => f.read);
  if (S.scene && !readable) for (const part of root.querySelectorAll(".pg-reads, [data-do=reads]")) part.hidden = true;
  setText(".pg-keys", S.mode === "both" && S.path ? "forward grey, reverse orange" : "");
  disable("generate", !S.scene || S.sampling); disable("stop", !S.sampling);
  disable("train", !S.scene || S.training); disable("pause", !S.training);
  find(".pg-chosen").value = S.chosen;
  const name = (f) => S.scene.meta.classes[f && f.labels[S.chosen]];
  setText(".pg-read-of", S.mode === "both" && S.scene ? [name(S.forward) && `real ${name(S.forward)}`, name(S.path) && `asked for ${name(S.path)}`].filter(Boolean).join(", ") : "");
  const path = S.mode === "compare" ? comparing()[0] : S.path, meta = path ? path.meta : {};
  stat("steps", path ? String(path.angle.length - 1) : "–");
  stat("calls", meta.calls != null ? meta.calls.toLocaleString("en") : "–");
  stat("seconds", meta.seconds != null ? meta.seconds.toFixed(1) : "–");
  stat("seed", meta.seed != null ? String(meta.seed) : "–");
  stat("step", S.step.toLocaleString("en"));
  stat("rate", S.rate == null ? "–" : S.rate < 10 ? S.rate.toFixed(1) : Math.round(S.rate).toLocaleString("en"));
  stat("loss", S.losses.y.length ? S.losses.y.at(-1).toPrecision(3) : "–");
  stat("right", S.rights.y.length ? `${Math.round(100 * S.rights.y.at(-1))} %` : "–");
  timeSlider.disabled = S.frames.length < 2;
  timeSlider.max = Math.max(0, S.frames.length - 1);
  if (S.rewound == null) timeSlider.value = timeSlider.max;
  timeSlider.setAttribute("aria-valuetext", `step ${S.rewound ?? S.step}`);
  setText(".pg-time-readout", S.rewound == null ? `step ${S.step}` : `step ${S.rewound} of ${S.step}`);
  find("[data-do=rewind]").hidden = S.rewound == null || S.training;
  readout();
}

function readout() {
  if (!S.scene) return;
  const [alpha, sigma] = levelAt(S.t), signal = alpha * alpha / (alpha * alpha + sigma * sigma), dB = 20 * Math.log10(alpha / sigma);
  const snr = !Number.isFinite(dB) || dB > 99 ? (dB > 0 ? "∞" : "−∞") : `${dB < 0 ? "−" : ""}${Math.abs(dB).toFixed(1)} dB`;
  const t = S.t < 0 ? "the data" : `t = ${Math.round(S.t)}`;
  setText(".pg-readout", `${t} · ᾱ = ${signal.toFixed(2)} · SNR ${snr}`);
  setText(".pg-snr", `ᾱ = ${signal.toFixed(3)}, SNR ${snr}`);
  const where = S.mode === "both" && S.path && S.path.at != null ? `, ${standing(S.path)}` : "";
  slider.setAttribute("aria-valuetext", `${t}, ${Math.round(100 * (1 - signal))} % noise${where}`);
}

function say(text, wrong) {
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("pg-wrong", !!wrong);
}

function progress(share) { // null: nothing is under way
  const bar = find(".pg-progress i");
  bar.style.width = share == null ? "0" : `${100 * share}%`;
  bar.parentElement.classList.toggle("pg-on", share != null);
}

function show(mode) {
  if (S.mode === mode) return;
  S.mode = mode;
  if (mode === "train") play(false);
  if (!S.sampling) sayWhatNow();
  words(); measure();
}

function sayWhatNow() {
  if (S.mode === "train") say(S.training ? (S.wish ? "Pausing …" : "Training") : S.step ? `Paused at step ${S.step.toLocaleString("en")}` : "Press Train");
  else if (S.mode === "compare") say(S.compare.paths.size ? "Compare them with the slider" : "Press Generate");
  else say(S.path ? `${S.path.meta.title}, ${S.path.meta.caption}` : "Press Generate");
}

function setT(t) {
  S.t = t;
  slider.value = Math.round(t);
  canvas.dataset.t = Math.round(t);
  S.chartsDirty = true;
  readout(); wake();
}

function play(on) {
  if (!on && !S.playing) return;
  clearTimeout(S.holding);
  Object.assign(S, { playing: on, holding: 0, playedAt: performance.now() });
  const button = find("[data-do=play]");
  button.innerHTML = on ? ICON.stop : ICON.play;
  button.setAttribute("aria-label", on ? "stop playing" : "play the reverse process");
  if (on && S.t <= -1) setT(lastT());
  wake();
}

function begin() { // something new to watch
  if (calm.matches) { play(false); setT(-1); } else { setT(lastT()); play(true); }
}

// --- what Python sends ---------------------------------------------------------------------------------------------------

let arriving = Promise.resolve();
function take(text, use) { // one after the other: inflating takes a moment, and a small message must not overtake a large one
  arriving = arriving.then(async () => use(await unpackLater(text))).catch((error) => {
    console.error(error);
    say("A message from the server could not be read. Reload the page.", true);
  });
}

function onScene({ meta, arrays }) {
  const first = S.scene == null, { T, classes } = meta;
  S.scene = { meta, arrays, signal: { x: [], y: [] }, noise: { x: [], y: [] } };
  for (let k = 0; k <= 64; k++) {
    const t = Math.round(k / 64 * (T - 1)), [alpha, sigma] = levelAt(t), signal = alpha * alpha / (alpha * alpha + sigma * sigma);
    S.scene.signal.x.push(t); S.scene.signal.y.push(signal);
    S.scene.noise.x.push(t); S.scene.noise.y.push(1 - signal);
  }
  S.forward = forwardFilm({ meta, arrays });
  forgetAtlases();
  setText(".pg-warning", meta.warning || ""); find(".pg-warning").hidden = !meta.warning;
  find(".pg-label").replaceChildren(...classes.map((name, k) => new Option(name, k)));
  for (const [k, choice] of [...find(".pg-chosen").options].entries()) {
    choice.hidden = k >= S.forward.shape[0];
    choice.text = meta.labels[k] == null ? k + 1 : `${k + 1}: ${classes[meta.labels[k]]}`;
  }
  slider.max = T - 1;
  if (first) sayWhatNow();
  setT(first ? (calm.matches ? Math.round(0.4 * T) : T - 1) : Math.min(S.t, T - 1));
  words(); measure();
}

function onPath(message) {
  const { meta } = message, path = pathFilm(message);
  const several = meta.slots > 1;
  if (several) {
    if (S.compare.id !== meta.id) S.compare = { id: meta.id, slots: meta.slots, paths: new Map() };
    S.compare.paths.set(meta.slot, path);
  } else S.path = path;
  canvas.dataset.paths = Number(canvas.dataset.paths) + 1;
  const complete = !several || S.compare.paths.size === S.compare.slots;
  if (complete) { S.sampling = false; progress(null); }
  forgetAtlases();
  S.heardAt = performance.now();
  if (S.mode !== "train") show(several ? "compare" : "both");
  if (complete && S.mode !== "train") { sayWhatNow(); begin(); }
  words(); measure();
}

function onNews({ meta }) {
  S.heardAt = performance.now();
  if (meta.running != null) { S.training = meta.running; if (!S.training) Object.assign(S, { begun: false, wish: "" }); }
  if (meta.sampling != null) S.sampling = meta.sampling;
  if (meta.progress !== undefined) progress(meta.progress && meta.progress[0] / meta.progress[1]);
  if (meta.sampling === false) progress(null);
  if (meta.status != null) say(meta.status, meta.wrong);
  words(); wake();
}

function onFrame({ meta, arrays }) {
  const now = performance.now();
  if (meta.run != null && meta.run < S.run) return; // of an experiment that is over
  if (meta.run > S.run) forgetRun(meta.run);
  S.training = !!meta.running; S.heardAt = now;
  if (S.training && !S.begun && S.wish) trigger(S.wish, {}); // the run began after Pause or Reset was pressed
  S.begun = S.training && meta.step != null; // before the first step there is nothing that Pause could stop
  if (!S.training) S.wish = "";
  if (meta.step != null) {
    if (meta.step < S.step) fork(meta.step); // the lab went back
    S.step = meta.step;
  }
  if (meta.rate) S.rate = meta.rate;
  for (const [step, loss] of meta.losses || []) { S.losses.x.push(step); S.losses.y.push(loss); thin(S.losses); }
  if (meta.right != null) { S.rights.x.push(meta.step); S.rights.y.push(meta.right); thin(S.rights); }
  if (arrays.labels) S.labels = arrays.labels.data;
  if (arrays.x) {
    if (!S.frames.length || meta.step > S.frames.at(-1).step) S.frames.push({ step: meta.step, ...arrays.x });
    if (S.frames.length > MAX_FRAMES) thinFrames(S.frames);
    S.shape = arrays.x.shape;
    if (S.rewound == null) fadeTo(arrays.x, now);
    canvas.dataset.frames = Number(canvas.dataset.frames) + 1;
    canvas.dataset.step = meta.step;
  }
  if (meta.note) say(meta.note, !meta.calm); else if (S.mode === "train") sayWhatNow();
  S.chartsDirty = true;
  words(); wake();
}

function forgetAtlases() { // of films that are gone
  const alive = new Set([S.forward, S.path, ...S.compare.paths.values()].map((f) => String(f && f.id)));
  for (const key of S.atlases.keys()) if (key !== "train" && !alive.has(key.split(".")[0])) S.atlases.delete(key);
}

function forgetRun(run) {
  Object.assign(S, { run, step: 0, frames: [], losses: { x: [], y: [] }, rights: { x: [], y: [] }, rate: null, shown: null, to: null, rewound: null });
  canvas.dataset.step = 0;
}

function fork(step) { // training goes on from here: what came later is gone
  for (const line of [S.losses, S.rights]) line.x.length = line.y.length = line.x.filter((x) => x <= step).length;
  S.frames = S.frames.filter((f) => f.step <= step);
  S.rewound = null;
}

function fadeTo(images, now) {
  S.tweenFor = Math.min(900, Math.max(120, 0.5 * S.tweenFor + 0.4 * (now - S.lastFrameAt)));
  S.lastFrameAt = now;
  if (!S.shown || S.shown.length !== images.data.length) S.shown = Float32Array.from(images.data, (v) => v * images.scale);
  Object.assign(S, { from: S.shown.slice(), to: images, tweenAt: now });
}

// --- what visitors do ----------------------------------------------------------------------------------------------------

function goOnFrom(event) {
  const { rewound } = S;
  if (rewound != null) fork(rewound);
  trigger(event, { rewind: rewound });
}

function ask(event, data, text) { // for a path: it comes as soon as it is computed
  Object.assign(S, { sampling: true, heardAt: performance.now() });
  progress(0); say(text); words();
  trigger(event, data);
}

const actions = {
  ...paperActions,
  generate() { ask("generate", { mode: S.mode }, "Generating …"); },
  stop() { trigger("stop", {}); },
  another() { trigger("another", {}); },
  train() {
    if (!S.scene || S.training) return;
    S.training = true; S.lastFrameAt = S.heardAt = performance.now();
    say("Starting …"); goOnFrom("train"); words();
  },
  pause() { if (S.training) { S.wish = "pause"; say("Pausing …"); trigger("pause", {}); } },
  reset() { S.wish = S.training ? "reset" : ""; trigger("reset", {}); },
  rewind() { trigger("rewind", { rewind: S.rewound }); },
  to_noise() { play(false); setT(lastT()); },
  to_data() { play(false); setT(-1); },
  play() { if (S.scene) play(!S.playing); },
  large() { S.large = !S.large; words(); wake(); },
  reads() { S.reads = !S.reads; words(); wake(); },
  draw() { play(false); openPaper("draw", 0, null); },
  repaint() {
    if (!S.scene) return;
    play(false);
    const f = S.forward, [, , high, wide] = f.shape, atlas = newAtlas();
    tint(atlas, f.x0, f.shape, false);
    openPaper("mask", S.chosen, (g) => g.drawImage(atlas.sheet, 0, S.chosen * high, wide, high, 0, 0, PAPER, PAPER));
  },
  picture() {
    const at = S.mode === "train" ? `step-${S.rewound ?? S.step}` : `t-${Math.round(S.t)}`;
    const copy = document.createElement("canvas"), g = copy.getContext("2d");
    copy.width = canvas.width; copy.height = canvas.height;
    g.fillStyle = ink().back; g.fillRect(0, 0, copy.width, copy.height); g.drawImage(canvas, 0, 0);
    copy.toBlob((blob) => download(blob, `digits-${S.mode}-${at}.png`));
  },
};

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) actions[button.dataset.do]();
  if (button.dataset.mode) show(button.dataset.mode);
});
slider.addEventListener("input", () => { play(false); setT(Number(slider.value)); });
timeSlider.addEventListener("input", () => {
  const at = Number(timeSlider.value), frame = S.frames[at];
  S.rewound = at < S.frames.length - 1 ? frame.step : null;
  S.to = null; S.stamp = performance.now();
  S.shown = Float32Array.from(frame.data, (v) => v * frame.scale);
  words(); wake();
});
function choose(k) {
  S.chosen = k; S.chartsDirty = true;
  words(); wake();
}
find(".pg-chosen").addEventListener("change", (event) => choose(Number(event.target.value)));
canvas.addEventListener("click", (event) => {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const hit = S.places.find((p) => x >= p.x && y >= p.y && x < p.x + p.tile && y < p.y + p.tile);
  if (!hit || S.mode === "train") return;
  if (S.large || hit.k === S.chosen) actions.large(); else choose(hit.k);
});
document.addEventListener("keydown", (event) => {
  if (paper.open || !keyIsOurs(event, root, canvas)) return;
  const fine = Math.max(1, Math.round(lastT() / 100)), training = S.mode === "train";
  const keys = training ? { " ": actions[S.training ? "pause" : "train"] } : {
    " ": actions.play, Home: actions.to_data, End: actions.to_noise,
    ArrowRight: () => { play(false); setT(Math.min(lastT(), Math.round(S.t) + fine)); }, ArrowLeft: () => { play(false); setT(Math.max(-1, Math.round(S.t) - fine)); },
    ...(event.target === canvas ? { Enter: actions.large } : {}),
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

new ResizeObserver(measure).observe(root);
window.addEventListener("resize", measure);
new MutationObserver(() => { S.chartsDirty = true; wake(); }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
for (const [name, use] of Object.entries({ scene: onScene, path: onPath, news: onNews })) {
  document.addEventListener(`playground:mnist-${name}`, (event) => take(event.detail, use));
}
document.addEventListener("playground:mnist-file", (event) => saveFile(event.detail));
watch("value", () => { if (props.value) take(props.value, onFrame); });
setInterval(() => { // a lost connection must not leave the page waiting for ever
  if (!(S.training || S.sampling) || performance.now() - S.heardAt < SILENCE) return;
  S.training = S.begun = S.sampling = false; S.wish = "";
  progress(null); words();
  say("No news for a while: is the server still there? Try again.", true);
}, 2000);
words();
trigger("ready", {});
