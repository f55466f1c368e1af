// Reads what wire.py packs: {meta, arrays: {name: {data, shape}}}.
const TYPED = { i16: Int16Array, i8: Int8Array, f32: Float32Array };

function toBytes(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function openMessage(text) {
  const bytes = toBytes(text);
  const length = new DataView(bytes.buffer).getUint32(0, true);
  return {
    header: JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))),
    body: bytes.subarray(4 + length),
  };
}

function unpack(text) {
  // every array as numbers, a Float32Array
  const { header, body } = openMessage(text);
  const arrays = {};
  for (const { name, kind, shape, scale, at } of header.arrays) {
    const raw = new TYPED[kind](
      body.buffer,
      body.byteOffset + at,
      shape.reduce((a, b) => a * b, 1),
    );
    arrays[name] = { data: kind === "f32" ? raw.slice() : Float32Array.from(raw, (v) => v * scale), shape };
  }
  return { meta: header.meta, arrays };
}

// A message that may be deflated. Its arrays stay as they were sent, which is a quarter of the memory: a number is
// data × scale.
async function unpackLater(text) {
  const message = openMessage(text);
  const { header } = message;
  const arrays = {};
  let { body } = message;
  if (header.deflated) {
    const stream = new Blob([body]).stream().pipeThrough(new DecompressionStream("deflate"));
    body = new Uint8Array(await new Response(stream).arrayBuffer());
  }
  for (const { name, kind, shape, scale, at } of header.arrays) {
    arrays[name] = {
      data: new TYPED[kind](
        body.buffer,
        body.byteOffset + at,
        shape.reduce((a, b) => a * b, 1),
      ),
      shape,
      scale,
    };
  }
  return { meta: header.meta, arrays };
}

const floats = ({ data, scale }) => Float32Array.from(data, (v) => v * scale);
