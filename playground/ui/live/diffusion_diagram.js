// The Stable Diffusion diagram, with the shapes, the seconds and the pictures of the run on the stage, at the slider's step.

const part = (name, title, note) => `<div class="pg-part" data-part="${name}"><b>${title}</b><span data-note="${name}">${note}</span><i data-seconds="${name}"></i></div>`;
const thumb = (view, title) => `<button type="button" class="pg-thumb" data-view="${view}" aria-label="${VIEWS[view][1]}: show it large" title="${VIEWS[view][2]}"><canvas data-thumb="${view}" width="48" height="48"></canvas><span>${title}</span></button>`;
const arrow = (name, glyph = "→") => `<div class="pg-arrow" aria-hidden="true"><span>${glyph}</span><i data-shape="${name}"></i></div>`;
const BACK = `<svg class="pg-back" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true"><path d="M99 0V7H1V1" /></svg>`;

find(".pg-diagram").innerHTML = `
  <div class="pg-flow">
    <div class="pg-part pg-words-part" data-part="words"><b>Words</b><span data-note="words">–</span></div>${arrow("tokens")}
    ${part("text_encoder", "Text encoder", "CLIP")}${arrow("states")}
    <div class="pg-loop"><div class="pg-loop-flow">
      ${thumb("xt", "xₜ")}${arrow("xt")}${part("unet", "U-Net", "")}${arrow("eps")}
      <div class="pg-pair">${thumb("cond", "ε words")}${thumb("uncond", "ε∅")}</div>${arrow("push", "→")}
      ${thumb("guidance", "difference")}${arrow("guided")}${part("scheduler", "Scheduler", "")}</div>
      ${BACK}<div class="pg-loop-note" data-note="loop">again and again, each time a little less noisy</div></div>
    ${arrow("x0")}${thumb("x0", "x̂₀")}${arrow("vae")}${part("vae", "VAE decoder", "")}${arrow("image")}${thumb("picture", "picture")}
  </div>`;

const shapeOf = ({ shape }) => shape.join("×");
const inSeconds = (s) => (s == null ? "" : s < 0.1 ? `${Math.round(1000 * s)} ms` : `${s.toFixed(s < 10 ? 2 : 0)} s`);
const note = (name, text) => setText(`[data-note=${name}]`, text);
const shapeText = (name, text) => setText(`[data-shape=${name}]`, text);

function diagram() {
  const slot = slotsShown()[S.mode === "two" ? S.slot : 0], model = S.model, step = slot && slot.steps.length ? stepOf(slot) : null;
  find(".pg-diagram").classList.toggle("pg-idle", !step);
  if (model) {
    note("text_encoder", model.text_encoder); note("vae", model.vae);
    shapeText("tokens", `${model.tokens} ids`);
  }
  if (!step) return;
  const { meta, arrays } = step, guided = arrays.uncond != null, copies = guided ? 2 : 1, n = imagesOf(slot);
  note("words", slot.prompt ? `“${slot.prompt}”` : "no words");
  shapeText("tokens", `${copies}×${model.tokens} ids`);
  shapeText("states", `${copies * n}×${model.tokens}×${model.width}`);
  const latents = arrays.latents ? shapeOf(arrays.latents) : "";
  for (const name of ["xt", "x0"]) shapeText(name, latents);
  shapeText("eps", arrays.latents ? [copies * n, ...arrays.latents.shape.slice(1)].join("×") : "");
  shapeText("push", guided ? `× ${+meta.guidance_scale.toFixed(2)}` : "");
  shapeText("guided", guided ? "+ ε∅" : "");
  shapeText("image", arrays.images ? shapeOf(arrays.images) : "");
  note("unet", `${meta.calls} ${meta.calls === 1 ? "call" : "calls"}`);
  const next = slot.steps[Math.min(S.k + 1, slot.steps.length - 1)];
  note("scheduler", meta.t < 0 ? `${S.run.scheduler}, done` : `${S.run.scheduler}: t = ${Math.round(meta.t)}${next && next !== step ? ` → ${next.meta.t < 0 ? "end" : Math.round(next.meta.t)}` : ""}`);
  note("loop", `step ${Math.min(meta.index, meta.total)} of ${meta.total}${S.run.start ? `; begun from ${S.run.start}` : ""}`);
  for (const [name, seconds] of Object.entries(meta.parts)) setText(`[data-seconds=${name}]`, inSeconds(seconds));
  for (const small of find(".pg-diagram").querySelectorAll("[data-thumb]")) {
    const view = small.dataset.thumb, sheet = sheetOf(slot, step, view), g = small.getContext("2d"), scale = Math.max(1, Math.round(48 * (window.devicePixelRatio || 1)));
    if (small.width !== scale) small.width = small.height = scale;
    g.clearRect(0, 0, scale, scale);
    if (sheet) put(g, sheet, Math.min(S.chosen, sheet.n - 1), 0, 0, scale, scale);
    small.parentElement.classList.toggle("pg-none", !sheet);
    small.parentElement.setAttribute("aria-pressed", S.view === view);
  }
}
