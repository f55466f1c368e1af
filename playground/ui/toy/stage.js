// The toy lab's stage: what Python sends (see stage.py), and what visitors do.

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
