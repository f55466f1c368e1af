// What lies above the curves: the slider's place, the steps of the sampler, and the values under the pointer.

function drawOverlay(panel, colours) {
  if (!panel.ready || !panel.figure.offsetParent) return;
  const name = S.panels[panel.k];
  const byLevel = overLevel(name);
  const { xaxis: xa, yaxis: ya } = panel.div._fullLayout; // Plotly's axes know where pixels are
  const area = fitted(panel.overlay);
  if (!area) return;
  const { g } = area;
  const left = xa._offset;
  const top = ya._offset;
  const bottom = top + ya._length;
  const px = (x) => left + xa.d2p(x);
  const py = (y) => top + ya.d2p(y);
  g.save();
  g.beginPath();
  g.rect(left - 1, top - 1, xa._length + 2, ya._length + 2);
  g.clip();
  const place = (card, index) => [px(xOf(card, index, byLevel)), py(valueAt(card, name, index))];
  const dot = (card, index, size) => {
    const [x, y] = place(card, index);
    if (!Number.isFinite(y)) return;
    g.fillStyle = lineOf(card).color;
    g.beginPath();
    g.arc(x, y, size, 0, 7);
    g.fill();
    g.strokeStyle = colours.back;
    g.lineWidth = 1;
    g.stroke();
  };
  for (const card of goodCards()) drawSteps(g, card, place, colours);
  const vertical = (x, dash) => {
    Object.assign(g, { strokeStyle: colours.text, globalAlpha: 0.6, lineWidth: 1 });
    g.setLineDash(dash);
    strokeLine(g, x, top, x, bottom);
    g.setLineDash([]);
    g.globalAlpha = 1;
  };
  if (byLevel === S.equal) vertical(px(S.equal ? level() : sameT() ? Math.round(S.at * (longest() - 1)) : S.at), []);
  for (const card of goodCards()) dot(card, indexNow(card), 3.2);
  if (S.hover) {
    if (byLevel === S.hover.byLevel) vertical(px(S.hover.x), [2, 3]);
    for (const card of goodCards()) dot(card, indexOf(card, S.hover.x, S.hover.byLevel), 2.4);
  }
  g.restore();
}

function niceValue(v) {
  if (!Number.isFinite(v)) return "−∞";
  const isPlain = v === 0 || (Math.abs(v) < 1e4 && Math.abs(v) >= 1e-3);
  return (v === 0 ? "0" : isPlain ? v.toPrecision(3) : v.toExponential(1)).replace("-", "−");
}

// The values of all schedules at one t, in the panel under the pointer.
function showHover(panel) {
  if (!S.hover || S.hover.panel !== panel.k) {
    panel.hover.hidden = true;
    return;
  }
  const { x, px, byLevel } = S.hover;
  const names = namesIn(S.panels[panel.k]);
  const symbols = names.map((name) => S.scene.meta.curves[name].symbol).join(", ");
  const place = byLevel ? `λ = ${niceValue(x)}` : sameT() ? `t = ${Math.round(x)}` : `${Math.round(100 * x)} % of T`;
  const values = (card) => {
    const index = indexOf(card, x, byLevel);
    const at = byLevel ? index : Math.round(index);
    return names.map((name) => niceValue(valueAt(card, name, at))).join(", ");
  };
  panel.hover.replaceChildren(
    make("b", { textContent: `${symbols} at ${place}` }),
    ...goodCards().map((card) => {
      const mark = make("i");
      mark.style.background = lineOf(card).color;
      return make(
        "span",
        {},
        mark,
        make("em", { textContent: shortName(card) }),
        document.createTextNode(values(card)),
      );
    }),
  );
  panel.hover.hidden = false;
  const wide = panel.hover.offsetWidth;
  const fits = px + 12 + wide < panel.plot.clientWidth;
  panel.hover.style.left = `${fits ? px + 12 : Math.max(0, px - 12 - wide)}px`;
}

for (const panel of panels) {
  const where = (event) => {
    if (!panel.ready) return null;
    const box = panel.plot.getBoundingClientRect();
    const xa = panel.div._fullLayout.xaxis;
    const px = event.clientX - box.left;
    const inside = px - xa._offset;
    if (inside < 0 || inside > xa._length) return null;
    return { panel: panel.k, px, x: xa.p2d(inside), byLevel: overLevel(S.panels[panel.k]) };
  };
  let pressed = null;
  const hover = (event) => {
    S.hover = event && where(event);
    panels.forEach(showHover);
    wake();
  };
  panel.plot.addEventListener("pointermove", hover);
  panel.plot.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") hover(null); // a finger leaves at once: what it asked for stays
  });
  panel.plot.addEventListener(
    "pointerdown",
    (event) => {
      pressed = [event.clientX, event.clientY];
      if (event.pointerType === "touch") hover(event);
    },
    true,
  );
  document.addEventListener("pointerup", (event) => {
    // a click puts the slider there; a drag is a zoom
    const isClick = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 4;
    const here = isClick ? where(event) : null;
    pressed = null;
    if (!here || here.byLevel !== S.equal) return;
    play(false);
    setAt(S.equal ? shareOfLevel(here.x) : here.x / (sameT() ? longest() - 1 : 1));
  });
  panel.chosen.addEventListener("change", () => {
    S.panels[panel.k] = panel.chosen.value;
    captionOf(panel);
    drawPanel(panel);
    wake();
  });
}
