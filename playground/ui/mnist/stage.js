// The MNIST tab's stage: what visitors do, and what starts it all.

// Asks for a path, which comes as soon as it is computed.
function ask(event, data, text) {
  Object.assign(S, { sampling: true, heardAt: performance.now() });
  progress(0);
  say(text);
  updateTexts();
  trigger(event, data);
}

const actions = {
  ...trainingActions(S, say),
  ...paperActions,
  generate() {
    ask("generate", { mode: S.mode }, "Generating …");
  },
  stop() {
    trigger("stop", {});
  },
  another() {
    trigger("another", {});
  },
  train() {
    if (!S.scene || S.training) return;
    S.training = true;
    S.lastFrameAt = S.heardAt = performance.now();
    say("Starting …");
    goOn(S, lines(), "train");
    updateTexts();
  },
  to_noise() {
    play(false);
    setT(lastT());
  },
  to_data() {
    play(false);
    setT(-1);
  },
  play() {
    if (S.scene) play(!S.playing);
  },
  large() {
    S.large = !S.large;
    updateTexts();
    wake();
  },
  reads() {
    S.reads = !S.reads;
    updateTexts();
    wake();
  },
  draw() {
    play(false);
    openPaper("draw", 0, null);
  },
  repaint() {
    if (!S.scene) return;
    play(false);
    const { x0, shape } = S.forward;
    const [, , high, wide] = shape;
    const atlas = newAtlas();
    tint(atlas, x0, shape, false);
    openPaper("mask", S.chosen, (g) => g.drawImage(atlas.sheet, 0, S.chosen * high, wide, high, 0, 0, PAPER, PAPER));
  },
  picture() {
    const at = S.mode === "train" ? `step-${S.rewound ?? S.step}` : `t-${Math.round(S.t)}`;
    const copy = document.createElement("canvas");
    const g = copy.getContext("2d");
    copy.width = canvas.width;
    copy.height = canvas.height;
    g.fillStyle = ink().back;
    g.fillRect(0, 0, copy.width, copy.height);
    g.drawImage(canvas, 0, 0);
    copy.toBlob((blob) => download(blob, `digits-${S.mode}-${at}.png`));
  },
};

onButtons({ do: (name) => actions[name](), mode: show });
function scrub(t) {
  play(false);
  setT(Math.max(-1, Math.min(lastT(), t)));
}
slider.addEventListener("input", () => scrub(Number(slider.value)));
onTrainingTime(S, (frame) => {
  Object.assign(S, { to: null, stamp: performance.now(), shown: floats(frame) });
  updateTexts();
  wake();
});
function choose(k) {
  S.chosen = k;
  S.chartsDirty = true;
  updateTexts();
  wake();
}
find(".pg-chosen").addEventListener("change", (event) => choose(Number(event.target.value)));
canvas.addEventListener("click", (event) => {
  const box = canvas.getBoundingClientRect();
  const x = event.clientX - box.left;
  const y = event.clientY - box.top;
  const hit = S.places.find((p) => x >= p.x && y >= p.y && x < p.x + p.tile && y < p.y + p.tile);
  if (!hit || S.mode === "train") return;
  if (S.large || hit.k === S.chosen) actions.large();
  else choose(hit.k);
});
onKeys(root, canvas, (event) => {
  if (paper.open) return null;
  if (S.mode === "train") return { " ": actions[S.training ? "pause" : "train"] };
  const fine = Math.max(1, Math.round(lastT() / 100));
  const t = Math.round(S.t);
  return {
    " ": actions.play,
    Home: actions.to_data,
    End: actions.to_noise,
    ArrowRight: () => scrub(t + fine),
    ArrowLeft: () => scrub(t - fine),
    ...(event.target === canvas ? { Enter: actions.large } : {}),
  };
});

new ResizeObserver(measure).observe(root);
window.addEventListener("resize", measure);
onThemeChange(() => {
  S.chartsDirty = true;
  wake();
});
onChannel("mnist-scene", (text) => take(text, onScene));
onChannel("mnist-path", (text) => take(text, onPath));
onChannel("mnist-news", (text) => take(text, onNews));
onChannel("mnist-file", saveFile);
watch("value", () => {
  if (props.value) take(props.value, onFrame);
});
onSilence(
  () => (S.training || S.sampling ? S.heardAt : null),
  () => {
    S.training = S.begun = S.sampling = false;
    S.requested = "";
    progress(null);
    updateTexts();
    say("No news for a while: is the server still there? Try again.", true);
  },
);
updateTexts();
trigger("ready", {});
