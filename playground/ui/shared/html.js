// Pieces of HTML that several stages consist of.

const inOneLine = (text) => text.replace(/\s+/g, " ").trim();
const option = (value, text = value) => `<option value="${value}">${text}</option>`;
const attributes = (values) =>
  Object.entries(values)
    .map(([name, value]) => ` ${name}="${value}"`)
    .join("");

// A toggle that chooses: chip("mode", "one", "One prompt") is a button with data-mode="one".
function chip(kind, value, text, more = {}) {
  const values = { [`data-${kind}`]: value, "aria-pressed": false, ...more };
  return `<button type="button" class="pg-chip"${attributes(values)}>${text}</button>`;
}

const modeChips = (modes, label) => `
  <div class="pg-modes" role="group" aria-label="${label}">
    ${Object.entries(modes)
      .map(([mode, name]) => chip("mode", mode, name))
      .join("")}
  </div>`;

const iconButton = (name, image, label, title) =>
  `<button type="button" data-do="${name}" aria-label="${label}" title="${title}">${image}</button>`;

const PLAY_SPEED = `
  <select class="pg-play-speed" aria-label="playing speed">
    <option value="0.25">¼×</option><option value="0.5">½×</option>
    <option value="1" selected>1×</option><option value="2">2×</option>
  </select>`;

// rows: [name, its term, hover, what stands there at first].
const stats = (rows, more = {}) => `
  <dl class="pg-stats"${attributes(more)}>
    ${rows
      .map(
        ([name, term, hover, first = "–"]) =>
          `<div><dt${hover ? ` title="${hover}"` : ""}>${term}</dt><dd data-stat="${name}">${first}</dd></div>`,
      )
      .join("")}
  </dl>`;

// The place of a chart: `small`, beside its title, may be HTML; `label` is read out in the canvas's place.
const chartFigure = (name, title, small, label, more = {}) => `
  <figure${attributes(more)}>
    <figcaption>${title} ${small}</figcaption>
    <canvas data-chart="${name}" role="img" aria-label="${label}"></canvas>
  </figure>`;

// The slider through the training time, and the way back.
const trainingBar = (seen, more = {}) => `
  <div class="pg-bar"${attributes(more)}>
    <span class="pg-small">training time</span>
    <input type="range" class="pg-time" min="0" max="0" value="0" aria-label="training time, rewind" disabled
      title="see the ${seen} of an earlier step; Train goes on from there">
    <span class="pg-time-readout">step 0</span>
    <button type="button" data-do="rewind" hidden title="put the network back to this step">Go back here</button>
  </div>`;

// The bar below a stage. `play`: label and hover of its button; `slider`: its ends; `step`: HTML of one more button.
const transportBar = ({ play: [label, hover], slider, step = "", kind = "", more = {} }) => `
  <div class="pg-bar ${kind}"${attributes(more)}>
    ${iconButton("to_noise", ICON.toNoise, "to pure noise", "to pure noise (End)")}
    ${iconButton("play", ICON.play, label, hover)}
    ${step}
    ${iconButton("to_data", ICON.toData, "to the data", "to the data (Home)")}
    <input type="range" class="pg-t"${attributes(slider)} aria-label="how noisy (t)"
      title="how noisy (t): arrows scrub">
    <span class="pg-readout"></span>
    ${PLAY_SPEED}
  </div>`;
