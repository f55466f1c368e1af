// Numbers become pixels. An atlas holds all images of a batch at their own size, one below the other.
const LIMIT = 3; // of the noise's colours, in standard deviations
const rgb = (r, g, b) => (255 << 24) | (b << 16) | (g << 8) | r; // as a Uint32Array over RGBA bytes reads it
const GREY = Uint32Array.from({ length: 256 }, (_, i) => rgb(i, i, i));
// Noise: blue below 0, orange above (safe for the colour-blind), dark at 0, so that what a network sees in it stands
// out.
const DIVERGING = Uint32Array.from({ length: 256 }, (_, i) => {
  const v = (i - 127.5) / 127.5;
  const end = v < 0 ? [92, 178, 255] : [255, 184, 64];
  const share = Math.abs(v) ** 0.8;
  return rgb(...end.map((c, k) => Math.round([20, 22, 27][k] * (1 - share) + c * share)));
});

function newAtlas() {
  const sheet = document.createElement("canvas");
  return { sheet, g: sheet.getContext("2d"), image: null, words: null, stamp: null };
}

// values: (n, channels, height, width) numbers, -1 … 1 of an image, in standard deviations of noise.
function tint(atlas, values, [n, channels, height, width], noise) {
  const size = width * height;
  if (!atlas.image || atlas.image.width !== width || atlas.image.height !== n * height) {
    atlas.sheet.width = width;
    atlas.sheet.height = n * height;
    atlas.image = atlas.g.createImageData(width, n * height);
    atlas.words = new Uint32Array(atlas.image.data.buffer);
  }
  const { words, image } = atlas;
  const reach = noise ? LIMIT : 1;
  const gain = 127.5 / reach;
  if (channels === 1) {
    const colours = noise ? DIVERGING : GREY;
    for (let i = 0; i < n * size; i++) {
      const v = (values[i] + reach) * gain;
      words[i] = colours[v <= 0 ? 0 : v >= 255 ? 255 : (v + 0.5) | 0];
    }
  } else {
    const bytes = image.data; // clamps by itself
    for (let k = 0; k < n; k++) {
      for (let i = 0; i < size; i++) {
        const at = 4 * (k * size + i);
        const from = k * channels * size + i;
        for (let c = 0; c < 3; c++) bytes[at + c] = (values[from + Math.min(c, channels - 1) * size] + reach) * gain;
        bytes[at + 3] = 255;
      }
    }
  }
  atlas.g.putImageData(image, 0, 0);
}
