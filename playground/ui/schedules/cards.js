// The cards at the left: one for each schedule, with the knobs it has. A card keeps its last good curves; what is refused
// is said at the knob that caused it.

const S = {
  scene: null, cards: [], next: 0, x: "t", equal: false, at: 0, playing: false, playedAt: 0, heldUntil: 0,
  digit: 3, cloud: 0, hover: null, zoom: { x: null, y: {} }, sampling: null,
  panels: PANELS.slice(), scheduled: false, room: 0, chart: { points: [], figure: "error", facet: "sampler", floor: null },
  measuring: false, learning: null, leaving: false, heardAt: 0,
};
find(".pg-play-speed").value = "1";

const refusal = (knob, text) => ({ knob, text });
const titleOf = (name) => S.scene.meta.schedules[name].title;
const good = () => S.cards.filter((card) => card.curves);
const lineOf = (card) => ({ color: PALETTE[card.colour % PALETTE.length], dash: card.colour < PALETTE.length ? "solid" : "dot" });
const shortName = (card) => { // told apart by number where two are of one kind
  const same = S.cards.filter((other) => other.config.name === card.config.name);
  return `${titleOf(card.config.name)}${same.length > 1 ? ` ${same.indexOf(card) + 1}` : ""}`;
};

// --- asking Python ---------------------------------------------------------------------------------------------------

async function question(name, wish) { // an answer, or {wrong, knob}
  try {
    return await server[name](wish);
  } catch (error) {
    return { wrong: "The server does not answer. Is it still there? Try again.", knob: "" };
  }
}

async function refresh(card) { // its curves; while one question is under way the next waits, and only the last one counts
  if (card.asking) { card.again = true; return; }
  card.asking = true;
  do {
    card.again = false;
    const asked = performance.now(), answer = await question("read_curves", { config: card.config });
    if (card.again) continue;
    card.wrong = answer.wrong ? refusal(answer.knob, answer.wrong) : null;
    if (answer.curves) takeCurves(card, answer.curves, asked);
  } while (card.again);
  card.asking = false;
  showWrong(card);
}

function takeCurves(card, packed, asked) {
  card.curves = unpack(packed);
  card.visits = null;
  const { meta } = card.curves;
  setCardText(card, ".pg-card-title", meta.title);
  setCardText(card, ".pg-card-warning", meta.warning ? `ᾱ_T = ${niceShare(card.curves.arrays.alphas_cumprod.data.at(-1))}: sampling starts where the data never arrived.` : "");
  card.node.querySelector(".pg-card-warning").title = meta.warning;
  curvesChanged();
  if (asked) canvas.dataset.answered = (performance.now() - asked).toFixed(1);
}

const niceShare = (v) => (v >= 0.01 ? v.toFixed(2) : v.toExponential(0));
function setCardText(card, selector, text) { const at = card.node.querySelector(selector); if (at.textContent !== text) at.textContent = text; }

// --- a card ------------------------------------------------------------------------------------------------------------

function addCard(config, packed) {
  if (S.cards.length >= MOST_CARDS) {
    setText(".pg-cards-note", `${MOST_CARDS} schedules side by side are the most. Remove one first.`);
    return null;
  }
  const used = new Set(S.cards.map((card) => card.colour));
  let colour = 0;
  while (used.has(colour)) colour++;
  const card = { id: S.next++, config, colour, curves: null, wrong: null, visits: null, node: make("article", { className: "pg-card" }) };
  S.cards.push(card);
  find(".pg-card-list").append(card.node);
  build(card);
  if (packed) takeCurves(card, packed); else refresh(card);
  cardsChanged();
  return card;
}

function build(card) { // the card anew: its schedule is another one
  const { config, node } = card, { meta } = S.scene;
  const line = lineOf(card);
  const swatch = make("i", { className: `pg-swatch${line.dash === "dot" ? " pg-dotted" : ""}` });
  swatch.style.color = line.color;
  const kind = make("select", { className: "pg-kind", ariaLabel: "schedule" }, ...Object.keys(meta.schedules).map((name) => new Option(titleOf(name), name)));
  kind.value = config.name;
  kind.addEventListener("change", () => choose(card, kind.value));
  const small = (name, text, label, act) => {
    const button = make("button", { type: "button", className: "pg-icon", title: label, ariaLabel: `${label}: ${titleOf(config.name)}`, innerHTML: text });
    button.dataset.card = name;
    button.addEventListener("click", act);
    return button;
  };
  node.setAttribute("aria-label", titleOf(config.name));
  node.dataset.name = config.name;
  node.replaceChildren(
    make("header", {}, swatch, kind, small("duplicate", icon("M2 2h8v2h4v10H6v-4H2zM4 4v4h2V6h2V4zM8 6v6h4V6z"), "duplicate", () => addCard(structuredClone(card.curves ? card.curves.meta.config : card.config))), small("remove", icon("M3 4l1-1 4 4 4-4 1 1-4 4 4 4-1 1-4-4-4 4-1-1 4-4z"), "remove", () => removeCard(card))),
    make("p", { className: "pg-card-error", hidden: true, role: "alert" }), make("p", { className: "pg-sr pg-card-title" }),
    knobRow(card, { field: "timesteps", label: "T", default: 1000, low: 10, high: meta.most_timesteps, step: 10, log: false, help: "Into how many steps the way to noise is cut." }),
    ...meta.schedules[config.name].knobs.map((spec) => knobRow(card, spec)),
    ...(config.name === "drawn" ? [ownRow(card, "Draw it anew", () => openDrawing(card))] : []),
    ...(config.name === "learned" ? learnRows(card) : []),
    zeroRow(card), make("p", { className: "pg-card-refused" }), make("p", { className: "pg-card-warning pg-wrong" }));
}

function knobRow(card, spec) {
  const value = card.config[spec.field] ?? spec.default, log = spec.log;
  const toSlider = (v) => (log ? 1000 * Math.log(v / spec.low) / Math.log(spec.high / spec.low) : v);
  const fromSlider = (s) => (log ? Number((spec.low * (spec.high / spec.low) ** (s / 1000)).toPrecision(3)) : Number(s));
  const range = make("input", { type: "range", min: log ? 0 : spec.low, max: log ? 1000 : spec.high, step: log ? 1 : spec.step, ariaLabel: spec.label, tabIndex: 0 });
  const number = make("input", { type: "number", step: "any", ariaLabel: `number input for ${spec.label}` });
  range.value = toSlider(value); number.value = value;
  const row = make("label", { className: "pg-knob", title: spec.help }, make("span", { textContent: spec.label }), range, number);
  row.dataset.field = spec.field;
  const turn = (v) => {
    if (v === card.config[spec.field] && !card.wrong) return; // typed back, what was wrong is good again
    card.config = { ...card.config, [spec.field]: v };
    refresh(card);
  };
  range.addEventListener("input", () => { const v = fromSlider(range.value); number.value = v; turn(v); });
  number.addEventListener("input", () => {
    if (number.value === "") { card.wrong = refusal(spec.field, `${spec.label}: give a number.`); showWrong(card); return; }
    range.value = toSlider(Number(number.value)); turn(Number(number.value));
  });
  return row;
}

function zeroRow(card) {
  const box = make("input", { type: "checkbox", checked: !!card.config.rescale_betas_zero_snr });
  const row = make("label", { className: "pg-knob pg-zero", title: "Shift and stretch √ᾱ so that nothing of the data is left at the last timestep (Lin et al. 2023)." }, box, make("span", { textContent: "zero terminal SNR" }));
  row.dataset.field = "rescale_betas_zero_snr";
  box.addEventListener("change", () => { card.config = { ...card.config, rescale_betas_zero_snr: box.checked }; refresh(card); });
  return row;
}

function ownRow(card, text, act) {
  const button = make("button", { type: "button", textContent: text });
  button.addEventListener("click", act);
  const row = make("div", { className: "pg-knob pg-own" }, button);
  row.dataset.field = "knots";
  return row;
}

function learnRows(card) {
  const cloud = make("select", { ariaLabel: "cloud to learn the schedule on" }, ...Object.entries(S.scene.meta.clouds).map(([name, title]) => new Option(title, name)));
  cloud.value = card.cloud ?? cloud.value;
  cloud.addEventListener("change", () => { card.cloud = cloud.value; });
  const row = ownRow(card, "Learn", () => learn(card, cloud.value));
  row.title = "Fit the log-SNR so that the loss varies as little as possible (Kingma et al. 2021)";
  row.prepend(cloud);
  return [row, make("p", { className: "pg-small pg-learn-word", role: "status" })];
}

function choose(card, name) {
  const before = card.config;
  if (name === "drawn") { openDrawing(card); return; } // until something is drawn the card stays what it is
  const { timesteps, rescale_betas_zero_snr: zero } = before;
  card.config = { name, ...(timesteps ? { timesteps } : {}), ...(zero ? { rescale_betas_zero_snr: zero } : {}) };
  card.wrong = null;
  build(card);
  if (name === "learned") learn(card, card.node.querySelector(".pg-own select").value); else refresh(card);
  cardsChanged();
}

function removeCard(card) {
  if (S.cards.length === 1) { setText(".pg-cards-note", "One schedule has to stay."); return; }
  S.cards.splice(S.cards.indexOf(card), 1);
  card.node.remove();
  cardsChanged(); curvesChanged();
  (S.cards.at(-1).node.querySelector("select")).focus();
}

function cardsChanged() {
  setText(".pg-cards-note", "");
  const which = find(".pg-which"), old = which.value;
  which.replaceChildren(...S.cards.map((card) => new Option(shortName(card), card.id)));
  which.value = S.cards.some((card) => String(card.id) === old) ? old : String(S.cards[0].id);
  for (const card of S.cards) card.node.setAttribute("aria-label", shortName(card));
  canvas.dataset.cards = S.cards.length;
}

function showWrong(card) {
  const { node, wrong } = card, at = node.querySelector(".pg-card-error"), row = wrong && node.querySelector(`[data-field="${CSS.escape(wrong.knob)}"]`);
  for (const knob of node.querySelectorAll(".pg-knob")) knob.classList.toggle("pg-at-fault", knob === row);
  for (const input of node.querySelectorAll(".pg-knob input")) input.setAttribute("aria-invalid", !!row && row.contains(input));
  at.textContent = wrong ? `${wrong.text}${card.curves ? " Shown: the last good curves." : ""}` : "";
  at.hidden = !wrong;
  if (row) row.after(at); else node.querySelector("header").after(at);
}

// --- a learned one -------------------------------------------------------------------------------------------------------

function learn(card, cloud) {
  if (S.learning != null) { setCardText(card, ".pg-learn-word", "Another one is being learned: wait for it."); return; }
  S.learning = card.id; S.heardAt = performance.now();
  setCardText(card, ".pg-learn-word", "Learning …");
  trigger("learn", { card: card.id, cloud, config: { ...card.config, name: "learned", knots: [] } });
}

function onLearned(meta) {
  S.heardAt = performance.now();
  const card = S.cards.find((one) => one.id === meta.card);
  if (meta.done || meta.wrong) S.learning = null;
  if (!card || card.config.name !== "learned") return;
  if (meta.waiting != null) { if (meta.waiting) setCardText(card, ".pg-learn-word", meta.waiting); return; }
  if (meta.wrong) { setCardText(card, ".pg-learn-word", ""); card.wrong = refusal("knots", meta.wrong); showWrong(card); return; }
  card.config = { ...card.config, knots: meta.config.knots };
  setCardText(card, ".pg-learn-word", `step ${meta.step} of ${meta.steps}, variance of the loss ${meta.variance.toPrecision(3)} nat², at least ${meta.least.toPrecision(3)} for any schedule`);
  refresh(card);
}
