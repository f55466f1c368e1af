// The Stable Diffusion diagram, with the shapes, the seconds and the pictures of the run on the stage, at the slider's step.

const part = (name, title, note) => `<div class="pg-part" data-part="${name}"><b>${title}</b><span data-note="${name}">${note}</span><i data-seconds="${name}"></i></div>`;
const thumb = (view, title) => `<button type="button" class="pg-thumb" data-view="${view}" aria-label="${VIEWS[view][1]}: show it large" title="${VIEWS[view][2]}"><canvas data-thumb="${view}" width="48" height="48"></canvas><span>${title}</span></button>`;
const arrow = (name, glyph = "→", above = "") => `<div class="pg-arrow" data-arrow="${name}" aria-hidden="true"><i data-above="${name}">${above}</i><span>${glyph}</span><i data-shape="${name}"></i></div>`;
const to = (name, target, glyph) => `<div class="pg-to">${arrow(name, glyph)}${target}</div>`; // on a narrow page no arrow is left alone at the end of a line
const BACK = `<svg class="pg-back" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true"><path d="M99 0V7H1V1" /></svg>`;

find(".pg-diagram").innerHTML = `
  <div class="pg-flow">
    <div class="pg-lead"><div class="pg-part pg-words-part" data-part="words"><b>Words</b><span data-note="words">–</span><span data-note="negative"></span></div>${to("tokens", part("text_encoder", "Text encoder", "CLIP"))}${arrow("states")}</div>
    <div class="pg-loop"><div class="pg-loop-flow">
      ${thumb("xt", "xₜ")}${to("xt", part("unet", "U-Net", ""))}
      ${to("eps", `<div class="pg-pair">${thumb("cond", "ε words")}<b aria-hidden="true">−</b>${thumb("uncond", "ε∅")}</div>`)}
      ${to("push", thumb("guidance", "difference"), "=")}${to("guided", part("scheduler", "Scheduler", ""))}</div>
      ${BACK}<div class="pg-loop-note" data-note="loop"></div></div>
    <div class="pg-tail">${to("x0", thumb("x0", "x̂₀"))}${to("vae", part("vae", "VAE decoder", ""))}${to("image", thumb("picture", "picture"))}</div>
  </div>`;

const inLines = (text) => text.replace(/^(\d+×\d+×)/, "$1\u200b"); // where a narrow page may break it
const shapeOf = (shape) => inLines(shape.join("×"));
const inSeconds = (s) => (s == null ? "" : s < 0.1 ? `${Math.round(1000 * s)} ms` : `${s.toFixed(s < 10 ? 2 : 0)} s`);
const note = (name, text) => setText(`[data-note=${name}]`, text);
const shapeText = (name, text) => setText(`[data-shape=${name}]`, text);
const aboveText = (name, text) => setText(`[data-above=${name}]`, text);
const SHAPES = ["states", "xt", "eps", "guided", "x0", "vae", "image"];

function diagram() {
  const slot = slotChosen(), model = S.model, step = slot && slot.steps.length ? stepOf(slot) : null;
  if (!step && S.drawing && S.run && S.run.mode === S.mode) return; // its first step is about to come: no flicker
  find(".pg-diagram").classList.toggle("pg-idle", !step);
  if (model) {
    note("text_encoder", model.text_encoder);
    note("vae", model.vae + (model.quick && step && step.meta.t >= 0 ? "; a quick copy of it until the end" : ""));
    shapeText("tokens", `${model.tokens} ids`);
  }
  if (step) ofRun(slot, step); else ofNone();
  const shapes = [...find(".pg-diagram").querySelectorAll("[data-shape]")].map((one) => one.textContent).join();
  if (step && shapes !== S.shapes) { S.shapes = shapes; measure(); }
  for (const small of find(".pg-diagram").querySelectorAll("[data-thumb]")) {
    const view = small.dataset.thumb, sheet = step && sheetOf(slot, step, view), g = small.getContext("2d"), scale = Math.max(1, Math.round(48 * (window.devicePixelRatio || 1)));
    if (small.width !== scale) small.width = small.height = scale;
    g.clearRect(0, 0, scale, scale);
    if (sheet) put(g, sheet, Math.min(S.chosen, sheet.n - 1), 0, 0, scale, scale);
    small.parentElement.classList.toggle("pg-none", !sheet);
    small.parentElement.setAttribute("aria-pressed", S.view === view);
    small.parentElement.setAttribute("aria-label", `${step ? titleOf(view, slot) : VIEWS[view][1]}: show it large`);
  }
}

function ofNone() { // nothing of an earlier run: its numbers would be taken for this one's
  for (const name of SHAPES) shapeText(name, "");
  aboveText("xt", ""); aboveText("guided", "× s");
  note("words", "–"); note("negative", ""); note("unet", ""); note("scheduler", "");
  note("loop", S.mode === "grid" ? "each cell goes through all of this" : "again and again, each time a little less noisy");
  for (const seconds of find(".pg-diagram").querySelectorAll("[data-seconds]")) seconds.textContent = "";
}

function ofRun(slot, { meta, arrays }) {
  const guided = arrays.uncond != null, copies = guided ? 2 : 1, n = imagesOf(slot), { model } = S;
  note("words", slot.prompt ? `“${slot.prompt}”` : "no words");
  note("negative", guided && slot.negative_prompt != null ? `for ε∅: “${slot.negative_prompt}”` : "");
  if (model) { shapeText("tokens", `${copies}×${model.tokens} ids`); shapeText("states", inLines(`${copies * n}×${model.tokens}×${model.width}`)); }
  if (arrays.latents) {
    const { shape } = arrays.latents, [, , h, w] = shape;
    for (const name of ["x0", "vae"]) shapeText(name, shapeOf(shape));
    for (const name of ["xt", "eps"]) shapeText(name, shapeOf([copies * n, ...shape.slice(1)]));
    if (model) shapeText("image", shapeOf([n, 3, h * model.upscale, w * model.upscale]));
  }
  aboveText("xt", guided ? "twice" : "");
  aboveText("guided", guided ? `× ${+meta.guidance_scale.toFixed(2)}` : "");
  shapeText("guided", guided ? "+ ε∅" : "");
  note("unet", `${meta.calls} ${meta.calls === 1 ? "call" : "calls"}`);
  const next = slot.steps[Math.min(S.k + 1, slot.steps.length - 1)];
  note("scheduler", meta.t < 0 ? `${S.run.scheduler}, done` : `${S.run.scheduler}: t = ${Math.round(meta.t)}${next && next.meta !== meta ? ` → ${next.meta.t < 0 ? "end" : Math.round(next.meta.t)}` : ""}`);
  note("loop", `step ${Math.min(meta.index, meta.total)} of ${meta.total}${S.run.start ? `; begun from ${S.run.start}` : ""}`);
  for (const [name, seconds] of Object.entries(meta.parts)) setText(`[data-seconds=${name}]`, inSeconds(seconds));
}
