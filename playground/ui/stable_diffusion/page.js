// What the Stable Diffusion stage consists of. `data-for` names the modes in which a part shows.
const MODES = { one: "One prompt", two: "Two prompts", grid: "Grid" };
const VIEWS = { // what lies under the pictures: [on its chip, in a title, hover]
  picture: ["Picture", "x̂₀, decoded", "what the network takes xₜ for, decoded; the last one by the VAE"],
  xt: ["xₜ", "xₜ", "the latents on their way; three colours made of all channels"],
  uncond: ["ε∅", "ε∅, the noise seen without the words", "what the U-Net says without the prompt, or with the negative one"],
  cond: ["ε words", "ε, the noise seen with the words", "what the U-Net says with the prompt"],
  guidance: ["Guidance", "ε with words − ε∅", "the direction in which the words pull; guidance goes s times as far"],
  x0: ["", "x̂₀, as latents", "what the network takes xₜ for, before the VAE"],
  channels: ["Channels", "channels of xₜ", "each latent channel by itself"],
};
const AXES = { // of a grid: [name, what is written beside it at first]
  guidance_scale: ["guidance", "1, 2, 3, 5, 8"], steps: ["steps", "3, 5, 10, 20"], scheduler: ["scheduler", "pndm, ddim, dpm++, euler_a"],
  seed: ["seed", "0, 1, 2, 3"], word: ["word", "seven, four, nine"],
};
const option = (value, text = value) => `<option value="${value}">${text}</option>`;
const axis = (name, first) => `<label class="pg-small">${name} <select class="pg-axis-${name}" aria-label="what changes along ${name}">${first}${Object.entries(AXES).map(([key, [title]]) => option(key, title)).join("")}</select></label>
  <input type="text" class="pg-values-${name}" maxlength="200" spellcheck="false" aria-label="values along ${name}, commas between"
    title="values, commas between; of a word, the first one is replaced by the others">`;
const keptActions = `<span class="pg-kept-actions">
  <button type="button" class="pg-chip" data-do="start_from" title="noise the chosen picture, and draw the prompt from there (img2img)">Start from it</button>
  <button type="button" class="pg-chip" data-do="repaint" title="cover a part of the chosen picture: only that is drawn anew (inpainting)">Repaint</button>
  <button type="button" class="pg-chip" data-do="use" title="put all knobs to what made the chosen picture, its seed among them">Settings</button>
  <button type="button" class="pg-chip" data-do="save" title="save the chosen picture with its settings inside">PNG</button></span>`; // under the stage, and in the gallery while one of its pictures is chosen

const root = element.querySelector(".pg-lab");
root.innerHTML = `
  <section class="pg-stage" aria-label="Stage">
    <div class="pg-bar pg-diff-top">
      <div class="pg-modes" role="group" aria-label="What to draw">
        ${Object.entries(MODES).map(([mode, name]) => `<button type="button" class="pg-chip" data-mode="${mode}" aria-pressed="false">${name}</button>`).join("")}
      </div>
      <button type="button" class="pg-main" data-do="draw">Draw</button>
      <button type="button" data-do="stop" disabled>Stop</button>
      <button type="button" data-do="smaller" hidden>Take the smaller setting</button>
      <span class="pg-status" role="status" aria-live="polite">loading …</span>
    </div>
    <div class="pg-bar pg-diff-more" data-for="two">
      <label class="pg-small pg-wide">the other prompt <input type="text" class="pg-second" spellcheck="false" aria-label="the other prompt" title="drawn from the same noise; change one word"></label>
    </div>
    <div class="pg-bar pg-diff-more" data-for="grid">${axis("x", "")}${axis("y", option("", "nothing"))}</div>
    <div class="pg-token-row">
      <div class="pg-tokens" role="group" aria-label="The words as the model sees them: one shows where it acts"></div>
      <button type="button" class="pg-chip pg-more-cut" data-do="cut" aria-expanded="false" title="beyond what the model reads" hidden></button>
      <button type="button" class="pg-chip" data-do="one_light" aria-pressed="false" title="all words on one scale: one that gets little attention stays dark. Off: each from its least to its most, to see where it acts">one scale</button>
    </div>
    <div class="pg-diff-square">
      <div class="pg-progress" aria-hidden="true"><i></i></div>
      <canvas data-testid="diffusion-live" data-k="0" data-painted="0" data-runs="0" data-steps="0" data-cells="0" data-done="0" role="img" tabindex="0"
        aria-label="Pictures between noise and words"></canvas>
      <div class="pg-drop" hidden>Drop a PNG to read its settings</div>
    </div>
    <div class="pg-bar" data-for="one two">
      <button type="button" data-do="to_noise" aria-label="to pure noise" title="to pure noise (Home)">${ICON.toNoise}</button>
      <button type="button" data-do="play" aria-label="play the denoising" title="play from noise to picture (space)">${ICON.play}</button>
      <button type="button" data-do="to_data" aria-label="to the picture" title="to the picture (End)">${ICON.toData}</button>
      <input type="range" class="pg-t" min="0" max="1" value="0" aria-label="how noisy: noise at the left, the picture at the right" title="from noise to picture: arrows scrub" disabled>
      <span class="pg-readout"></span>
    </div>
    <div class="pg-bar pg-views" role="group" aria-label="Views">
      ${Object.entries(VIEWS).filter(([, [name]]) => name).map(([view, [name, , hover]]) => `<button type="button" class="pg-chip" data-for="one two" data-view="${view}" aria-pressed="false" title="${hover}">${name}</button>`).join("")}
      <span class="pg-spring"></span>
      ${keptActions}
    </div>
  </section>
  <aside class="pg-charts" aria-label="Charts">
    <dl class="pg-stats">
      <div><dt>step</dt><dd data-stat="step">–</dd></div><div><dt title="of the U-Net; with guidance each one is a doubled batch">calls</dt><dd data-stat="calls">–</dd></div>
      <div><dt title="of computing">seconds</dt><dd data-stat="seconds">–</dd></div><div><dt title="of the chosen picture">seed</dt><dd data-stat="seed">–</dd></div>
    </dl>
    <figure data-for="one two"><figcaption>How hard the words pull <small>‖ε with words − ε∅‖</small></figcaption>
      <canvas data-chart="norm" role="img" aria-label="Length of the guidance direction at each step"></canvas></figure>
    <figure data-for="one two"><figcaption>Signal and noise <small>ᾱ grey, 1 − ᾱ blue</small></figcaption>
      <canvas data-chart="levels" role="img" aria-label="Share of signal and of noise at each step"></canvas></figure>
    <p class="pg-look pg-model-words"></p>
    <p class="pg-look" data-for="grid">Every cell starts from the same noise (unless the seed changes). Click one: it is shown large, and all knobs stand as they did for it; Grid leads back.</p>
    <p class="pg-look" data-for="one two">Point at a word to see where it acts. Raise the guidance: the words pull harder, first for the better, then for the worse.</p>
  </aside>
  <section class="pg-diagram" aria-label="Stable Diffusion, with the numbers of this run"></section>
  <section class="pg-gallery" aria-label="Gallery of this session">
    <div class="pg-bar"><b>Gallery</b> <span class="pg-small pg-gallery-words">pictures of this session</span><span class="pg-spring"></span>
      <button type="button" class="pg-chip" data-do="open" title="read the settings from a PNG; or drop one anywhere on the page">Open a PNG</button>
      ${keptActions}
      <input type="file" class="pg-open" accept="image/png" hidden></div>
    <div class="pg-shelf" role="listbox" aria-orientation="horizontal" aria-label="Pictures of this session: arrows walk, Enter chooses"></div>
    <p class="pg-small">Keys: space plays · ← → scrub · Home noise · End picture</p>
  </section>
  <dialog class="pg-paper" aria-labelledby="pg-diff-paper-title">
    <h3 id="pg-diff-paper-title">Repaint</h3>
    <div class="pg-sheet"><canvas class="pg-below" width="128" height="128"></canvas>
      <canvas class="pg-pen pg-veil" width="128" height="128" aria-label="cover a part with the mouse or a finger"></canvas></div>
    <p class="pg-small pg-paper-note" role="status"></p>
    <div class="pg-bar"><button type="button" class="pg-main" data-do="repaint_this">Repaint this</button>
      <span class="pg-spring"></span><button type="button" data-do="wipe">Clear</button><button type="button" data-do="cancel">Cancel</button></div>
  </dialog>`;

const find = (selector) => root.querySelector(selector);
const stage = find(".pg-stage"), canvas = find("canvas[data-testid]"), slider = find(".pg-t"), statusLine = find(".pg-status"), paper = find(".pg-paper");
const PLAY_SECONDS = 4; // from noise to picture

// What is on show. A run: {id, mode, slots: [{prompt, tokens, steps}], ids of its pictures, cells of a grid}.
const S = {
  model: null, run: null, mode: "one", view: "picture", k: 0, following: true, chosen: 0, slot: 0, tokens: [], written: [], shapes: "", token: null, pinned: null, oneLight: false, cutShown: false,
  drawing: false, playing: false, playedAt: 0, heardAt: 0, room: { width: 0, height: 0 }, places: [], cell: null, gallery: [], selected: null,
  scheduled: false, chartsDirty: true, wordsDirty: false,
};
const slotsShown = () => (S.run && S.mode !== "grid" && S.run.mode === S.mode ? S.run.slots : []);
const totalSteps = () => (S.run && S.run.total) || 0;
const stepOf = (slot) => slot.steps[Math.min(S.k, slot.steps.length - 1)]; // where the slider stands
const slotChosen = () => slotsShown()[S.mode === "two" ? S.slot : 0];
const keptChosen = () => S.gallery.find(({ id }) => id === S.selected); // of the gallery: shown large instead of the run
const titleOf = (view, slot) => (view === "uncond" && slot.negative_prompt ? "ε∅, with the negative prompt" : view === "picture" && rough(slot) ? "x̂₀, in rough colours" : VIEWS[view][1]);
const rough = (slot) => { const { images, latents } = stepOf(slot).arrays; return images && latents && images.shape[3] <= latents.shape[3]; };
