// Quality against network calls: the knobs of the chart, and the points that Python measures, filled in as they come.

// What to look for, under the knobs.
const LOOKS = {
  exact: inOneLine(`
    The exact denoiser of the cloud, a little blurred, makes no mistake: what is left is the sampler’s own. Where the
    steps end near no noise (EDM, or Karras spacing), first-order samplers (DDIM, Euler) fall along slope −1,
    second-order ones (DPM-Solver++, UniPC, Heun) along −2. On the others the last jump, to x̂0, starts where noise is
    left and is what one sees of the better samplers: along −½ on Laplace, less than −1 on scaled linear, −1.5 on
    linear and cosine.`),
  toy: inOneLine(`
    A small network is trained on each schedule first, some seconds each. Its own mistakes make a floor of their own:
    more calls stop helping.`),
  mnist: inOneLine(`
    The model that ships. Fréchet distance of a reader’s features, and its floor at this number of digits. Minutes on
    one core: choose few samplers.`),
};
const facets = find(".pg-facets");

function fillQuality() {
  const { denoisers, samplers, clouds } = S.scene.meta;
  find(".pg-denoiser").replaceChildren(...titleOptions(denoisers));
  find(".pg-quality-cloud").replaceChildren(...titleOptions(clouds));
  find(".pg-samplers").append(
    ...Object.entries(samplers).map(([name, { title, colour, charted }]) => {
      const box = make("input", { type: "checkbox", value: name, checked: charted });
      const mark = make("i");
      mark.style.background = colour;
      return make("label", {}, box, mark, document.createTextNode(title));
    }),
  );
  denoiserChanged();
}
function denoiserChanged() {
  const { value } = find(".pg-denoiser");
  setText(".pg-quality-look", LOOKS[value]);
  find(".pg-quality-cloud").disabled = value === "mnist";
  if (value !== "exact") showFigure("distance");
  find("[data-figure=error]").disabled = value !== "exact";
}
find(".pg-denoiser").addEventListener("change", denoiserChanged);

function showFigure(figure) {
  S.chart.figure = figure;
  setPressed("figure", figure);
  drawFacets();
}
const sayOfQuality = statusLine(".pg-quality-word");

function measuring(on) {
  S.measuring = on;
  S.heardAt = performance.now();
  disable("measure", on);
  disable("stop", !on);
  progress(on ? 0 : null);
}

const qualityActions = {
  measure() {
    const cards = goodCards();
    const samplers = all(".pg-samplers input:checked").map((box) => box.value);
    const asked = Date.now();
    const denoiser = find(".pg-denoiser").value;
    const shown = cards.map((card) => ({ name: shortName(card), title: card.curves.meta.title, line: lineOf(card) }));
    S.chart = { ...S.chart, denoiser, points: [], floor: null, cards: shown, asked };
    measuring(true);
    sayOfQuality("Starting …");
    drawFacets();
    trigger("measure", {
      asked,
      denoiser,
      samplers,
      cloud: find(".pg-quality-cloud").value,
      seed: Number(find(".pg-seed").value),
      schedules: cards.map((card) => card.curves.meta.config),
    });
  },
  stop() {
    trigger("stop", {});
    S.chart.asked = null; // what is on its way comes too late
    const n = S.chart.points.length;
    measuring(false);
    sayOfQuality(`Stopped: ${n} point${n === 1 ? "" : "s"}.`);
  },
  chart_csv() {
    const fields = ["sampler", "calls", "error", "distance", "seconds", "note"];
    const { points, cards, floor, about } = S.chart;
    const cell = (v) => (v == null ? "" : /[",\n]/.test(String(v)) ? `"${String(v).replaceAll('"', '""')}"` : v);
    const row = (p) => [cards[p.schedule].title, ...fields.map((field) => p[field])].map(cell).join(",");
    const head = [`# ${about}, floor of the distance ${floor ?? "unknown"}`, ["schedule", ...fields].join(",")];
    const text = [...head, ...points.map(row), ""].join("\n");
    download(new Blob([text], { type: "text/csv" }), "quality.csv");
  },
};

// Each message has all points so far: one may overtake another, and the last one is complete.
function onMeasured(meta) {
  if (meta.asked !== S.chart.asked) return;
  S.heardAt = performance.now();
  if (meta.points) S.chart.points = meta.points;
  if (meta.floor != null) S.chart.floor = meta.floor;
  if (meta.about) S.chart.about = meta.about;
  if (meta.total) progress(meta.points.length / meta.total);
  sayOfQuality(meta.word, meta.wrong);
  if (meta.done) measuring(false);
  drawFacets();
}
