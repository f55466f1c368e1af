// Where a word acts: the attention that it gets at each place of a picture, as light and in numbers.

// The step whose maps are shown: the end has none of its own.
function attentionAt(slot) {
  return slot.steps.slice(0, S.k + 1).findLast((step) => step && step.arrays.attention) || null;
}

// The word pointed at, as this prompt has it; null where another one stands there.
function tokenIn(slot) {
  const at = S.token ?? S.pinned;
  const mine = at == null ? null : slot.tokens[at];
  return mine && !mine.cut && S.tokens[at] && mine.text === S.tokens[at].text ? mine : null;
}

// Of the attention at each place of image k, the share that these tokens have: 0 … 1.
function sharesOf({ arrays: { attention, peaks } }, { from, to }, k) {
  const {
    data,
    scale,
    shape: [, tokens, h, w],
  } = attention;
  const size = h * w;
  const shares = new Float32Array(size);
  for (let token = from; token <= to; token++) {
    const map = k * tokens + token;
    for (let i = 0; i < size; i++) shares[i] += data[map * size + i] * scale * peaks.data[map];
  }
  return shares;
}

// The largest share of any word. The marks at both ends have more, but they are no words.
function largestShare() {
  let most = 0;
  for (const slot of slotsShown()) {
    const step = attentionAt(slot);
    if (!step) continue;
    const {
      data,
      shape: [n, tokens],
    } = step.arrays.peaks;
    const isWord = (i) => tokens < 3 || (i % tokens && (i + 1) % tokens);
    for (let i = 0; i < n * tokens; i++) if (isWord(i)) most = Math.max(most, data[i]);
  }
  return most;
}

// A sheet to lay over all images: dark where the word does not act. `full`: the share that is not darkened at all, or
// 0 for the largest share in each image.
function spotlight(step, token, full) {
  const key = `${token.from} ${token.to} ${full}`;
  if (step.spot && step.spot.key === key) return step.spot;
  const {
    shape: [n, tokens, h, w],
  } = step.arrays.attention;
  const size = h * w;
  if (token.to >= tokens) return null;
  const atlas = newAtlas();
  atlas.sheet.width = w;
  atlas.sheet.height = n * h;
  const image = atlas.g.createImageData(w, n * h);
  for (let k = 0; k < n; k++) {
    const shares = sharesOf(step, token, k);
    const most = full || Math.max(...shares);
    const least = full ? 0 : Math.min(...shares);
    for (let i = 0; i < size; i++) {
      const light = Math.min(1, (shares[i] - least) / Math.max(1e-6, most - least));
      image.data[4 * (k * size + i) + 3] = 225 * (1 - light);
    }
  }
  atlas.g.putImageData(image, 0, 0);
  return (step.spot = { canvas: atlas.sheet, high: h, wide: w, n, key });
}

function shade(g, slot, k, x, y, width, height) {
  const token = tokenIn(slot);
  const step = token && attentionAt(slot);
  const sheet = step && spotlight(step, token, S.oneScale ? largestShare() : 0);
  if (!sheet) return;
  // smoothing reads beyond the edge of an image, into its neighbour on the sheet
  const inset = sheet.wide > 1 ? 0.5 : 0;
  const [wide, high] = [sheet.wide - 2 * inset, sheet.high - 2 * inset];
  g.imageSmoothingEnabled = true;
  g.drawImage(sheet.canvas, inset, k * sheet.high + inset, wide, high, x, y, width, height);
}

const percent = (share) => (100 * share).toFixed(share < 0.0995 ? 1 : 0);
// [strong, weak]: what the light on the chosen picture says in numbers; null where no word is pointed at.
function attentionInWords(slot) {
  const at = S.token ?? S.pinned;
  if (S.view !== "picture" || at == null || !S.tokens[at]) return null;
  const step = attentionAt(slot);
  const token = tokenIn(slot);
  const name = `“${S.tokens[at].text}”`;
  if (!step) return [name, "attention was not recorded: tick “where words act” under “more”"];
  if (!token || token.to >= step.arrays.attention.shape[1]) return [name, "is not among these words"];
  const shares = sharesOf(step, token, S.chosen);
  const full = S.oneScale ? `, full light ${percent(largestShare())} %` : "";
  return [name, `attention ${percent(Math.min(...shares))} … ${percent(Math.max(...shares))} %${full}`];
}
