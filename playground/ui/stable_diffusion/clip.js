// CLIP's corner: a table of captions and pictures, and a picture that CLIP alone painted.
const CAPTIONS = [
  "a red seven",
  "a green seven",
  "a red three",
  "a thick digit",
  "on a blue background",
  "on a yellow background",
];

root.innerHTML = `
  <section class="pg-clip-table" aria-label="What CLIP thinks fits">
    <p class="pg-look">CLIP turns pictures and captions into directions; the cosine between two says how well they fit.
      It is the text encoder above that learned this.</p>
    <label class="pg-small pg-clip-captions">captions, one a line
      <textarea rows="6" maxlength="1200" spellcheck="false" aria-label="captions, one a line"></textarea></label>
    <div class="pg-bar">
      <button type="button" class="pg-main" data-do="compare">Compare with the gallery</button></div>
    <div class="pg-clip-scroll"><table><tbody></tbody></table></div>
  </section>
  <section class="pg-clip-paint" aria-label="CLIP paints">
    <p class="pg-look">No diffusion at all: latents are moved until CLIP finds that they fit (Crowson et al. 2022).
      It likes what it gets; do you?</p>
    <div class="pg-bar"><input type="text" value="a red seven on a blue background" maxlength="400" spellcheck="false"
      aria-label="caption to paint">
      <button type="button" class="pg-main" data-do="paint">CLIP paints</button>
      <button type="button" data-do="stop" disabled>Stop</button></div>
    <div class="pg-clip-sheet">
      <canvas data-testid="clip-painting" data-step="0" width="256" height="256" role="img"
        aria-label="CLIP's painting"></canvas>
      ${chartFigure(
        "cosine",
        "Cosine with the caption",
        '<small class="pg-clip-step"></small>',
        "Cosine over the steps",
      )}
    </div>
    <p class="pg-small pg-clip-status" role="status" aria-live="polite"></p>
  </section>`;
find("textarea").value = CAPTIONS.join("\n");
const say = statusLine(".pg-clip-status");
const line = { x: [], y: [], color: COLOUR.exact };
let running = false;

// Image n of a batch, as large as the canvas.
function draw(canvas, images, n) {
  const atlas = newAtlas();
  const [, , h, w] = images.shape;
  const g = canvas.getContext("2d");
  tint(atlas, floats(images), images.shape, false);
  g.imageSmoothingEnabled = false;
  g.drawImage(atlas.sheet, 0, n * h, w, h, 0, 0, canvas.width, canvas.height);
}

function onTable({ meta: { captions, table }, arrays: { images } }) {
  const cosines = table.flat();
  const most = Math.max(...cosines);
  const least = Math.min(...cosines);
  const pictures = table.map((_, n) => {
    const small = make("canvas", { width: 64, height: 64 });
    draw(small, images, n);
    return make("th", {}, small);
  });
  const cell = (fits, c) => {
    const share = (fits[c] - least) / Math.max(1e-6, most - least);
    const td = make("td", { textContent: fits[c].toFixed(2).replace("-", "−").replace("0.", ".") });
    td.style.background = `color-mix(in srgb, ${COLOUR.samples} ${Math.round(85 * share)}%, transparent)`;
    if (fits[c] === Math.max(...fits)) td.className = "pg-best";
    return td;
  };
  const row = (caption, c) =>
    make("tr", {}, make("th", { textContent: caption, scope: "row" }), ...table.map((fits) => cell(fits, c)));
  find("tbody").replaceChildren(make("tr", {}, make("th"), ...pictures), ...captions.map(row));
  say("");
}

function onPainted({ meta, arrays }) {
  const canvas = find("[data-testid]");
  if (meta.step === 1) line.x.length = line.y.length = 0;
  draw(canvas, arrays.images, 0);
  canvas.dataset.step = meta.step;
  line.x.push(meta.step);
  line.y.push(meta.similarity);
  setText(".pg-clip-step", `${meta.similarity.toFixed(2)} at step ${meta.step} of ${meta.steps}`);
  chart();
}

function chart() {
  drawChart(find("[data-chart=cosine]"), { series: [line], xLabel: "step", yFrom0: true, yTo: 1 }, ink());
}

function run(on) {
  running = on;
  disable("paint", on);
  disable("stop", !on);
}

watch("value", async () => {
  if (!props.value) return;
  const message = await unpackLater(props.value);
  const { kind } = message.meta;
  if (kind === "table") onTable(message);
  else if (kind === "painted") onPainted(message);
  else {
    run(false);
    say(message.meta.status, message.meta.wrong);
  }
});
const actions = {
  compare() {
    say("Comparing …");
    trigger("compare", { captions: find("textarea").value });
  },
  paint() {
    if (running) return;
    run(true);
    say("Painting …");
    trigger("paint", { caption: find("input").value });
  },
  stop() {
    trigger("stop", {});
  },
};
onButtons({ do: (name) => actions[name]() });
find("input").addEventListener("keydown", (event) => {
  if (event.key === "Enter") actions.paint();
});
new ResizeObserver(() => {
  if (line.y.length) chart();
}).observe(root);
