// The Stable Diffusion stage: words, and what visitors do. Scrubbing, playing and looking at words need no request.

// --- words ---------------------------------------------------------------------------------------------------------------

function setText(selector, text) { const at = find(selector); if (at.textContent !== text) at.textContent = text; }
const stat = (name, text) => setText(`[data-stat=${name}]`, text);
const disable = (name, off) => { for (const button of root.querySelectorAll(`[data-do=${name}]`)) button.disabled = off; };

function words() {
  for (const shown of root.querySelectorAll("[data-for]")) shown.hidden = !shown.dataset.for.split(" ").includes(S.mode);
  for (const chip of root.querySelectorAll("[data-mode]")) chip.setAttribute("aria-pressed", chip.dataset.mode === S.mode);
  for (const chip of root.querySelectorAll(".pg-chip[data-view]")) chip.setAttribute("aria-pressed", chip.dataset.view === S.view);
  disable("draw", !S.model); disable("stop", !S.drawing);
  const chosen = S.gallery.some(({ id }) => id === chosenPicture());
  root.querySelectorAll(".pg-kept-actions").forEach((buttons, i) => buttons.classList.toggle("pg-away", !keptChosen() === (i > 0))); // they are where the picture was chosen
  for (const name of ["start_from", "repaint", "use", "save"]) disable(name, !chosen);
  const slots = slotsShown(), steps = Math.max(0, ...slots.map((slot) => slot.steps.length - 1)), total = Math.max(1, totalSteps());
  slider.disabled = !steps;
  slider.max = total; slider.value = steps ? S.k : 0;
  const slot = slotChosen(), step = slot && slot.steps.length ? stepOf(slot) : null, cell = S.mode === "grid" && S.run && S.run.grid && S.run.grid.cells.get(S.cell);
  const meta = step ? step.meta : cell ? cell.meta : {};
  stat("step", step ? `${Math.min(S.k, total)} / ${total}` : S.mode === "grid" && S.run && S.run.grid ? `${S.run.done} / ${S.run.cells}` : "–");
  stat("calls", meta.calls != null ? meta.calls.toLocaleString("en") : "–");
  stat("seconds", meta.seconds != null ? meta.seconds.toFixed(1) : "–");
  const seed = slot && slot.seeds ? slot.seeds[S.chosen] : meta.seed;
  stat("seed", seed != null ? String(seed) : "–");
  setText(".pg-readout", step ? (meta.t < 0 ? "the picture" : `t = ${Math.round(meta.t)} · ᾱ = ${(meta.alpha ** 2).toFixed(2)}`) : "");
  slider.setAttribute("aria-valuetext", step ? `${standing(slot)}, ${Math.round(100 * (1 - meta.alpha ** 2))} % noise` : "nothing drawn yet");
  canvas.dataset.k = S.k;
  canvas.dataset.picture = chosenPicture() ?? "";
  diagram();
}

function say(text, wrong) {
  if (statusLine.textContent !== text) statusLine.textContent = text;
  statusLine.title = text;
  statusLine.classList.toggle("pg-wrong", !!wrong);
}

function progress(share) { // null: nothing is under way
  const bar = find(".pg-progress i");
  bar.style.width = share == null ? "0" : `${100 * share}%`;
  bar.parentElement.classList.toggle("pg-on", share != null);
}

function paintTokens() {
  const cuts = S.tokens.reduce((sum, { cut, from, to }) => sum + (cut ? to - from + 1 : 0), 0), more = find(".pg-more-cut");
  more.hidden = !cuts; more.textContent = S.cutShown ? `${cuts} cut ◂` : `… ${cuts} cut ▸`;
  more.setAttribute("aria-expanded", S.cutShown);
  const chips = S.tokens.map(({ text, cut, pieces }, i) => {
    const chip = document.createElement("button");
    Object.assign(chip, { type: "button", className: "pg-token", textContent: text, disabled: !!cut });
    chip.dataset.token = i;
    chip.title = cut ? "beyond what the model reads: cut off" : pieces ? "a character for which the vocabulary has bytes alone: tokens without a meaning of their own" : text === "<end>" ? "the end mark, and all that fills up the places after it" : "where it acts on the picture";
    if (cut) { chip.classList.add("pg-cut"); chip.hidden = !S.cutShown; }
    if (i === 0 || text === "<end>") chip.classList.add("pg-mark");
    chip.setAttribute("aria-pressed", i === S.pinned);
    return chip;
  });
  find(".pg-tokens").replaceChildren(...chips);
  measure();
}

function show(mode) {
  if (S.mode === mode) return;
  Object.assign(S, { mode, selected: null, slot: 0 });
  play(false);
  readAs(S.written);
  if (mode === "two" && !find(".pg-second").value && S.run && S.run.slots.length) find(".pg-second").value = otherWord(S.run.slots[0].prompt);
  words(); measure(); paintShelf();
}

function otherWord(prompt) { // a beginning for the other prompt: a word of it exchanged
  const swaps = [["seven", "three"], ["red", "green"], ["blue", "yellow"], ["astronaut", "bear"], ["horse", "bicycle"]];
  const swap = swaps.find(([word]) => new RegExp(`\\b${word}\\b`).test(prompt));
  return swap ? prompt.replace(new RegExp(`\\b${swap[0]}\\b`), swap[1]) : prompt;
}

function setK(k) {
  const most = Math.max(0, ...slotsShown().map((slot) => slot.steps.length - 1));
  S.k = Math.max(0, Math.min(most, Math.round(k)));
  S.chartsDirty = true;
  words(); wake();
}

function scrub(k) { if (S.selected) select(null); play(false); setK(k); S.following = S.drawing && S.k >= Math.max(0, ...slotsShown().map((slot) => slot.steps.length - 1)); }

function play(on) {
  if (on === S.playing) return;
  Object.assign(S, { playing: on, playedAt: performance.now() });
  const button = find("[data-do=play]");
  button.innerHTML = on ? ICON.stop : ICON.play;
  button.setAttribute("aria-label", on ? "stop playing" : "play the denoising");
  if (on && S.selected) select(null);
  if (on && S.k >= totalSteps()) setK(0);
  wake();
}

function tick(now) {
  S.scheduled = false;
  if (!stage.offsetParent) return; // another tab is open; ResizeObserver tells when this one is again
  if (S.playing && now - S.playedAt >= 1000 * PLAY_SECONDS / Math.max(1, totalSteps())) {
    S.playedAt = now;
    if (S.k >= totalSteps()) play(false); else setK(S.k + 1);
  }
  if (S.wordsDirty) { S.wordsDirty = false; words(); } // of steps that come faster than frames, the last one alone
  paint();
  if (S.chartsDirty) { S.chartsDirty = false; charts(); }
  if (S.playing) wake();
}
function wake() {
  if (!S.scheduled) { S.scheduled = true; requestAnimationFrame(tick); }
}

// --- what visitors do ----------------------------------------------------------------------------------------------------

function settings(more = {}) {
  const value = (name) => find(name).value, axes = S.mode === "grid" ? { x: [value(".pg-axis-x"), value(".pg-values-x")], y: [value(".pg-axis-y"), value(".pg-values-y")] } : {};
  return { mode: S.mode, second: S.mode === "two" ? value(".pg-second") : "", ...axes, ...more };
}

function ask(event, data, text) {
  Object.assign(S, { drawing: true, heardAt: performance.now() });
  progress(0); say(text); words();
  trigger(event, data);
}

const actions = {
  draw() { if (S.model) ask("draw", settings(), "Starting …"); },
  stop() { say("Stopping …"); trigger("stop", {}); },
  smaller() { find("[data-do=smaller]").hidden = true; trigger("smaller", {}); },
  to_noise() { scrub(0); }, to_data() { scrub(Infinity); },
  play() { if (slotsShown().length && !S.drawing) play(!S.playing); },
  use() { trigger("use", { id: chosenPicture() }); },
  save() { trigger("save", { id: chosenPicture() }); },
  start_from() { const id = chosenPicture(); show("one"); ask("start_from", { id }, "Starting from it …"); },
  repaint() { play(false); openPaper(chosenPicture()); },
  open() { find(".pg-open").click(); },
  cut() { S.cutShown = !S.cutShown; paintTokens(); },
  one_light() { S.oneLight = !S.oneLight; find("[data-do=one_light]").setAttribute("aria-pressed", S.oneLight); wake(); },
  wipe: wipePaper, cancel() { paper.close(); },
  repaint_this() {
    const { base64, share } = covered();
    if (share < 0.002) return notePaper("Cover a part of the picture first.", true);
    if (share > 0.98) return notePaper("Leave something of the picture, or press Draw for a new one.", true);
    paper.close(); show("one");
    return ask("repaint", { id: mask.id, pixels: base64 }, "Repainting …");
  },
};

function readPNG(file) {
  if (file.size > 20_000_000) { say(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; a picture may have 20.`, true); return; }
  const reader = new FileReader();
  reader.onload = () => { say(`Reading ${file.name} …`); trigger("opened", { base64: String(reader.result).split(",")[1] || "" }); };
  reader.readAsDataURL(file);
}

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) actions[button.dataset.do]();
  if (button.dataset.mode) show(button.dataset.mode);
  if (button.dataset.view) { S.view = button.dataset.view; select(null); }
  if (button.dataset.token) { const i = Number(button.dataset.token); S.pinned = S.pinned === i ? null : i; S.view = "picture"; select(null); paintTokens(); find(`[data-token="${i}"]`).focus(); wake(); }
  if ("kept" in button.dataset) { play(false); select(S.selected === button.dataset.id ? null : button.dataset.id); }
});
for (const [name, on] of [["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false]]) {
  find(".pg-tokens").addEventListener(name, (event) => {
    const chip = event.target.closest("[data-token]");
    S.token = on && chip && !chip.disabled ? Number(chip.dataset.token) : null;
    canvas.dataset.token = S.token ?? S.pinned ?? "";
    wake();
  });
}
slider.addEventListener("input", () => scrub(Number(slider.value)));
function placeAt(event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  return S.places.findLast((p) => x >= p.x && y >= p.y && x < p.x + p.width && y < p.y + p.height);
}
canvas.addEventListener("pointermove", (event) => { // what a grid's picture is of, and what the judge reads in it
  const hit = placeAt(event), cell = hit && hit.kind === "cell" && S.run.grid?.cells.get(`${hit.row},${hit.column}`); // painted a frame ago
  canvas.title = (cell && cell.meta.words) || "";
});
canvas.addEventListener("click", (event) => {
  const hit = placeAt(event);
  if (!hit) return;
  S.chartsDirty = true;
  if (hit.kind === "image") {
    Object.assign(S, { chosen: hit.n, slot: hit.slot });
    if (S.mode === "two") readAs(slotChosen().tokens);
  }
  if (hit.kind === "cell") {
    S.cell = `${hit.row},${hit.column}`;
    const cell = S.run.grid?.cells.get(S.cell);
    if (cell && cell.meta.id && !S.drawing) { show("one"); select(cell.meta.id); say(cell.meta.words); trigger("use", { id: cell.meta.id }); return; } // Draw then makes this one
  }
  select(null);
});
for (const name of ["x", "y"]) {
  const select = find(`.pg-axis-${name}`), values = find(`.pg-values-${name}`);
  const begin = () => { values.value = select.value ? AXES[select.value][1] : ""; values.disabled = !select.value; };
  select.value = name === "x" ? "guidance_scale" : "";
  begin();
  select.addEventListener("change", begin);
}
for (const input of root.querySelectorAll("input[type=text]")) input.addEventListener("keydown", (event) => { if (event.key === "Enter") actions.draw(); });

find(".pg-open").addEventListener("change", (event) => { if (event.target.files[0]) readPNG(event.target.files[0]); event.target.value = ""; });
const dropping = (on) => { find(".pg-drop").hidden = !on; };
const withFile = (event) => stage.offsetParent && [...event.dataTransfer.types].includes("Files");
document.addEventListener("dragover", (event) => { if (withFile(event)) { event.preventDefault(); dropping(true); } });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dropping(false); });
document.addEventListener("drop", (event) => {
  if (!withFile(event)) return;
  event.preventDefault(); dropping(false);
  if (event.dataTransfer.files[0]) readPNG(event.dataTransfer.files[0]);
});

document.addEventListener("keydown", (event) => {
  if (paper.open || S.mode === "grid" || !keyIsOurs(event, stage, canvas)) return;
  const keys = {
    " ": actions.play, Home: actions.to_noise, End: actions.to_data, ArrowRight: () => scrub(S.k + 1), ArrowLeft: () => scrub(S.k - 1),
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

new ResizeObserver(measure).observe(stage);
window.addEventListener("resize", measure);
new MutationObserver(() => { S.chartsDirty = true; wake(); }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
for (const [name, use] of Object.entries({ model: onModel, news: onNews, tokens: onTokens })) {
  document.addEventListener(`playground:stable-diffusion-${name}`, (event) => take(event.detail, use));
}
document.addEventListener("playground:stable-diffusion-file", (event) => saveFile(event.detail));
document.addEventListener("playground:stable-diffusion-draw", () => { if (stage.offsetParent) actions.draw(); });
let turned = 0; // a small model draws anew as soon as a knob stands still
document.addEventListener("playground:stable-diffusion-turned", () => {
  clearTimeout(turned);
  if (S.model && S.model.small && S.mode !== "grid" && S.run) turned = setTimeout(actions.draw, 250);
});
watch("value", () => { if (props.value) take(props.value, onMessage); });
setInterval(() => { // a lost connection must not leave the page waiting for ever
  if (!S.drawing || performance.now() - S.heardAt < (S.model && S.model.small ? SILENCE : 20 * SILENCE)) return;
  S.drawing = false;
  progress(null); words();
  say("No news for a while: is the server still there? Try again.", true);
}, 2000);
words(); paintShelf();
trigger("ready", {});
