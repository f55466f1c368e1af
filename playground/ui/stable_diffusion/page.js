// What the Stable Diffusion stage consists of, and its state.

const MODES = { one: "One prompt", two: "Two prompts", grid: "Grid" };
const VIEWS = {
  picture: {
    name: "Picture",
    title: "x̂₀, decoded",
    hover: "what the network takes xₜ for, decoded; the last one by the VAE",
  },
  xt: { name: "xₜ", title: "xₜ", hover: "the latents on their way; three colours made of all channels" },
  uncond: {
    name: "ε∅",
    title: "ε∅, the noise seen without the words",
    hover: "what the U-Net says without the prompt, or with the negative one",
  },
  cond: { name: "ε words", title: "ε, the noise seen with the words", hover: "what the U-Net says with the prompt" },
  guidance: {
    name: "Guidance",
    title: "ε with words − ε∅",
    hover: "the direction in which the words pull; guidance goes s times as far",
  },
  x0: { title: "x̂₀, as latents", hover: "what the network takes xₜ for, before the VAE" }, // only in the diagram
  channels: { name: "Channels", title: "channels of xₜ", hover: "each latent channel by itself" },
};
// Of a grid: [name, what is written beside it at first].
const AXES = {
  guidance_scale: ["guidance", "1, 2, 3, 5, 8"],
  steps: ["steps", "3, 5, 10, 20"],
  scheduler: ["scheduler", props.schedulers],
  seed: ["seed", "0, 1, 2, 3"],
  word: ["word", "seven, four, nine"],
};
const PLAY_SECONDS = 4; // from noise to picture

const gridAxis = (name, first) => `
  <label class="pg-small">${name} <select class="pg-axis-${name}" aria-label="what changes along ${name}">
    ${first}${Object.entries(AXES)
      .map(([key, [title]]) => option(key, title))
      .join("")}</select></label>
  <input type="text" class="pg-values-${name}" maxlength="200" spellcheck="false"
    aria-label="values along ${name}, commas between"
    title="values, commas between; of a word, the first one is replaced by the others">`;

// Under the stage, and in the gallery while one of its pictures is chosen.
const keptActions = `
  <span class="pg-kept-actions">
    <button type="button" class="pg-chip" data-do="start_from"
      title="noise the chosen picture, and draw the prompt from there (img2img)">Start from it</button>
    <button type="button" class="pg-chip" data-do="repaint"
      title="cover a part of the chosen picture: only that is drawn anew (inpainting)">Repaint</button>
    <button type="button" class="pg-chip" data-do="use"
      title="put all knobs to what made the chosen picture, its seed among them">Settings</button>
    <button type="button" class="pg-chip" data-do="save"
      title="save the chosen picture with its settings inside">PNG</button>
  </span>`;

const topBars = `
  <div class="pg-bar pg-diff-top">
    ${modeChips(MODES, "What to draw")}
    <button type="button" class="pg-main" data-do="draw">Draw</button>
    <button type="button" data-do="stop" disabled>Stop</button>
    <button type="button" data-do="smaller" hidden>Take the smaller setting</button>
    <span class="pg-status" role="status" aria-live="polite">loading …</span>
  </div>
  <div class="pg-bar pg-diff-more" data-for="two">
    <label class="pg-small pg-wide">the other prompt <input type="text" class="pg-second" spellcheck="false"
      aria-label="the other prompt" title="drawn from the same noise; change one word"></label>
  </div>
  <div class="pg-bar pg-diff-more" data-for="grid">${gridAxis("x", "")}${gridAxis("y", option("", "nothing"))}</div>`;

const ONE_SCALE = inOneLine(`
  all words on one scale: one that gets little attention stays dark. Off: each from its least to its most, to see where
  it acts`);
const tokenRow = `
  <div class="pg-token-row">
    <div class="pg-tokens" role="group" aria-label="The words as the model sees them: one shows where it acts"></div>
    <button type="button" class="pg-chip pg-more-cut" data-do="cut" aria-expanded="false"
      title="beyond what the model reads" hidden></button>
    <button type="button" class="pg-chip" data-do="one_scale" aria-pressed="false"
      title="${ONE_SCALE}">one scale</button>
  </div>`;

// At the left is noise here, at the right the picture: a step of the run for each place.
const stepBar = `
  <div class="pg-bar" data-for="one two">
    ${iconButton("to_noise", ICON.toNoise, "to pure noise", "to pure noise (Home)")}
    ${iconButton("play", ICON.play, "play the denoising", "play from noise to picture (space)")}
    ${iconButton("to_data", ICON.toData, "to the picture", "to the picture (End)")}
    <input type="range" class="pg-t" min="0" max="1" value="0" disabled
      aria-label="how noisy: noise at the left, the picture at the right" title="from noise to picture: arrows scrub">
    <span class="pg-readout"></span>
  </div>`;

const viewChips = Object.entries(VIEWS)
  .filter(([, { name }]) => name)
  .map(([view, { name, hover }]) => chip("view", view, name, { "data-for": "one two", title: hover }));

const ofRun = { "data-for": "one two" };
const chartColumn = `
  <aside class="pg-charts" aria-label="Charts">
    ${stats([
      ["step", "step"],
      ["calls", "calls", "of the U-Net; with guidance each one is a doubled batch"],
      ["seconds", "seconds", "of computing"],
      ["seed", "seed", "of the chosen picture"],
    ])}
    ${chartFigure(
      "norm",
      "How hard the words pull",
      "<small>‖ε with words − ε∅‖</small>",
      "Length of the guidance direction at each step",
      ofRun,
    )}
    ${chartFigure(
      "levels",
      "Signal and noise",
      "<small>ᾱ grey, 1 − ᾱ blue</small>",
      "Share of signal and of noise at each step",
      ofRun,
    )}
    <p class="pg-look pg-model-words"></p>
    <p class="pg-look" data-for="grid">Every cell starts from the same noise (unless the seed changes). Click one: it is
      shown large, and all knobs stand as they did for it; Grid leads back.</p>
    <p class="pg-look" data-for="one two">Point at a word to see where it acts. Raise the guidance: the words pull
      harder, first for the better, then for the worse.</p>
  </aside>`;

const gallerySection = `
  <section class="pg-gallery" aria-label="Gallery of this session">
    <div class="pg-bar"><b>Gallery</b> <span class="pg-small pg-gallery-words">pictures of this session</span>
      <span class="pg-spring"></span>
      <button type="button" class="pg-chip" data-do="open"
        title="read the settings from a PNG; or drop one anywhere on the page">Open a PNG</button>
      ${keptActions}
      <input type="file" class="pg-open" accept="image/png" hidden></div>
    <div class="pg-shelf" role="listbox" aria-orientation="horizontal"
      aria-label="Pictures of this session: arrows walk, Enter chooses"></div>
    <p class="pg-small">Keys: space plays · ← → scrub · Home noise · End picture</p>
  </section>`;

const paperDialog = `
  <dialog class="pg-paper" aria-labelledby="pg-diff-paper-title">
    <h3 id="pg-diff-paper-title">Repaint</h3>
    <div class="pg-sheet"><canvas class="pg-below" width="128" height="128"></canvas>
      <canvas class="pg-pen pg-veil" width="128" height="128"
        aria-label="cover a part with the mouse or a finger"></canvas></div>
    <p class="pg-small pg-paper-note" role="status"></p>
    <div class="pg-bar"><button type="button" class="pg-main" data-do="repaint_this">Repaint this</button>
      <span class="pg-spring"></span>
      <button type="button" data-do="wipe">Clear</button><button type="button" data-do="cancel">Cancel</button></div>
  </dialog>`;

root.innerHTML = `
  <section class="pg-stage" aria-label="Stage">
    ${topBars}
    ${tokenRow}
    <div class="pg-diff-square">
      <div class="pg-progress" aria-hidden="true"><i></i></div>
      <canvas data-testid="stable-diffusion-live" data-k="0" data-painted="0" data-runs="0" data-steps="0"
        data-cells="0" data-done="0" role="img" tabindex="0" aria-label="Pictures between noise and words"></canvas>
      <div class="pg-drop" hidden>Drop a PNG to read its settings</div>
    </div>
    ${stepBar}
    <div class="pg-bar pg-views" role="group" aria-label="Views">
      ${viewChips.join("")}
      <span class="pg-spring"></span>
      ${keptActions}
    </div>
  </section>
  ${chartColumn}
  <section class="pg-diagram" aria-label="Stable Diffusion, with the numbers of this run"></section>
  ${gallerySection}
  ${paperDialog}`;

const stage = find(".pg-stage");
const canvas = find("canvas[data-testid]");
const slider = find(".pg-t");
const say = statusLine(".pg-status");
