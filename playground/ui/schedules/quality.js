// Quality against network calls, measured by Python and filled in as it comes; and the schedule in diffusers' words.

const LOOKS = {
  exact: "The exact denoiser of the cloud, a little blurred, makes no mistake: what is left is the sampler’s own. Where the steps end near no noise (EDM, or Karras spacing), first-order samplers (DDIM, Euler) fall along slope −1, second-order ones (DPM-Solver++, UniPC, Heun) along −2. On the others the last jump, to x̂0, starts where noise is left and is what one sees of the better samplers: along −½ on Laplace, less than −1 on scaled linear, −1.5 on linear and cosine.",
  toy: "A small network is trained on each schedule first, some seconds each. Its own mistakes make a floor of their own: more calls stop helping.",
  mnist: "The model that ships. Fréchet distance of a reader’s features, and its floor at this number of digits. Minutes on one core: choose few samplers.",
};
const facets = find(".pg-facets");

function fillQuality() {
  const { denoisers, samplers, clouds } = S.scene.meta;
  find(".pg-denoiser").replaceChildren(...Object.entries(denoisers).map(([name, title]) => new Option(title, name)));
  find(".pg-quality-cloud").replaceChildren(...Object.entries(clouds).map(([name, title]) => new Option(title, name)));
  find(".pg-samplers").append(...Object.entries(samplers).map(([name, { title, colour, charted }]) => {
    const box = make("input", { type: "checkbox", value: name, checked: charted }), mark = make("i");
    mark.style.background = colour;
    return make("label", {}, box, mark, document.createTextNode(title));
  }));
  lookQuality();
}
function lookQuality() {
  const { value } = find(".pg-denoiser");
  setText(".pg-quality-look", LOOKS[value]);
  find(".pg-quality-cloud").disabled = value === "mnist";
  if (value !== "exact") showFigure("distance");
  find("[data-figure=error]").disabled = value !== "exact";
}
find(".pg-denoiser").addEventListener("change", lookQuality);

function showFigure(figure) { S.chart.figure = figure; pressed("figure", figure); drawFacets(); }
const pressed = (name, value) => { for (const chip of all(`[data-${name}]`)) chip.setAttribute("aria-pressed", chip.dataset[name] === value); };
const qualityWord = (text, wrong) => { setText(".pg-quality-word", text); find(".pg-quality-word").classList.toggle("pg-wrong", !!wrong); };

function measuring(on) {
  S.measuring = on; S.heardAt = performance.now();
  find("[data-do=measure]").disabled = on; find("[data-do=stop]").disabled = !on;
  find(".pg-quality .pg-progress").classList.toggle("pg-on", on);
}

const qualityActions = {
  measure() {
    const cards = good(), samplers = all(".pg-samplers input:checked").map((box) => box.value);
    S.chart = { ...S.chart, denoiser: find(".pg-denoiser").value, points: [], floor: null, cards: cards.map((card) => ({ name: shortName(card), title: card.curves.meta.title, line: lineOf(card) })), asked: Date.now() };
    measuring(true); qualityWord("Starting …"); drawFacets();
    trigger("measure", { asked: S.chart.asked, denoiser: S.chart.denoiser, cloud: find(".pg-quality-cloud").value, seed: Number(find(".pg-seed").value),
      samplers, schedules: cards.map((card) => card.curves.meta.config) });
  },
  stop() {
    trigger("stop", {});
    S.chart.asked = null; // what is on its way comes too late
    measuring(false); qualityWord(`Stopped: ${S.chart.points.length} point${S.chart.points.length === 1 ? "" : "s"}.`);
  },
  chart_csv() {
    const head = ["schedule", "sampler", "calls", "error", "distance", "seconds", "note"], { points, cards, floor } = S.chart;
    const cell = (v) => (v == null ? "" : /[",\n]/.test(String(v)) ? `"${String(v).replaceAll('"', '""')}"` : v);
    const rows = points.map((p) => [cards[p.schedule].title, p.sampler, p.calls, p.error, p.distance, p.seconds, p.note].map(cell).join(","));
    download(new Blob([[`# ${S.chart.about}, floor of the distance ${floor ?? "unknown"}`, head.join(","), ...rows, ""].join("\n")], { type: "text/csv" }), "quality.csv");
  },
};

function onMeasured(meta) { // all points so far: messages may be overtaken, the last one is complete
  if (meta.asked !== S.chart.asked) return;
  S.heardAt = performance.now();
  if (meta.points) S.chart.points = meta.points;
  if (meta.floor != null) S.chart.floor = meta.floor;
  if (meta.about) S.chart.about = meta.about;
  if (meta.total) find(".pg-quality .pg-progress i").style.width = `${100 * meta.points.length / meta.total}%`;
  qualityWord(meta.word, meta.wrong);
  if (meta.done) measuring(false);
  drawFacets();
}

// --- the charts: small multiples on the same axes -----------------------------------------------------------------------------

function facetsNow() { // [{title, lines: [{color, dash, name, points}]}]
  const { points, cards, facet } = S.chart, { samplers } = S.scene.meta, names = Object.keys(samplers).filter((name) => points.some((p) => p.sampler === name));
  const line = (name, colour, some) => ({ name, ...colour, points: some });
  if (facet === "sampler") return names.map((name) => ({ title: samplers[name].title, lines: cards.map((card, k) => line(card.name, card.line, points.filter((p) => p.sampler === name && p.schedule === k))) }));
  return cards.map((card, k) => ({ title: card.name, lines: names.map((name) => line(samplers[name].title, { color: samplers[name].colour, dash: "solid" }, points.filter((p) => p.sampler === name && p.schedule === k))) }));
}

function drawFacets() {
  facets.dataset.points = S.chart.points.length;
  find("[data-do=chart_csv]").disabled = !S.chart.points.length;
  if (!plotly || !root.offsetParent) return;
  const { figure, floor, denoiser } = S.chart, groups = S.chart.points.length ? facetsNow() : [{ title: "Press Measure: error against network calls, sampler by sampler", lines: [] }];
  const has = (p) => p[figure] != null && p[figure] > 0, seen = S.chart.points.filter(has), colours = ink();
  const values = [...seen.map((p) => p[figure]), ...(figure === "distance" && floor ? [floor] : [])].map(Math.log10);
  const y = values.length ? [Math.floor(Math.min(...values) * 2) / 2 - 0.1, Math.ceil(Math.max(...values) * 2) / 2 + 0.1] : [-3, 0.5], x = [Math.log10(2.6), Math.log10(170)];
  const ticks = y[1] - y[0] > 2 ? { dtick: 1, exponentformat: "power" } : { tickvals: [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3].flatMap((k) => [1, 2, 5].map((m) => m * 10 ** k)), tickformat: "~g" };
  const unit = figure === "distance" && denoiser === "mnist" ? "Fréchet distance" : `${figure}, cloud’s units`;
  while (facets.children.length < groups.length) facets.append(make("figure", {}, make("figcaption"), make("div", { className: "pg-facet" }), make("p", { className: "pg-small pg-facet-note" })));
  while (facets.children.length > groups.length) { plotly.purge(facets.lastChild.children[1]); facets.lastChild.remove(); }
  groups.forEach(({ title, lines }, k) => {
    const [caption, div, note] = facets.children[k].children;
    caption.textContent = title;
    const traces = lines.map(({ name, color, dash, points }) => ({ type: "scatter", mode: "lines+markers", name, x: points.filter(has).map((p) => p.calls), y: points.filter(has).map((p) => p[figure]),
      line: { color, width: 1.6, dash }, marker: { color, size: 5 }, hovertemplate: `${name}: %{y:.3g} at %{x} calls<extra></extra>` }));
    const guides = [];
    if (figure === "distance" && floor) guides.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: floor, y1: floor, line: { color: colours.faint, width: 1, dash: "dash" } });
    if (figure === "error" && seen.length) for (const order of [1, 2]) { const top = 10 ** (y[1] - 0.25); guides.push({ type: "line", x0: 10, x1: 100, y0: top, y1: top * 10 ** -order, line: { color: colours.faint, width: 1, dash: "dot" } }); }
    const words = guides.map((guide, i) => ({ text: figure === "distance" ? `floor ${floor.toPrecision(2)}` : `slope −${i + 1}`, showarrow: false, font: { size: 10, color: colours.faint }, xanchor: "left", yanchor: "bottom",
      ...(figure === "distance" ? { xref: "paper", x: 0.01, y: Math.log10(floor) } : { x: Math.log10(30), y: y[1] - 0.25 - (i + 1) * Math.log10(3) + 0.02 }) }));
    plotly.react(div, traces, { height: 260, width: facets.children[k].clientWidth, margin: { l: 58, r: 8, t: 4, b: 34 }, showlegend: false, hovermode: "closest", paper_bgcolor: "transparent", plot_bgcolor: "transparent", uirevision: `${figure} ${S.chart.facet}`,
      font: { family: FONT, color: colours.text, size: 11 }, shapes: guides, annotations: words,
      xaxis: { ...axis(colours), type: "log", range: x, tickvals: [4, 8, 16, 32, 64, 128], title: { text: "network calls", standoff: 4, font: { size: 11 } } },
      yaxis: { ...axis(colours), type: "log", range: y, ...ticks, title: { text: unit, standoff: 2, font: { size: 10 } } } }, { ...CONFIG, doubleClick: "reset" });
    const missing = [...new Set(lines.flatMap((l) => l.points.filter((p) => p.note).map((p) => `${l.name}, ${p.budget} calls: ${p.note}`)))];
    const noisy = [...new Set(lines.flatMap((l) => l.points.filter((p) => !p.note && p[figure] == null).map((p) => S.scene.meta.samplers[p.sampler].title)))].join(", "), first = S.chart.facet === "sampler" || k === 0;
    note.textContent = [first && noisy && `${noisy} adds noise at every step and so ends elsewhere than the exact path: see its distance to the data.`,
      missing.length && `${missing[0]}${missing.length > 1 ? ` (and ${missing.length - 1} more left out)` : ""}`].filter(Boolean).join(" ");
    note.title = missing.join("\n");
  });
  find(".pg-quality-legend").replaceChildren(...groups[0].lines.map(({ name, color }) => {
    const mark = make("i");
    mark.style.background = color;
    return make("span", {}, mark, document.createTextNode(name));
  }));
}

// --- in diffusers' words ----------------------------------------------------------------------------------------------------------

let codeAsked = 0, code = null;
const chosenCard = () => good().find((card) => String(card.id) === find(".pg-which").value) || good()[0];
async function refreshCode() {
  const mine = ++codeAsked, card = chosenCard();
  if (!card) return;
  const answer = await question("read_code", { config: card.curves.meta.config, sampling: S.sampling });
  if (mine !== codeAsked) return;
  const note = find(".pg-bridge-note");
  note.classList.toggle("pg-wrong", !!answer.wrong);
  note.textContent = answer.wrong ? `${answer.wrong} Shown: the last that could be.` : answer.notes.join(" ");
  if (answer.wrong) return;
  code = answer;
  setText(".pg-snippet code", answer.snippet);
}
find(".pg-which").addEventListener("change", refreshCode);

async function takeCurvesHome(kind) {
  const answer = await question("read_files", { configs: good().map((card) => card.curves.meta.config), kind });
  if (answer.wrong) { setText(".pg-bridge-note", answer.wrong); return; }
  download(new Blob([answer.text], { type: kind === "csv" ? "text/csv" : "application/json" }), `schedules.${kind}`);
}

const bridgeActions = {
  curves_csv: () => takeCurvesHome("csv"),
  curves_json: () => takeCurvesHome("json"),
  config_json() { if (code) download(new Blob([`${JSON.stringify(code.json, null, 2)}\n`], { type: "application/json" }), "scheduler_config.json"); },
  async copy() {
    const button = find("[data-do=copy]");
    try { await navigator.clipboard.writeText(find(".pg-snippet code").textContent); button.textContent = "Copied"; } catch {
      getSelection().selectAllChildren(find(".pg-snippet code")); button.textContent = "Selected: Ctrl+C"; // no clipboard without https
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  },
};

function fillUses() { // the tabs that take a schedule
  find(".pg-use").replaceChildren(...Object.entries(props.takers).map(([name, title]) => {
    const button = make("button", { type: "button", textContent: `Use it in ${title}` });
    button.dataset.take = name;
    button.addEventListener("click", () => {
      const card = chosenCard();
      if (!card) return;
      S.leaving = true;
      trigger("use", { where: name, config: card.curves.meta.config, sampling: S.sampling });
    });
    return button;
  }));
}
