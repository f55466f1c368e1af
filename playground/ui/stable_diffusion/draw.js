// From what the model computes to pixels. A sheet holds all images of a step, one below the other, at their own size;
// it is made when first looked at and kept with its step.

const floats = ({ data, scale }) => Float32Array.from(data, (v) => v * scale);

function latentsOf(step, view) { // {values (N·C·h·w), shape}, or null where there is none
  const { latents, x0, cond, uncond } = step.arrays;
  if (!latents) return null;
  const { shape } = latents;
  if (view === "xt" || view === "channels") return { values: floats(latents), shape };
  if (view === "x0") return { values: floats(x0), shape };
  if (view === "cond") return { values: floats(cond), shape };
  if (view === "uncond") return uncond ? { values: floats(uncond), shape } : null;
  return uncond ? { values: floats(cond).map((v, i) => v - uncond.data[i] * uncond.scale), shape } : null; // guidance
}

// Latents have no colours; a linear map gives them some that are near what the VAE would make of them.
function toRGB({ values, shape: [n, channels, h, w] }, map, offset, gain) {
  const size = h * w, rgb = new Float32Array(n * 3 * size);
  for (let k = 0; k < n; k++) {
    for (let c = 0; c < 3; c++) {
      const out = (3 * k + c) * size;
      if (offset) rgb.fill(map[3 * channels + c], out, out + size);
      for (let channel = 0; channel < channels; channel++) {
        const weight = gain * map[3 * channel + c], from = (channels * k + channel) * size;
        for (let i = 0; i < size; i++) rgb[out + i] += weight * values[from + i];
      }
    }
  }
  return rgb;
}

const meanSquare = (values) => values.reduce((sum, v) => sum + v * v, 0) / values.length;

function guidanceGain(slot) { // one for the whole run, so that the pull is seen to grow and fade
  const last = slot.steps.length;
  if (slot.gainOf !== last) {
    let most = slot.most || 0;
    for (const step of slot.steps.slice(slot.gainOf || 0)) {
      const latents = step && latentsOf(step, "guidance");
      if (latents) most = Math.max(most, Math.sqrt(meanSquare(latents.values)));
    }
    Object.assign(slot, { gainOf: last, most });
  }
  return 0.8 / (slot.most || 1);
}

function sheetOf(slot, step, view) { // {canvas, high, wide}, or null where there is nothing to see
  const stamp = view === "guidance" ? guidanceGain(slot) : 1, kept = step.sheets[view];
  if (kept && kept.stamp === stamp) return kept;
  const atlas = newAtlas();
  let shape;
  if (view === "picture") {
    if (!step.arrays.images) return null;
    ({ shape } = step.arrays.images);
    tint(atlas, floats(step.arrays.images), shape, false);
  } else {
    const latents = latentsOf(step, view);
    if (!latents || !S.model) return null;
    const [n, channels, h, w] = latents.shape;
    if (view === "channels") {
      shape = [n * channels, 1, h, w];
      tint(atlas, latents.values.map((v) => v / 2.5), shape, false);
    } else {
      shape = [n, 3, h, w];
      tint(atlas, toRGB(latents, S.model.map, view === "xt" || view === "x0", stamp), shape, false);
    }
  }
  return (step.sheets[view] = { canvas: atlas.sheet, high: shape[2], wide: shape[3], n: shape[0], stamp });
}

const within = (aspect, x, y, width, height) => { // the largest box of this shape in a box, in its middle
  const wide = Math.min(width, height * aspect), high = wide / aspect;
  return [x + (width - wide) / 2, y + (height - high) / 2, wide, high];
};

function put(g, sheet, k, x, y, width, height) { // image k of a sheet, as large as it fits into this box
  const box = within(sheet.wide / sheet.high, x, y, width, height), [, , wide] = box;
  g.imageSmoothingEnabled = wide < sheet.wide || (wide < 3 * sheet.wide && wide % sheet.wide > 0.5);
  g.drawImage(sheet.canvas, 0, k * sheet.high, sheet.wide, sheet.high, ...box);
}

// --- where a word acts ---------------------------------------------------------------------------------------------------

function attentionAt(slot) { // the step whose maps are shown: the end has none of its own
  for (let k = Math.min(S.k, slot.steps.length - 1); k >= 0; k--) if (slot.steps[k] && slot.steps[k].arrays.attention) return slot.steps[k];
  return null;
}

function litIn(slot) { // the word pointed at, as a prompt has it; null where it says another one there
  const at = S.token ?? S.pinned, mine = at == null ? null : slot.tokens[at];
  return mine && !mine.cut && S.tokens[at] && mine.text === S.tokens[at].text ? mine : null;
}

function sharesOf({ arrays: { attention, peaks } }, { from, to }, k) { // of image k's attention, at each place: 0 … 1
  const { data, scale, shape: [, tokens, h, w] } = attention, size = h * w, shares = new Float32Array(size);
  for (let token = from; token <= to; token++) {
    const map = k * tokens + token;
    for (let i = 0; i < size; i++) shares[i] += data[map * size + i] * scale * peaks.data[map];
  }
  return shares;
}

function fullLight() { // the largest share of any word: the marks at both ends have most of it, and are none
  let most = 0;
  for (const slot of slotsShown()) {
    const step = attentionAt(slot);
    if (!step) continue;
    const { data, shape: [n, tokens] } = step.arrays.peaks;
    for (let i = 0; i < n * tokens; i++) if (tokens < 3 || (i % tokens && (i + 1) % tokens)) most = Math.max(most, data[i]);
  }
  return most;
}

function spotlight(step, token, light) { // dark where the word does not act; a sheet of all images
  const key = `${token.from} ${token.to} ${light}`;
  if (step.spot && step.spot.key === key) return step.spot;
  const { shape: [n, tokens, h, w] } = step.arrays.attention, size = h * w;
  if (token.to >= tokens) return null;
  const atlas = newAtlas();
  atlas.sheet.width = w; atlas.sheet.height = n * h;
  const image = atlas.g.createImageData(w, n * h);
  for (let k = 0; k < n; k++) {
    const shares = sharesOf(step, token, k), most = light || Math.max(...shares), least = light ? 0 : Math.min(...shares);
    for (let i = 0; i < size; i++) image.data[4 * (k * size + i) + 3] = 225 * (1 - Math.min(1, (shares[i] - least) / Math.max(1e-6, most - least)));
  }
  atlas.g.putImageData(image, 0, 0);
  return (step.spot = { canvas: atlas.sheet, high: h, wide: w, n, key });
}

function shade(g, slot, k, x, y, width, height) {
  const token = litIn(slot), step = token && attentionAt(slot), sheet = step && spotlight(step, token, S.oneLight ? fullLight() : 0);
  if (!sheet) return;
  const inset = sheet.wide > 1 ? 0.5 : 0; // smoothing reads beyond the edge of an image, into its neighbour on the sheet
  g.imageSmoothingEnabled = true;
  g.drawImage(sheet.canvas, inset, k * sheet.high + inset, sheet.wide - 2 * inset, sheet.high - 2 * inset, x, y, width, height);
}

const percent = (share) => (100 * share).toFixed(share < 0.0995 ? 1 : 0);
function attentionInWords(slot) { // [strong, weak]: what the light on the chosen picture says in numbers; null where no word is pointed at
  const at = S.token ?? S.pinned;
  if (S.view !== "picture" || at == null || !S.tokens[at]) return null;
  const step = attentionAt(slot), token = litIn(slot), name = `“${S.tokens[at].text}”`;
  if (!step) return [name, "attention was not recorded: tick “where words act” under “more”"];
  if (!token || token.to >= step.arrays.attention.shape[1]) return [name, "is not among these words"];
  const shares = sharesOf(step, token, S.chosen), light = S.oneLight ? `, full light ${percent(fullLight())} %` : "";
  return [name, `attention ${percent(Math.min(...shares))} … ${percent(Math.max(...shares))} %${light}`];
}
