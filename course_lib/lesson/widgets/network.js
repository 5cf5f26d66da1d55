// The forward pass of course_lib.models.ConvVQVAE on images: a safetensors file in, codes and pictures out.
//
// A map is {height, width, channels, values}: Float32Array, row by row, the channels of one pixel side by side, so
// that the innermost loop of each product runs over neighbours in memory. No size is written down here: channels,
// kernels, K and D are those of the file, and so is the order of the layers.
const network = (() => {
  const READERS = {
    F16: (view, at, count) => {
      const values = new Float32Array(count);
      for (let i = 0; i < count; i++) values[i] = half(view.getUint16(at + 2 * i, true));
      return values;
    },
    F32: (view, at, count) => Float32Array.from({ length: count }, (_, i) => view.getFloat32(at + 4 * i, true)),
  };

  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1024 + fraction) * POWERS[exponent];
  }
  const POWERS = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** (exponent - 25));

  /** DataView of a safetensors file -> {name: {shape, values}}. Tensors that are no floats are left out. */
  function tensors(view) {
    const length = Number(view.getBigUint64(0, true));
    const header = new Uint8Array(view.buffer, view.byteOffset + 8, length);
    const found = {};
    for (const [name, entry] of Object.entries(JSON.parse(text(header)))) {
      const read = READERS[entry.dtype];
      if (!read) continue; // `initialised`, and the file's own __metadata__
      const count = entry.shape.reduce((a, b) => a * b, 1);
      found[name] = { shape: entry.shape, values: read(view, 8 + length + entry.data_offsets[0], count) };
    }
    return found;
  }

  function text(bytes) {
    const parts = []; // by parts, as a call takes only so many arguments
    for (let i = 0; i < bytes.length; i += 4096) parts.push(String.fromCharCode(...bytes.subarray(i, i + 4096)));
    return parts.join(""); // names of parameters are ASCII
  }

  /**
   * rows (count x inner) times the transpose of weight (outer x inner), plus bias: (count x outer).
   *
   * Two rows meet four weights at a time: eight sums in registers, for six numbers read. Sums are in float64.
   */
  function product(rows, weight, bias, count, inner, outer) {
    const out = new Float32Array(count * outer);
    let i = 0;
    for (; i + 1 < count; i += 2) {
      const a = i * inner;
      const b = a + inner;
      let j = 0;
      for (; j + 3 < outer; j += 4) {
        const w0 = j * inner;
        const w1 = w0 + inner;
        const w2 = w1 + inner;
        const w3 = w2 + inner;
        let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
        for (let q = 0; q < inner; q++) {
          const x = rows[a + q];
          const y = rows[b + q];
          const p0 = weight[w0 + q];
          const p1 = weight[w1 + q];
          const p2 = weight[w2 + q];
          const p3 = weight[w3 + q];
          a0 += x * p0; a1 += x * p1; a2 += x * p2; a3 += x * p3;
          b0 += y * p0; b1 += y * p1; b2 += y * p2; b3 += y * p3;
        }
        const at = i * outer + j;
        out[at] = a0; out[at + 1] = a1; out[at + 2] = a2; out[at + 3] = a3;
        out[at + outer] = b0; out[at + outer + 1] = b1; out[at + outer + 2] = b2; out[at + outer + 3] = b3;
      }
      for (; j < outer; j++) {
        out[i * outer + j] = dot(rows, a, weight, j * inner, inner);
        out[(i + 1) * outer + j] = dot(rows, b, weight, j * inner, inner);
      }
    }
    for (; i < count; i++)
      for (let j = 0; j < outer; j++) out[i * outer + j] = dot(rows, i * inner, weight, j * inner, inner);
    if (bias) for (let at = 0; at < out.length; at++) out[at] += bias[at % outer];
    return out;
  }

  function dot(a, i, b, j, count) {
    let sum = 0;
    for (let q = 0; q < count; q++) sum += a[i + q] * b[j + q];
    return sum;
  }

  /** A weight of torch.nn.Conv2d, (C', C, k, k) -> the layer, its weight as (C', k * k * C). */
  function convolution({ shape, values }, bias, stride, padding) {
    const [outer, channels, kernel] = shape;
    const area = kernel * kernel;
    const weight = new Float32Array(values.length);
    for (let o = 0, from = 0; o < outer; o++)
      for (let c = 0; c < channels; c++)
        for (let k = 0; k < area; k++) weight[(o * area + k) * channels + c] = values[from++];
    return { run: convolve, weight, bias, kernel, stride, padding, outer };
  }

  /** A weight of torch.nn.ConvTranspose2d, (C, C', k, k) -> the layer, its weight as (k * k * C', C). */
  function transposed({ shape, values }, bias, stride, padding) {
    const [channels, outer, kernel] = shape;
    const area = kernel * kernel;
    const weight = new Float32Array(values.length);
    for (let c = 0, from = 0; c < channels; c++)
      for (let o = 0; o < outer; o++)
        for (let k = 0; k < area; k++) weight[(k * outer + o) * channels + c] = values[from++];
    return { run: spread, weight, bias, kernel, stride, padding, outer };
  }

  /** Each output pixel is a product of the weight with the patch under it, and the patches are laid out as rows. */
  function convolve(layer, { height, width, channels, values }) {
    const { weight, bias, kernel, stride, padding, outer } = layer;
    const tall = Math.floor((height + 2 * padding - kernel) / stride) + 1;
    const wide = Math.floor((width + 2 * padding - kernel) / stride) + 1;
    const inner = kernel * kernel * channels;
    let patches = values;
    if (kernel > 1 || stride > 1 || padding > 0) {
      patches = new Float32Array(tall * wide * inner); // what lies outside the map stays 0
      eachTap(tall, wide, height, width, layer, (patch, tap, pixel) =>
        copy(values, pixel * channels, patches, patch * inner + tap * channels, channels),
      );
    }
    return map(tall, wide, outer, product(patches, weight, bias, tall * wide, inner, outer));
  }

  /** The other way round: each input pixel is multiplied first, then its patch is added where it belongs. */
  function spread(layer, { height, width, channels, values }) {
    const { weight, bias, kernel, stride, padding, outer } = layer;
    const tall = (height - 1) * stride - 2 * padding + kernel;
    const wide = (width - 1) * stride - 2 * padding + kernel;
    const inner = kernel * kernel * outer;
    const patches = product(values, weight, null, height * width, channels, inner);
    const out = new Float32Array(tall * wide * outer);
    if (bias) for (let i = 0; i < out.length; i++) out[i] = bias[i % outer];
    eachTap(height, width, tall, wide, layer, (patch, tap, pixel) => {
      const from = patch * inner + tap * outer;
      for (let o = 0; o < outer; o++) out[pixel * outer + o] += patches[from + o];
    });
    return map(tall, wide, outer, out);
  }

  /** Calls visit(patch, tap, pixel) for each tap of each patch, rows x columns of them, that lies on the map. */
  function eachTap(rows, columns, height, width, { kernel, stride, padding }, visit) {
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        for (let tap = 0; tap < kernel * kernel; tap++) {
          const y = row * stride - padding + Math.floor(tap / kernel);
          const x = column * stride - padding + (tap % kernel);
          if (y >= 0 && y < height && x >= 0 && x < width) visit(row * columns + column, tap, y * width + x);
        }
  }

  function copy(source, from, target, at, count) {
    for (let i = 0; i < count; i++) target[at + i] = source[from + i];
  }

  const map = (height, width, channels, values) => ({ height, width, channels, values });
  const each = (input, change) => ({ ...input, values: input.values.map(change) });
  const relu = { run: (_, input) => each(input, (value) => (value > 0 ? value : 0)) };

  /** x + branch(x), course_lib.models.ResidualBlock. */
  function residual(branch) {
    return {
      run(_, input) {
        const { values } = forward(branch, input);
        return { ...input, values: values.map((value, i) => value + input.values[i]) };
      },
    };
  }

  const forward = (layers, input) => layers.reduce((values, layer) => layer.run(layer, values), input);

  /** The layers of `prefix`, an nn.Sequential: a place that has no parameters is a ReLU. */
  function sequential(all, prefix) {
    const places = Object.keys(all).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    const last = Math.max(...places.map((name) => parseInt(name)));
    const layers = [];
    for (let place = 0; place <= last; place++) {
      const name = `${prefix}${place}.`;
      if (all[`${name}weight`]) layers.push(layerOf(all[`${name}weight`], all[`${name}bias`]?.values, prefix));
      else if (all[`${name}branch.1.weight`]) layers.push(residual(sequential(all, `${name}branch.`)));
      else if (Object.keys(all).some((other) => other.startsWith(name))) layers.push(...sequential(all, name), relu);
      else layers.push(relu);
    }
    return layers;
  }

  /** The geometry of course_lib.models: an even kernel is twice its stride, an odd one keeps height and width. */
  function layerOf(weight, bias, prefix) {
    const kernel = weight.shape[2];
    const even = kernel % 2 === 0;
    const kind = even && prefix.startsWith("decoder.") ? transposed : convolution;
    return kind(weight, bias, even ? kernel / 2 : 1, even ? kernel / 4 : (kernel - 1) / 2);
  }

  /** DataView of the state dict of a ConvVQVAE with two spatial axes -> the model that the functions below take. */
  function vqvae(view) {
    const all = tensors(view);
    const encoder = sequential(all, "encoder.");
    const { shape, values } = all["quantizer.codebook"];
    const factor = encoder.reduce((by, layer) => by * (layer.stride ?? 1), 1);
    const channels = all["encoder.0.weight"].shape[1];
    const decoder = sequential(all, "decoder.");
    return { encoder, decoder, codebook: values, K: shape[0], D: shape[1], channels, factor };
  }

  /** Map of an image with values in [-0.5, 0.5] -> map of its latents, D channels, `factor` times smaller. */
  const latents = (model, image) => forward(model.encoder, image);

  /** Map of latents -> Int32Array, the nearest code of each; where two are equally near, the lower one. */
  function nearest({ codebook, K, D }, { values }) {
    const codes = new Int32Array(values.length / D);
    for (let i = 0; i < codes.length; i++) {
      let least = Infinity;
      for (let k = 0; k < K; k++) {
        let distance = 0;
        for (let d = 0; d < D; d++) distance += (values[i * D + d] - codebook[k * D + d]) ** 2;
        if (distance < least) [least, codes[i]] = [distance, k];
      }
    }
    return codes;
  }

  /** Map of an image -> codes, Int32Array, row by row. */
  const encode = (model, image) => nearest(model, latents(model, image));

  /** Codes, height x width of them, row by row -> map of the image, values about [-0.5, 0.5]. */
  function decode(model, codes, height, width) {
    const { codebook, D } = model;
    const values = new Float32Array(codes.length * D);
    codes.forEach((code, i) => copy(codebook, code * D, values, i * D, D));
    return forward(model.decoder, map(height, width, D, values));
  }

  return { half, tensors, product, convolution, transposed, map, vqvae, latents, nearest, encode, decode };
})();
