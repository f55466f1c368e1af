// CLIP's corner: a table of captions and pictures, and a picture that CLIP alone painted.
const root = element.querySelector(".pg-lab");
root.innerHTML = `
  <section class="pg-clip-table" aria-label="What CLIP thinks fits">
    <p class="pg-look">CLIP turns pictures and captions into directions; the cosine between two says how well they fit. It is the text encoder above that learned this.</p>
    <label class="pg-small pg-clip-captions">captions, one a line <textarea rows="6" maxlength="1200" spellcheck="false" aria-label="captions, one a line">a red seven
a green seven
a red three
a thick digit
on a blue background
on a yellow background</textarea></label>
    <div class="pg-bar"><button type="button" class="pg-main" data-do="compare">Compare with the gallery</button></div>
    <div class="pg-clip-scroll"><table><tbody></tbody></table></div>
  </section>
  <section class="pg-clip-paint" aria-label="CLIP paints">
    <p class="pg-look">No diffusion at all: latents are moved until CLIP finds that they fit (Crowson et al. 2022). It likes what it gets; do you?</p>
    <div class="pg-bar"><input type="text" value="a red seven on a blue background" maxlength="400" spellcheck="false" aria-label="caption to paint">
      <button type="button" class="pg-main" data-do="paint">CLIP paints</button><button type="button" data-do="stop" disabled>Stop</button></div>
    <div class="pg-clip-sheet"><canvas data-testid="clip-painting" data-step="0" width="256" height="256" role="img" aria-label="CLIP's painting"></canvas>
      <figure><figcaption>Cosine with the caption <small class="pg-clip-step"></small></figcaption><canvas data-chart="cosine" role="img" aria-label="Cosine over the steps"></canvas></figure></div>
    <p class="pg-small pg-clip-status" role="status" aria-live="polite"></p>
  </section>`;
const find = (selector) => root.querySelector(selector);
const line = { x: [], y: [], color: COLOUR.exact };
let running = false;

const floats = ({ data, scale }) => Float32Array.from(data, (v) => v * scale);
function draw(canvas, images, n) {
  const atlas = newAtlas(), [, , h, w] = images.shape, g = canvas.getContext("2d");
  tint(atlas, floats(images), images.shape, false);
  g.imageSmoothingEnabled = false;
  g.drawImage(atlas.sheet, 0, n * h, w, h, 0, 0, canvas.width, canvas.height);
}

function say(text, wrong) {
  find(".pg-clip-status").textContent = text;
  find(".pg-clip-status").classList.toggle("pg-wrong", !!wrong);
}

function onTable({ meta, arrays }) {
  const rows = [], { captions, table } = meta, all = table.flat(), most = Math.max(...all), least = Math.min(...all);
  const head = document.createElement("tr");
  head.append(document.createElement("th"), ...table.map((_, n) => {
    const cell = document.createElement("th"), small = document.createElement("canvas");
    small.width = small.height = 64;
    draw(small, arrays.images, n);
    cell.append(small);
    return cell;
  }));
  rows.push(head);
  captions.forEach((caption, c) => {
    const row = document.createElement("tr"), name = document.createElement("th");
    name.textContent = caption; name.scope = "row";
    row.append(name, ...table.map((fits) => {
      const cell = document.createElement("td"), share = (fits[c] - least) / Math.max(1e-6, most - least);
      cell.textContent = fits[c].toFixed(2).replace("-", "−").replace("0.", ".");
      cell.style.background = `color-mix(in srgb, ${COLOUR.samples} ${Math.round(85 * share)}%, transparent)`;
      if (fits[c] === Math.max(...fits)) cell.className = "pg-best";
      return cell;
    }));
    rows.push(row);
  });
  find("tbody").replaceChildren(...rows);
  say("");
}

function onPainted({ meta, arrays }) {
  const canvas = find("[data-testid]");
  if (meta.step === 1) line.x.length = line.y.length = 0;
  draw(canvas, arrays.images, 0);
  canvas.dataset.step = meta.step;
  line.x.push(meta.step); line.y.push(meta.similarity);
  find(".pg-clip-step").textContent = `${meta.similarity.toFixed(2)} at step ${meta.step} of ${meta.steps}`;
  drawChart(find("[data-chart=cosine]"), { series: [line], xLabel: "step", yFrom0: true, yTo: 1 }, ink());
}

function run(on) {
  running = on;
  find("[data-do=paint]").disabled = on; find("[data-do=stop]").disabled = !on;
}

watch("value", async () => {
  if (!props.value) return;
  const message = await unpackLater(props.value), { kind } = message.meta;
  if (kind === "table") onTable(message);
  else if (kind === "painted") onPainted(message);
  else { run(false); say(message.meta.status, message.meta.wrong); }
});
const actions = {
  compare() { say("Comparing …"); trigger("compare", { captions: find("textarea").value }); },
  paint() { if (running) return; run(true); say("Painting …"); trigger("paint", { caption: find("input").value }); },
  stop() { trigger("stop", {}); },
};
root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) actions[button.dataset.do]();
});
find("input").addEventListener("keydown", (event) => { if (event.key === "Enter") actions.paint(); });
new ResizeObserver(() => { if (line.y.length) drawChart(find("[data-chart=cosine]"), { series: [line], xLabel: "step", yFrom0: true, yTo: 1 }, ink()); }).observe(root);
