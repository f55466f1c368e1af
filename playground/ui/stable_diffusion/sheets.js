// From what the model computes to pixels. A sheet holds all images of a step, one below the other, at their own size;
// it is made when it is first looked at and kept with its step.

// {values (N·C·h·w), shape}, or null where there are none.
function latentsOf(step, view) {
  const { latents, x0, cond, uncond } = step.arrays;
  if (!latents) return null;
  const { shape } = latents;
  if (view === "xt" || view === "channels") return { values: floats(latents), shape };
  if (view === "x0") return { values: floats(x0), shape };
  if (view === "cond") return { values: floats(cond), shape };
  if (view === "uncond") return uncond ? { values: floats(uncond), shape } : null;
  if (!uncond) return null;
  return { values: floats(cond).map((v, i) => v - uncond.data[i] * uncond.scale), shape }; // guidance
}

// Latents have no colours; a linear map gives them some that are near what the VAE would make of them.
function toRGB({ values, shape: [n, channels, h, w] }, map, offset, gain) {
  const size = h * w;
  const rgb = new Float32Array(n * 3 * size);
  for (let k = 0; k < n; k++) {
    for (let c = 0; c < 3; c++) {
      const out = (3 * k + c) * size;
      if (offset) rgb.fill(map[3 * channels + c], out, out + size);
      for (let channel = 0; channel < channels; channel++) {
        const weight = gain * map[3 * channel + c];
        const from = (channels * k + channel) * size;
        for (let i = 0; i < size; i++) rgb[out + i] += weight * values[from + i];
      }
    }
  }
  return rgb;
}

const meanSquare = (values) => values.reduce((sum, v) => sum + v * v, 0) / values.length;

// One for the whole run, so that one sees the guidance grow and fade.
function guidanceGain(slot) {
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

// {canvas, high, wide, n, stamp}, or null where there is nothing to see.
function sheetOf(slot, step, view) {
  const stamp = view === "guidance" ? guidanceGain(slot) : 1;
  const kept = step.sheets[view];
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
      tint(
        atlas,
        latents.values.map((v) => v / 2.5),
        shape,
        false,
      );
    } else {
      shape = [n, 3, h, w];
      tint(atlas, toRGB(latents, S.model.map, view === "xt" || view === "x0", stamp), shape, false);
    }
  }
  return (step.sheets[view] = { canvas: atlas.sheet, high: shape[2], wide: shape[3], n: shape[0], stamp });
}

// The largest box of this shape in a box, in its middle.
function within(aspect, x, y, width, height) {
  const wide = Math.min(width, height * aspect);
  const high = wide / aspect;
  return [x + (width - wide) / 2, y + (height - high) / 2, wide, high];
}

// Image k of a sheet, as large as it fits into this box.
function drawImageOf(g, sheet, k, x, y, width, height) {
  const box = within(sheet.wide / sheet.high, x, y, width, height);
  const [, , wide] = box;
  g.imageSmoothingEnabled = wide < sheet.wide || (wide < 3 * sheet.wide && wide % sheet.wide > 0.5);
  g.drawImage(sheet.canvas, 0, k * sheet.high, sheet.wide, sheet.high, ...box);
}
