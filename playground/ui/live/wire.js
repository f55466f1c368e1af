// Reads what wire.py packs: {meta, arrays: {name: {data: Float32Array, shape}}}.
function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const types = { i16: Int16Array, i8: Int8Array, f32: Float32Array };
  const arrays = {};
  for (const { name, kind, shape, scale, at } of header.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    const raw = new types[kind](bytes.buffer, 4 + length + at, count);
    arrays[name] = { data: kind === "f32" ? raw.slice() : Float32Array.from(raw, (v) => v * scale), shape };
  }
  return { meta: header.meta, arrays };
}
