// The diagram of Stable Diffusion, with the shapes, the seconds and the pictures of the run on the stage, at the
// slider's step.

const part = (name, title, note) => `
  <div class="pg-part" data-part="${name}">
    <b>${title}</b><span data-note="${name}">${note}</span><i data-seconds="${name}"></i></div>`;
const thumbnail = (view, title) => `
  <button type="button" class="pg-thumb" data-view="${view}" aria-label="${VIEWS[view].title}: show it large"
    title="${VIEWS[view].hover}">
    <canvas data-thumb="${view}" width="48" height="48"></canvas><span>${title}</span></button>`;
const arrow = (name, glyph = "→") => `
  <div class="pg-arrow" data-arrow="${name}" aria-hidden="true">
    <i data-above="${name}"></i><span>${glyph}</span><i data-shape="${name}"></i></div>`;
// With its target, so that on a narrow page no arrow is left alone at the end of a line.
const arrowTo = (name, target, glyph) => `<div class="pg-to">${arrow(name, glyph)}${target}</div>`;

const noises = `
  <div class="pg-pair">${thumbnail("cond", "ε words")}<b aria-hidden="true">−</b>${thumbnail("uncond", "ε∅")}</div>`;
const backArrow = `
  <svg class="pg-back" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
    <path d="M99 0V7H1V1" /></svg>`;

find(".pg-diagram").innerHTML = `
  <div class="pg-flow">
    <div class="pg-lead">
      <div class="pg-part pg-words-part" data-part="words">
        <b>Words</b><span data-note="words">–</span><span data-note="negative"></span></div>
      ${arrowTo("tokens", part("text_encoder", "Text encoder", "CLIP"))}${arrow("states")}
    </div>
    <div class="pg-loop">
      <div class="pg-loop-flow">
        ${thumbnail("xt", "xₜ")}
        ${arrowTo("xt", part("unet", "U-Net", ""))}
        ${arrowTo("eps", noises)}
        ${arrowTo("push", thumbnail("guidance", "difference"), "=")}
        ${arrowTo("guided", part("scheduler", "Scheduler", ""))}
      </div>
      ${backArrow}<div class="pg-loop-note" data-note="loop"></div>
    </div>
    <div class="pg-tail">
      ${arrowTo("x0", thumbnail("x0", "x̂₀"))}
      ${arrowTo("vae", part("vae", "VAE decoder", ""))}
      ${arrowTo("image", thumbnail("picture", "picture"))}
    </div>
  </div>`;

const shapeOf = (shape) => shape.join("×").replace(/^(\d+×\d+×)/, "$1\u200b"); // where a narrow page may break it
const inSeconds = (s) => (s == null ? "" : s < 0.1 ? `${Math.round(1000 * s)} ms` : `${s.toFixed(s < 10 ? 2 : 0)} s`);
const note = (name, text) => setText(`[data-note=${name}]`, text);
const shapeText = (name, text) => setText(`[data-shape=${name}]`, text);
const aboveText = (name, text) => setText(`[data-above=${name}]`, text);
const SHAPES = ["states", "xt", "eps", "guided", "x0", "vae", "image"];

function updateDiagram() {
  const slot = slotChosen();
  const model = S.model;
  const step = slot && slot.steps.length ? stepOf(slot) : null;
  if (!step && S.drawing && S.run && S.run.mode === S.mode) return; // its first step is about to come: no flicker
  find(".pg-diagram").classList.toggle("pg-idle", !step);
  if (model) {
    note("text_encoder", model.text_encoder);
    note("vae", model.vae + (model.quick && step && step.meta.t >= 0 ? "; a quick copy of it until the end" : ""));
    shapeText("tokens", `${model.tokens} ids`);
  }
  if (step) showRun(slot, step);
  else showNoRun();
  const shapes = all("[data-shape]")
    .map((shape) => shape.textContent)
    .join();
  if (step && shapes !== S.shapes) {
    S.shapes = shapes;
    measure();
  }
  for (const small of all("[data-thumb]")) paintThumbnail(small, slot, step);
}

function paintThumbnail(small, slot, step) {
  const view = small.dataset.thumb;
  const sheet = step && sheetOf(slot, step, view);
  const button = small.parentElement;
  const g = small.getContext("2d");
  const side = Math.max(1, Math.round(48 * (window.devicePixelRatio || 1)));
  if (small.width !== side) small.width = small.height = side;
  g.clearRect(0, 0, side, side);
  if (sheet) drawImageOf(g, sheet, Math.min(S.chosen, sheet.n - 1), 0, 0, side, side);
  button.classList.toggle("pg-none", !sheet);
  button.setAttribute("aria-pressed", S.view === view);
  button.setAttribute("aria-label", `${step ? titleOf(view, slot) : VIEWS[view].title}: show it large`);
}

// Nothing of an earlier run stays: its numbers would be taken for those of the next.
function showNoRun() {
  for (const name of SHAPES) shapeText(name, "");
  aboveText("xt", "");
  aboveText("guided", "× s");
  note("words", "–");
  note("negative", "");
  note("unet", "");
  note("scheduler", "");
  note(
    "loop",
    S.mode === "grid" ? "each cell goes through all of this" : "again and again, each time a little less noisy",
  );
  for (const seconds of all("[data-seconds]")) seconds.textContent = "";
}

function showRun(slot, { meta, arrays }) {
  const guided = arrays.uncond != null;
  const copies = guided ? 2 : 1;
  const n = imagesOf(slot);
  const { model } = S;
  note("words", slot.prompt ? `“${slot.prompt}”` : "no words");
  note("negative", guided && slot.negative_prompt != null ? `for ε∅: “${slot.negative_prompt}”` : "");
  if (model) {
    shapeText("tokens", `${copies}×${model.tokens} ids`);
    shapeText("states", shapeOf([copies * n, model.tokens, model.width]));
  }
  if (arrays.latents) {
    const { shape } = arrays.latents;
    const [, , h, w] = shape;
    for (const name of ["x0", "vae"]) shapeText(name, shapeOf(shape));
    for (const name of ["xt", "eps"]) shapeText(name, shapeOf([copies * n, ...shape.slice(1)]));
    if (model) shapeText("image", shapeOf([n, 3, h * model.upscale, w * model.upscale]));
  }
  aboveText("xt", guided ? "twice" : "");
  aboveText("guided", guided ? `× ${+meta.guidance_scale.toFixed(2)}` : "");
  shapeText("guided", guided ? "+ ε∅" : "");
  note("unet", `${meta.calls} ${meta.calls === 1 ? "call" : "calls"}`);
  const next = slot.steps[Math.min(S.k + 1, slot.steps.length - 1)];
  const inWords = (t) => (t < 0 ? "end" : Math.round(t));
  const then = next && next.meta !== meta ? ` → ${inWords(next.meta.t)}` : "";
  note("scheduler", S.run.scheduler + (meta.t < 0 ? ", done" : `: t = ${Math.round(meta.t)}${then}`));
  note(
    "loop",
    `step ${Math.min(meta.index, meta.total)} of ${meta.total}${S.run.start ? `; begun from ${S.run.start}` : ""}`,
  );
  for (const [name, seconds] of Object.entries(meta.parts)) setText(`[data-seconds=${name}]`, inSeconds(seconds));
}
