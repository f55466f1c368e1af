// The toy lab's stage: what Python sends (see stage.py), and what visitors do.

// --- what Python sends ----------------------------------------------------------------------------------------------

function onScene(text) {
  const { meta, arrays } = unpack(text);
  if (meta.run < S.run) return; // a newer one has overtaken it
  const first = S.scene == null;
  const isNew = meta.run !== S.run;
  if (!first && String(meta.key) !== String(S.scene.key)) S.exact = null; // it belongs to the data and the schedule
  S.scene = meta;
  Object.assign(S.arrays, arrays);
  if (isNew) startRun(meta.run);
  slider.max = meta.T - 1;
  S.t = Math.min(S.t, meta.T - 1);
  setText(".pg-look", meta.look);
  setText(".pg-warning", meta.warning);
  find(".pg-warning").hidden = !meta.warning;
  S.training = meta.running;
  if (S.drawing && S.drawing.sent) actions.cancel_drawing(); // it has become the data
  if (isNew) {
    S.views.forward = true;
    if (!S.training) invite(first);
  }
  if (meta.link != null) keepLink(meta.link);
  if (!isNew) askForScore();
  S.chartsDirty = true;
  readout();
  updateTexts();
  wake();
  const { early } = S;
  S.early = null;
  if (early) onFrame(early);
}

function invite(first) {
  say(first ? "Press Train" : "New experiment: press Train");
  hint.textContent = first ? "The data dissolve into noise. Press Train to learn the way back." : "";
  setT(0);
  if (!calm.matches) play(1);
}

function onFrame(text) {
  const { meta, arrays } = unpack(text);
  const now = performance.now();
  if (meta.run != null && meta.run < S.run) return; // of an experiment that is over
  if (meta.run > S.run) {
    S.early = text; // its scene is still on the way
    return;
  }
  if (meta.rewound) forkAt(S, lines(), meta.step);
  heardOfRun(S, !!meta.running, !!meta.running);
  if (meta.step != null) S.step = meta.step;
  if (meta.calls != null) S.calls = meta.calls;
  if (meta.forked) forkAt(S, lines(), meta.step - 1); // from the checkpoint before the frame that was shown
  for (const [step, loss] of meta.losses || []) addPoint(S.losses, step, loss);
  if (meta.distance != null) {
    addPoint(S.distances, meta.step, meta.distance);
    S.floor = meta.floor;
  }
  if (meta.running) stat("rate", Math.round(meta.rate).toLocaleString("en"));
  if (arrays.x) {
    hint.textContent = "";
    if (!S.shown || !S.frames.length) {
      S.views.forward = false;
      S.views.samples = true;
      if (S.playing) {
        play(0); // the data's way into noise makes room for the first samples
        setT(0);
      }
    }
    keepFrame(S.frames, { step: meta.step, x: arrays.x.data });
    if (S.rewound == null) glideTo(arrays.x.data, now);
    canvas.dataset.frames = Number(canvas.dataset.frames) + 1;
    canvas.dataset.step = meta.step;
  }
  if (arrays.path_t) S.study = arrays;
  if (arrays.exact) S.exact = arrays.exact;
  if (arrays.path_t && !arrays.exact) askForScore(); // new data, or a new network: the exact score is still to come
  say(meta.note || (S.training ? (S.requested ? "Pausing …" : "Training") : meta.status || whereItStands()), meta.note);
  S.chartsDirty = true;
  updateTexts();
  readout();
  wake();
}

const whereItStands = () => (S.step ? `Paused at step ${S.step.toLocaleString("en")}` : "Press Train");

// The address holds the experiment; what others put there (a theme, a Space's token) stays.
function keepLink(link) {
  const query = new URLSearchParams(link);
  const others = [...new URLSearchParams(location.search)];
  for (const [name, value] of others) if (name.startsWith("__")) query.append(name, value);
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`);
}

function glideTo(x, now) {
  S.tweenFor = Math.min(600, Math.max(60, 0.5 * S.tweenFor + 0.5 * (now - S.lastFrameAt)));
  S.lastFrameAt = now;
  if (!S.shown || S.shown.length !== x.length) S.shown = x.slice();
  S.from = S.shown.slice();
  S.to = x;
  S.tweenAt = now;
}

function askForScore() {
  const exact = S.score === "exact" || S.score === "difference";
  if (S.score !== "off" && (!S.study || (exact && !S.exact))) trigger("look", { exact });
}

// --- what visitors do -----------------------------------------------------------------------------------------------

const training = trainingActions(S, say);
const actions = {
  ...training,
  ...drawingActions,
  train() {
    if (!S.scene || S.training) return;
    S.training = true;
    S.lastFrameAt = S.heardAt = performance.now();
    play(0);
    setT(0);
    updateTexts();
    say("Starting …");
    goOn(S, lines(), "train");
  },
  one_step() {
    if (!S.scene || S.training) return;
    play(0);
    setT(0);
    goOn(S, lines(), "one_step");
  },
  reset() {
    if (S.scene) {
      play(0);
      training.reset();
    }
  },
  to_noise() {
    play(0);
    setT(lastT());
  },
  to_data() {
    play(0);
    setT(0);
  },
  play() {
    if (S.playing) return play(0);
    if (!S.scene) return undefined;
    if (S.shown && S.views.samples && S.t <= 0) setT(lastT());
    return play(S.shown && S.views.samples ? -1 : 1);
  },
  picture() {
    canvas.toBlob((blob) => download(blob, `toy-lab-step-${S.step}-t-${Math.round(S.t)}.png`));
  },
};

onButtons({
  do: (name) => actions[name](),
  view(name) {
    S.views[name] = !S.views[name];
    updateTexts();
    wake();
  },
});
slider.addEventListener("input", () => scrub(Number(slider.value)));
onTrainingTime(S, (frame) => {
  S.to = null;
  S.shown = frame.x.slice();
  if (S.t > 0) setT(0);
  updateTexts();
  wake();
});
find(".pg-training-speed").addEventListener("change", (event) => {
  trigger("speed", { steps_per_second: SPEEDS[event.target.value] });
});
find(".pg-score").addEventListener("change", (event) => {
  S.score = event.target.value;
  askForScore();
  updateTexts();
  wake();
});
function scrub(t) {
  play(0);
  setT(Math.max(0, Math.min(lastT(), t)));
}
onKeys(root, canvas, () => {
  const fine = Math.max(1, Math.round(lastT() / 100));
  return S.drawing
    ? null
    : {
        " ": actions[S.training ? "pause" : "train"],
        ".": actions.one_step,
        Home: actions.to_data,
        End: actions.to_noise,
        ArrowRight: () => scrub(S.t + fine),
        ArrowLeft: () => scrub(S.t - fine),
      };
});

function redraw() {
  S.chartsDirty = true;
  wake();
}
new ResizeObserver(redraw).observe(root);
onThemeChange(redraw);
onChannel("toy-scene", onScene);
onChannel("toy-file", saveFile);
onChannel("toy-look", onFrame);
watch("value", () => {
  if (props.value) onFrame(props.value);
});
onSilence(
  () => (S.training ? S.heardAt : null),
  () => {
    S.training = S.begun = false;
    S.requested = "";
    updateTexts();
    say("No news for a while: is the server still there? Press Train to try again.", true);
  },
);
updateTexts();
trigger("ready", { search: location.search });
