// Every text on the MNIST stage, its mode, and the timestep that it stands at.

function updateTexts() {
  showParts(S.mode);
  for (const name of ["large", "reads"]) find(`[data-do=${name}]`).setAttribute("aria-pressed", S[name]);
  const isRead = filmsShown().some((film) => film.read);
  if (S.scene && !isRead) for (const part of all(".pg-reads, [data-do=reads]")) part.hidden = true;
  setText(".pg-keys", S.mode === "both" && S.path ? "forward grey, reverse orange" : "");
  disable("generate", !S.scene || S.sampling);
  disable("stop", !S.sampling);
  disable("train", !S.scene || S.training);
  disable("pause", !S.training);
  find(".pg-chosen").value = S.chosen;
  setText(".pg-read-of", S.mode === "both" && S.scene ? labelsInWords() : "");
  const path = S.mode === "compare" ? compared()[0] : S.path;
  const meta = path ? path.meta : {};
  stat("steps", path ? String(path.angle.length - 1) : "–");
  stat("calls", meta.calls != null ? meta.calls.toLocaleString("en") : "–");
  stat("seconds", meta.seconds != null ? meta.seconds.toFixed(1) : "–");
  stat("seed", meta.seed != null ? String(meta.seed) : "–");
  stat("step", S.step.toLocaleString("en"));
  stat("rate", S.rate == null ? "–" : S.rate < 10 ? S.rate.toFixed(1) : Math.round(S.rate).toLocaleString("en"));
  stat("loss", S.losses.y.length ? S.losses.y.at(-1).toPrecision(3) : "–");
  stat("right", S.rights.y.length ? `${Math.round(100 * S.rights.y.at(-1))} %` : "–");
  showTrainingTime(S);
  readout();
}

function labelsInWords() {
  const name = (film) => S.scene.meta.classes[film && film.labels[S.chosen]];
  const [real, asked] = [name(S.forward), name(S.path)];
  return [real && `real ${real}`, asked && `asked for ${asked}`].filter(Boolean).join(", ");
}

function readout() {
  if (!S.scene) return;
  const [alpha, sigma] = levelAt(S.t);
  const signal = (alpha * alpha) / (alpha * alpha + sigma * sigma);
  const dB = 20 * Math.log10(alpha / sigma);
  const snr =
    !Number.isFinite(dB) || dB > 99 ? (dB > 0 ? "∞" : "−∞") : `${dB < 0 ? "−" : ""}${Math.abs(dB).toFixed(1)} dB`;
  const t = S.t < 0 ? "the data" : `t = ${Math.round(S.t)}`;
  setText(".pg-readout", `${t} · ᾱ = ${signal.toFixed(2)} · SNR ${snr}`);
  setText(".pg-snr", `ᾱ = ${signal.toFixed(3)}, SNR ${snr}`);
  const where = S.mode === "both" && S.path && S.path.at != null ? `, ${stateOf(S.path)}` : "";
  slider.setAttribute("aria-valuetext", `${t}, ${Math.round(100 * (1 - signal))} % noise${where}`);
}

function show(mode) {
  if (S.mode === mode) return;
  S.mode = mode;
  if (mode === "train") play(false);
  if (!S.sampling) sayWhereItStands();
  updateTexts();
  measure();
}

function sayWhereItStands() {
  if (S.mode === "compare") say(S.compare.paths.size ? "Compare them with the slider" : "Press Generate");
  else if (S.mode === "both") say(S.path ? `${S.path.meta.title}, ${S.path.meta.caption}` : "Press Generate");
  else if (S.training) say(S.requested ? "Pausing …" : "Training");
  else say(S.step ? `Paused at step ${S.step.toLocaleString("en")}` : "Press Train");
}

function setT(t) {
  S.t = t;
  slider.value = Math.round(t);
  canvas.dataset.t = Math.round(t);
  S.chartsDirty = true;
  readout();
  wake();
}

function play(on) {
  if (!on && !S.playing) return;
  clearTimeout(S.holding);
  Object.assign(S, { playing: on, holding: 0, playedAt: performance.now() });
  showPlaying(on, "play the reverse process");
  if (on && S.t <= -1) setT(lastT());
  wake();
}

// There is something new to watch.
function playFromNoise() {
  if (calm.matches) {
    play(false);
    setT(-1);
  } else {
    setT(lastT());
    play(true);
  }
}
