// What a card consists of: its head, a row for each knob, and the rows of schedules that are drawn or learned.
const CARD_ICON = {
  duplicate: icon("M2 2h8v2h4v10H6v-4H2zM4 4v4h2V6h2V4zM8 6v6h4V6z"),
  remove: icon("M3 4l1-1 4 4 4-4 1 1-4 4 4 4-1 1-4-4-4 4-1-1 4-4z"),
};
const TIMESTEPS = {
  // the knob that all schedules have
  field: "timesteps",
  label: "T",
  default: 1000,
  low: 10,
  step: 10,
  log: false,
  help: "Into how many steps the way to noise is cut.",
};

const titleOptions = (titles) => Object.entries(titles).map(([name, title]) => new Option(title, name));
const scheduleOptions = () =>
  Object.entries(S.scene.meta.schedules).map(([name, { title }]) => new Option(title, name));

// The whole card again: its schedule is another one.
function build(card) {
  const { config, node } = card;
  const { meta } = S.scene;
  const line = lineOf(card);
  const swatch = make("i", { className: `pg-swatch${line.dash === "dot" ? " pg-dotted" : ""}` });
  swatch.style.color = line.color;
  const kind = make("select", { className: "pg-kind", ariaLabel: "schedule" }, ...scheduleOptions());
  kind.value = config.name;
  kind.addEventListener("change", () => choose(card, kind.value));
  const duplicate = () => addCard(structuredClone(card.curves ? card.curves.meta.config : card.config));
  node.setAttribute("aria-label", titleOf(config.name));
  node.dataset.name = config.name;
  node.replaceChildren(
    make(
      "header",
      {},
      swatch,
      kind,
      cardButton(card, "duplicate", duplicate),
      cardButton(card, "remove", () => removeCard(card)),
    ),
    make("p", { className: "pg-card-error", hidden: true, role: "alert" }),
    make("p", { className: "pg-sr pg-card-title" }),
    knobRow(card, { ...TIMESTEPS, high: meta.most_timesteps }),
    ...meta.schedules[config.name].knobs.map((spec) => knobRow(card, spec)),
    ...(curveFrom(config.name) === "hand" ? [buttonRow(card, "Draw it anew", () => openDrawing(card))] : []),
    ...(curveFrom(config.name) === "data" ? learnRows(card) : []),
    zeroRow(card),
    make("p", { className: "pg-card-refused" }),
    make("p", { className: "pg-card-warning pg-wrong" }),
  );
}

function cardButton(card, name, act) {
  const title = titleOf(card.config.name);
  const button = make("button", { type: "button", className: "pg-icon", title: name, ariaLabel: `${name}: ${title}` });
  button.innerHTML = CARD_ICON[name];
  button.dataset.card = name;
  button.addEventListener("click", act);
  return button;
}

function knobRow(card, spec) {
  const value = card.config[spec.field] ?? spec.default;
  const { log, low, high, label } = spec;
  const toSlider = (v) => (log ? (1000 * Math.log(v / low)) / Math.log(high / low) : v);
  const fromSlider = (s) => (log ? Number((low * (high / low) ** (s / 1000)).toPrecision(3)) : Number(s));
  const ends = log ? { min: 0, max: 1000, step: 1 } : { min: low, max: high, step: spec.step };
  const range = make("input", { type: "range", ...ends, ariaLabel: label, tabIndex: 0 });
  const number = make("input", { type: "number", step: "any", ariaLabel: `number input for ${label}` });
  range.value = toSlider(value);
  number.value = value;
  const row = make(
    "label",
    { className: "pg-knob", title: spec.help },
    make("span", { textContent: label }),
    range,
    number,
  );
  row.dataset.field = spec.field;
  const turn = (v) => {
    if (v === card.config[spec.field] && !card.wrong) return; // typed back, what was wrong is good again
    card.config = { ...card.config, [spec.field]: v };
    refresh(card);
  };
  range.addEventListener("input", () => {
    const v = fromSlider(range.value);
    number.value = v;
    turn(v);
  });
  number.addEventListener("input", () => {
    if (number.value === "") {
      card.wrong = refusal(spec.field, `${label}: give a number.`);
      showWrong(card);
      return;
    }
    range.value = toSlider(Number(number.value));
    turn(Number(number.value));
  });
  return row;
}

function zeroRow(card) {
  const box = make("input", { type: "checkbox", checked: !!card.config.rescale_betas_zero_snr });
  const row = make("label", { className: "pg-knob pg-zero" }, box, make("span", { textContent: "zero terminal SNR" }));
  row.title = "Shift and stretch √ᾱ so that nothing of the data is left at the last timestep (Lin et al. 2023).";
  row.dataset.field = "rescale_betas_zero_snr";
  box.addEventListener("change", () => {
    card.config = { ...card.config, rescale_betas_zero_snr: box.checked };
    refresh(card);
  });
  return row;
}

function buttonRow(card, text, act) {
  const button = make("button", { type: "button", textContent: text });
  button.addEventListener("click", act);
  const row = make("div", { className: "pg-knob pg-own" }, button);
  row.dataset.field = "knots";
  return row;
}

function learnRows(card) {
  const cloud = make("select", { ariaLabel: "cloud to learn the schedule on" }, ...titleOptions(S.scene.meta.clouds));
  cloud.value = card.cloud ?? cloud.value;
  cloud.addEventListener("change", () => {
    card.cloud = cloud.value;
  });
  const row = buttonRow(card, "Learn", () => learn(card, cloud.value));
  row.title = "Fit the log-SNR so that the loss varies as little as possible (Kingma et al. 2021)";
  row.prepend(cloud);
  return [row, make("p", { className: "pg-small pg-learn-word", role: "status" })];
}
