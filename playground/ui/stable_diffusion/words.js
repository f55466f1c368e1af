// Every text on the Stable Diffusion stage, its mode, and the step that it stands at.

function updateTexts() {
  showParts(S.mode);
  setPressed("view", S.view);
  disable("draw", !S.model);
  disable("stop", !S.drawing);
  const isKept = S.gallery.some(({ id }) => id === chosenPicture());
  all(".pg-kept-actions").forEach((buttons, i) => {
    // they are where the picture was chosen
    buttons.classList.toggle("pg-away", !keptChosen() === i > 0);
  });
  for (const name of ["start_from", "repaint", "use", "save"]) disable(name, !isKept);
  const slot = slotChosen();
  const step = slot && slot.steps.length ? stepOf(slot) : null;
  slider.disabled = !lastStep();
  slider.max = Math.max(1, totalSteps());
  slider.value = lastStep() ? S.k : 0;
  updateStats(slot, step);
  const place =
    step && (step.meta.t < 0 ? "the picture" : `t = ${Math.round(step.meta.t)} · ᾱ = ${signalAt(step).toFixed(2)}`);
  setText(".pg-readout", place || "");
  const noise = step && `${Math.round(100 * (1 - signalAt(step)))} % noise`;
  slider.setAttribute("aria-valuetext", step ? `${placeInRun(slot)}, ${noise}` : "nothing drawn yet");
  canvas.dataset.k = S.k;
  canvas.dataset.picture = chosenPicture() ?? "";
  updateDiagram();
}

const signalAt = (step) => step.meta.alpha ** 2;

function updateStats(slot, step) {
  const { calls, seconds, seed } = (step || cellChosen() || { meta: {} }).meta;
  const grid = gridShown();
  if (step) stat("step", `${Math.min(S.k, Math.max(1, totalSteps()))} / ${Math.max(1, totalSteps())}`);
  else stat("step", grid ? `${S.run.done} / ${S.run.cells}` : "–");
  stat("calls", calls != null ? calls.toLocaleString("en") : "–");
  stat("seconds", seconds != null ? seconds.toFixed(1) : "–");
  const shown = slot && slot.seeds ? slot.seeds[S.chosen] : seed;
  stat("seed", shown != null ? String(shown) : "–");
}

function paintTokens() {
  const cuts = S.tokens.reduce((sum, { cut, from, to }) => sum + (cut ? to - from + 1 : 0), 0);
  const more = find(".pg-more-cut");
  more.hidden = !cuts;
  more.textContent = S.cutShown ? `${cuts} cut ◂` : `… ${cuts} cut ▸`;
  more.setAttribute("aria-expanded", S.cutShown);
  const chips = S.tokens.map((token, i) => {
    const { text, cut } = token;
    const title = hoverOf(token);
    const chip = make("button", { type: "button", className: "pg-token", textContent: text, disabled: !!cut, title });
    chip.dataset.token = i;
    if (cut) {
      chip.classList.add("pg-cut");
      chip.hidden = !S.cutShown;
    }
    if (i === 0 || text === "<end>") chip.classList.add("pg-mark");
    chip.setAttribute("aria-pressed", i === S.pinned);
    return chip;
  });
  find(".pg-tokens").replaceChildren(...chips);
  measure();
}

function hoverOf({ text, cut, pieces }) {
  if (cut) return "beyond what the model reads: cut off";
  if (pieces) return "a character that the vocabulary has in bytes only: tokens without a meaning of their own";
  return text === "<end>" ? "the end mark, and all that fills up the places after it" : "where it acts on the picture";
}

function show(mode) {
  if (S.mode === mode) return;
  Object.assign(S, { mode, selected: null, slot: 0 });
  play(false);
  readAs(S.written);
  const second = find(".pg-second");
  if (mode === "two" && !second.value && S.run && S.run.slots.length)
    second.value = exchangeWord(S.run.slots[0].prompt);
  updateTexts();
  measure();
  paintShelf();
}

// A beginning for the other prompt: one word is exchanged.
function exchangeWord(prompt) {
  const swaps = [
    ["seven", "three"],
    ["red", "green"],
    ["blue", "yellow"],
    ["astronaut", "bear"],
    ["horse", "bicycle"],
  ];
  const swap = swaps.find(([word]) => new RegExp(`\\b${word}\\b`).test(prompt));
  return swap ? prompt.replace(new RegExp(`\\b${swap[0]}\\b`), swap[1]) : prompt;
}

function setK(k) {
  S.k = Math.max(0, Math.min(lastStep(), Math.round(k)));
  S.chartsDirty = true;
  updateTexts();
  wake();
}

function scrub(k) {
  if (S.selected) select(null);
  play(false);
  setK(k);
  S.following = S.drawing && S.k >= lastStep();
}

function play(on) {
  if (on === S.playing) return;
  Object.assign(S, { playing: on, playedAt: performance.now() });
  showPlaying(on, "play the denoising");
  if (on && S.selected) select(null);
  if (on && S.k >= totalSteps()) setK(0);
  wake();
}

function tick(now) {
  if (!stage.offsetParent) return; // another tab is open; ResizeObserver tells when this one is again
  if (S.playing && now - S.playedAt >= (1000 * PLAY_SECONDS) / Math.max(1, totalSteps())) {
    S.playedAt = now;
    if (S.k >= totalSteps()) play(false);
    else setK(S.k + 1);
  }
  if (S.textsDirty) {
    S.textsDirty = false; // once a frame, though steps may come faster
    updateTexts();
  }
  paint();
  if (S.chartsDirty) {
    S.chartsDirty = false;
    charts();
  }
  if (S.playing) wake();
}
const wake = beforeRepaint(tick);
