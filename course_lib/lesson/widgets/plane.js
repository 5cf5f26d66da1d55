// The plane: latents (dots) and codes (squares) in two dimensions, to be dragged, stepped and played.
// Points are flat arrays [x0, y0, x1, y1, ...]; N latents, K codes. Everything is in double precision.

// ---------------------------------------------------------------------------------------------------------------------
// Arithmetic, as in course_lib.quantize

const TAU = 2 * Math.PI;
const TINY = 2.2250738585072014e-308; // the smallest normal double, as torch.finfo(torch.float64).tiny
const NUDGED = 1e-6; // what the library divides by where a norm is smaller

const rounded = (value, digits = 4) => Math.round(value * 10 ** digits) / 10 ** digits;

/** Mulberry32: uniform numbers in [0, 1), the same for the same seed here and in plane.py. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const normal = (uniform) => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(TAU * uniform());

/** Each index once, in random order; then all again, until there are `count`. */
function drawRows(length, count, uniform) {
  const rows = [];
  while (length && rows.length < count) {
    const order = Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = Math.floor(uniform() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    rows.push(...order);
  }
  return rows.slice(0, count);
}

const SHAPES = {
  blobs(uniform) {
    const centres = Array.from({ length: 5 }, (_, j) => {
      const angle = (TAU * (j + 0.6 * uniform())) / 5;
      const radius = 0.75 + 0.35 * uniform();
      return [2 * radius * Math.cos(angle), 1.5 * radius * Math.sin(angle)];
    });
    return (i) => [centres[i % 5][0] + 0.3 * normal(uniform), centres[i % 5][1] + 0.3 * normal(uniform)];
  },
  ring: (uniform) => () => {
    const angle = TAU * uniform();
    const radius = 1.6 + 0.13 * normal(uniform);
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  },
  moons: (uniform) => (i) => {
    const angle = Math.PI * uniform();
    const side = i % 2 ? -1 : 1;
    return [
      side * (1.4 * Math.cos(angle) - 0.7) + 0.13 * normal(uniform),
      side * (1.4 * Math.sin(angle) - 0.4) + 0.13 * normal(uniform),
    ];
  },
  spiral: (uniform) => () => {
    const t = Math.sqrt(uniform());
    const radius = 0.2 + 1.8 * t;
    return [
      radius * Math.cos(10 * t) + 0.07 * normal(uniform),
      radius * Math.sin(10 * t) + 0.07 * normal(uniform),
    ];
  },
};

/** A data set of that name: N latents with four decimals. */
function drawLatents(name, points, seed) {
  const next = SHAPES[name](random(1000 * seed + 1));
  const latents = new Float64Array(2 * points);
  for (let i = 0; i < points; i++) latents.set(next(i).map((value) => rounded(value)), 2 * i);
  return latents;
}

/** (N), (K) points -> the nearest code of each latent, the lowest index where distances are equal. */
function nearest(latents, codebook) {
  const codes = new Int32Array(latents.length / 2);
  for (let n = 0; n < codes.length; n++) {
    const x = latents[2 * n];
    const y = latents[2 * n + 1];
    let smallest = Infinity;
    for (let k = 0; k < codebook.length; k += 2) {
      const distance = (x - codebook[k]) ** 2 + (y - codebook[k + 1]) ** 2;
      if (distance < smallest) {
        smallest = distance;
        codes[n] = k / 2;
      }
    }
  }
  return codes;
}

function countsAndSums(latents, codes, codebookSize) {
  const counts = new Float64Array(codebookSize);
  const sums = new Float64Array(2 * codebookSize);
  for (let n = 0; n < codes.length; n++) {
    counts[codes[n]] += 1;
    sums[2 * codes[n]] += latents[2 * n];
    sums[2 * codes[n] + 1] += latents[2 * n + 1];
  }
  return { counts, sums };
}

const counts = (codes, codebookSize) => countsAndSums([], codes, codebookSize).counts;

/** The mean of (x - q)^2 over all 2 N numbers, as codebook_loss and commitment_loss have it. */
function distortion(latents, codebook, codes) {
  let sum = 0;
  for (let i = 0; i < latents.length; i++) sum += (latents[i] - codebook[2 * codes[i >> 1] + (i & 1)]) ** 2;
  return sum / latents.length;
}

/** exp(entropy in nats) of how often each code is chosen: between 1 and K. */
function perplexity(counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return Math.exp(counts.reduce((sum, count) => sum - (count ? (count / total) * Math.log(count / total) : 0), 0));
}

/** (K,) moving counts, lifted off zero, with the same total. */
function smooth(clusterSize, eps) {
  const total = clusterSize.reduce((sum, count) => sum + count, 0);
  return clusterSize.map((count) => ((count + eps) / (total + clusterSize.length * eps)) * total);
}

/** One EMA step: quantize.ema_update. */
function emaUpdate(clusterSize, embedSum, latents, codes, decay, eps = 1e-5) {
  const batch = countsAndSums(latents, codes, clusterSize.length);
  const sizes = Float64Array.from(clusterSize, (count, k) => decay * count + (1 - decay) * batch.counts[k]);
  const sums = Float64Array.from(embedSum, (sum, i) => decay * sum + (1 - decay) * batch.sums[i]);
  const smoothed = smooth(sizes, eps);
  const codebook = sums.map((sum, i) => sum / Math.max(smoothed[i >> 1], TINY));
  return { clusterSize: sizes, embedSum: sums, codebook };
}

/** One Lloyd step: each code becomes the mean of its latents; a code without latents stays where it is. */
function kmeansStep(latents, codebook) {
  const { counts, sums } = countsAndSums(latents, nearest(latents, codebook), codebook.length / 2);
  return Float64Array.from(codebook, (value, i) => (counts[i >> 1] ? sums[i] / counts[i >> 1] : value));
}

/**
 * The gradients of the three losses, each a mean over all 2 N numbers: mse(straight_through(x, q), target) and
 * commitment_loss at the latents, codebook_loss at the codes.
 */
function gradients(latents, codebook, codes, targets) {
  const decoder = new Float64Array(latents.length);
  const commitment = new Float64Array(latents.length);
  const ofCodes = new Float64Array(codebook.length);
  for (let i = 0; i < latents.length; i++) {
    const c = 2 * codes[i >> 1] + (i & 1);
    decoder[i] = (2 * (codebook[c] - targets[i])) / latents.length;
    commitment[i] = (2 * (latents[i] - codebook[c])) / latents.length;
    ofCodes[c] -= commitment[i];
  }
  return { decoder, commitment, codebook: ofCodes };
}

/**
 * One gradient step on reconstruction + codebook loss + beta * commitment loss. Latents, if they move, take N times the
 * step: each is one of N in the mean, and an encoder that serves them all is not that slow.
 */
function gradientStep(latents, codebook, codes, targets, { learningRate, beta, codesMove = true, encoderMoves = false }) {
  const slope = gradients(latents, codebook, codes, targets);
  const rate = (learningRate * latents.length) / 2;
  return {
    codebook: Float64Array.from(codebook, (e, i) => e - (codesMove ? learningRate * slope.codebook[i] : 0)),
    latents: Float64Array.from(latents, (x, i) =>
      encoderMoves ? x - rate * (slope.decoder[i] + beta * slope.commitment[i]) : x,
    ),
  };
}

/** Codes with a count below the threshold become random latents, with count 1: quantize.restart_dead_codes. */
function restart(codebook, clusterSize, embedSum, latents, threshold, uniform) {
  const dead = [...clusterSize.keys()].filter((k) => clusterSize[k] < threshold);
  const rows = drawRows(latents.length / 2, dead.length, uniform);
  const fresh = { codebook: codebook.slice(), clusterSize: clusterSize.slice(), embedSum: embedSum.slice(), dead, rows };
  rows.forEach((row, i) => {
    const latent = [latents[2 * row], latents[2 * row + 1]];
    fresh.codebook.set(latent, 2 * dead[i]);
    fresh.embedSum.set(latent, 2 * dead[i]);
    fresh.clusterSize[dead[i]] = 1;
  });
  return fresh;
}

/** Codes to begin with, and their moving counts and sums. */
function startCodes(start, codebookSize, latents, seed) {
  const uniform = random(1000 * seed + 2);
  const clusterSize = new Float64Array(codebookSize).fill(1);
  if (start === "kmeans" && latents.length) {
    const rows = drawRows(latents.length / 2, codebookSize, uniform);
    let codebook = Float64Array.from(rows.flatMap((row) => [latents[2 * row], latents[2 * row + 1]]));
    let sizes = clusterSize;
    for (let i = 0; i < 10; i++) {
      sizes = counts(nearest(latents, codebook), codebookSize);
      codebook = kmeansStep(latents, codebook);
    }
    return { codebook, clusterSize: sizes, embedSum: codebook.map((value, i) => value * sizes[i >> 1]) };
  }
  const draw = start === "uniform" ? () => (2 * uniform() - 1) / codebookSize : () => normal(uniform);
  const codebook = Float64Array.from({ length: 2 * codebookSize }, () => rounded(draw(), 6));
  return { codebook, clusterSize, embedSum: codebook.slice() };
}

/** What the rotation trick hands to x of a gradient at q: turned back by the angle from x to q, times |q| / |x|. */
function rotated(gradient, x, q) {
  const unit = (v) => v.map((value) => value / Math.max(Math.hypot(...v), NUDGED));
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
  const [u, v] = [unit(x), unit(q)];
  const w = unit([u[0] + v[0], u[1] + v[1]]);
  const scale = Math.hypot(...q) / Math.max(Math.hypot(...x), NUDGED);
  return gradient.map((g, i) => scale * (g - 2 * w[i] * dot(w, gradient) + 2 * u[i] * dot(v, gradient)));
}

/** Which latents the update number `step` sees: `size` of them in turn, or all where size is 0. */
function batchRows(length, step, size) {
  const count = size && size < length ? size : length;
  return Array.from({ length: count }, (_, i) => (step * count + i) % length);
}

/** The Voronoi cell of each code within a box [left, bottom, right, top], as a polygon [[x, y], ...], maybe empty. */
function cells(codebook, [left, bottom, right, top]) {
  const corners = [[left, bottom], [right, bottom], [right, top], [left, top]]; // prettier-ignore
  return Array.from({ length: codebook.length / 2 }, (_, i) => {
    const [x, y] = [codebook[2 * i], codebook[2 * i + 1]];
    let polygon = corners;
    for (let j = 0; j < codebook.length / 2 && polygon.length; j++) {
      const [a, b] = [2 * (codebook[2 * j] - x), 2 * (codebook[2 * j + 1] - y)];
      if (a === 0 && b === 0) {
        if (j < i) polygon = []; // two codes in one place: the first gets all
        continue;
      }
      const limit = codebook[2 * j] ** 2 + codebook[2 * j + 1] ** 2 - x * x - y * y;
      polygon = cut(polygon, a, b, limit);
    }
    return polygon;
  });
}

/** The part of a convex polygon where a x + b y <= limit. */
function cut(polygon, a, b, limit) {
  const kept = [];
  for (let i = 0; i < polygon.length; i++) {
    const [p, q] = [polygon[i], polygon[(i + 1) % polygon.length]];
    const [from, to] = [a * p[0] + b * p[1] - limit, a * q[0] + b * q[1] - limit];
    if (from <= 0) kept.push(p);
    if (from * to < 0) {
      const t = from / (from - to);
      kept.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])]);
    }
  }
  return kept;
}

// ---------------------------------------------------------------------------------------------------------------------
// A scene: what is moved (latents, codes, averages, step) and the settings, named as the traits of plane.py. Scenes are
// never written to, only replaced, so that the past can be kept as it was.

const METHODS = ["kmeans", "ema", "gradient"];
const NUMBERS = ["points", "seed", "codebook_size", "decay", "eps", "learning_rate", "commitment_weight", "batch_size", "threshold"]; // prettier-ignore
const SWITCHES = ["codes_move", "encoder_moves", "auto_restart"];
const SETTINGS = ["data", "start", "method", ...NUMBERS, ...SWITCHES, "target", "show"];
const MOST_MOVED = 400; // so many moved latents an address can carry
const MOST_LATENTS = 5000; // as in plane.py
const TRAIL = 120; // how many steps of a code's path are kept

const pairs = (flat) => Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);

/** Sums that make the codes what they are, for these counts. */
const sumsFor = (codebook, clusterSize, eps) => {
  const smoothed = smooth(clusterSize, eps);
  return codebook.map((value, i) => value * smoothed[i >> 1]);
};

/** All that follows from a scene's latents and codes. */
function measured(scene) {
  const { latents, codebook, clusterSize, settings } = scene;
  const targets = targetsOf(scene);
  const codes = nearest(latents, codebook);
  const chosen = counts(codes, codebook.length / 2);
  const sizes = settings.method === "ema" ? clusterSize : chosen;
  const none = latents.length === 0;
  return {
    codes,
    counts: chosen,
    sizes,
    dead: Array.from(sizes, (size) => size < settings.threshold),
    distortion: none ? NaN : distortion(latents, codebook, codes),
    perplexity: none ? NaN : perplexity(chosen),
    used: chosen.reduce((sum, count) => sum + (count > 0), 0),
    reconstruction: none ? NaN : distortion(targets, codebook, codes), // the decoder's loss: mse(q, target)
  };
}

const targetsOf = ({ latents, homes, settings: { target } }) =>
  target.length ? Float64Array.from(latents, (_, i) => target[i & 1]) : homes;

/** The scene after one update of its method. */
function stepped(scene) {
  const { settings, latents, codebook, clusterSize, embedSum } = scene;
  const next = { ...scene, step: scene.step + 1 };
  const rows = settings.method === "kmeans" ? null : batchRows(latents.length / 2, scene.step, settings.batch_size);
  const take = (points) => Float64Array.from(rows.flatMap((row) => [points[2 * row], points[2 * row + 1]]));
  if (settings.method === "kmeans") {
    next.clusterSize = counts(nearest(latents, codebook), codebook.length / 2);
    next.codebook = kmeansStep(latents, codebook);
    next.embedSum = sumsFor(next.codebook, next.clusterSize, settings.eps);
  } else if (settings.method === "ema") {
    const flat = take(latents);
    Object.assign(next, emaUpdate(clusterSize, embedSum, flat, nearest(flat, codebook), settings.decay, settings.eps));
  } else {
    const flat = take(latents);
    const moved = gradientStep(flat, codebook, nearest(flat, codebook), take(targetsOf(scene)), {
      learningRate: settings.learning_rate,
      beta: settings.commitment_weight,
      codesMove: settings.codes_move,
      encoderMoves: settings.encoder_moves,
    });
    next.codebook = moved.codebook;
    next.embedSum = sumsFor(moved.codebook, clusterSize, settings.eps);
    next.latents = latents.slice();
    rows.forEach((row, i) => next.latents.set(moved.latents.subarray(2 * i, 2 * i + 2), 2 * row));
  }
  return settings.auto_restart ? restarted(next) : next;
}

/** The scene with its dead codes on random latents. */
function restarted(scene) {
  const { latents, codebook, embedSum, settings, step } = scene;
  const fresh = restart(
    codebook, measured(scene).sizes, embedSum, latents, settings.threshold, random(1000 * settings.seed + 7 * step + 3),
  ); // prettier-ignore
  const clusterSize = scene.clusterSize.map((count, k) => (fresh.dead.includes(k) ? 1 : count));
  return { ...scene, codebook: fresh.codebook, embedSum: fresh.embedSum, clusterSize };
}

// ---------------------------------------------------------------------------------------------------------------------
// A scene as an address and as Python

/** The latents that are not where they were drawn: [index, x, y, ...]. */
const movedLatents = ({ latents, homes }) =>
  pairs(latents).flatMap(([x, y], i) => (x === homes[2 * i] && y === homes[2 * i + 1] ? [] : [i, rounded(x, 3), rounded(y, 3)]));

/** What differs from `first` as `key:value;...`, readable and safe in an address. */
function encoded(scene, first) {
  const { settings, step, codebook, clusterSize, latents } = scene;
  const fields = SETTINGS.filter((name) => String(settings[name]) !== String(first.settings[name])).map((name) => `${name}:${settings[name]}`);
  fields.push(`step:${step}`, `codes:${[...codebook].map((value) => rounded(value, 5))}`);
  if (settings.method !== "gradient" && clusterSize.some((count) => count !== 1))
    fields.push(`sizes:${[...clusterSize].map((count) => Number(count.toPrecision(6)))}`);
  const moved = movedLatents(scene);
  if (settings.data === "own") fields.push(`latents:${[...latents].map((value) => rounded(value, 3))}`);
  else if (moved.length && moved.length <= 3 * MOST_MOVED) fields.push(`moved:${moved}`);
  return fields.join(";");
}

/** The scene that `encoded` wrote, or null where the text is none. */
function decoded(text, first) {
  const fields = Object.fromEntries(text.split(";").map((field) => [field.split(":")[0], field.split(":")[1] ?? ""]));
  const numbers = (name) => (fields[name] ? fields[name].split(",").map(Number) : []);
  const settings = { ...first.settings };
  for (const name of SETTINGS.filter((name) => name in fields)) {
    if (NUMBERS.includes(name)) settings[name] = Number(fields[name]);
    else if (SWITCHES.includes(name)) settings[name] = fields[name] === "true";
    else if (name === "target") settings.target = numbers(name);
    else settings[name] = name === "show" ? fields.show.split(",").filter(Boolean) : fields[name];
  }
  const [codebook, sizes, own, moved] = ["codes", "sizes", "latents", "moved"].map(numbers);
  const step = Number(fields.step ?? 0);
  const K = settings.codebook_size;
  const N = settings.points;
  const known = (settings.data in SHAPES || ["given", "own"].includes(settings.data)) && METHODS.includes(settings.method);
  const finite = [...codebook, ...sizes, ...own, ...moved, ...settings.target, step, ...NUMBERS.map((name) => settings[name])].every(Number.isFinite);
  if (!known || !finite || !(N <= MOST_LATENTS) || codebook.length !== 2 * K || (sizes.length && sizes.length !== K)) return null;
  let homes = first.homes;
  if (settings.data === "own") homes = Float64Array.from(own);
  else if (settings.data in SHAPES) homes = drawLatents(settings.data, N, settings.seed);
  const latents = homes.slice();
  for (let i = 0; i < moved.length; i += 3) if (2 * moved[i] in latents) latents.set(moved.slice(i + 1, i + 3), 2 * moved[i]);
  const clusterSize = Float64Array.from(sizes.length ? sizes : Array(K).fill(1));
  const codes = Float64Array.from(codebook);
  return { settings, homes, latents, codebook: codes, clusterSize, embedSum: sumsFor(codes, clusterSize, settings.eps), step };
}

/** A program that builds the same tensors and takes the same steps with course_lib.quantize. */
function asPython(scene, steps = 10) {
  const { settings, latents, codebook } = scene;
  const N = latents.length / 2;
  const K = codebook.length / 2;
  const float = (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value));
  const tensor = (name, rows, shape) => {
    const lines = [];
    for (const row of rows) {
      const text = `${Array.isArray(row) ? `[${row.map(float).join(", ")}]` : float(row)}, `;
      if (!lines.length || lines.at(-1).length + text.length > 108) lines.push("");
      lines[lines.length - 1] += text;
    }
    return `${name} = torch.tensor([  # ${shape}\n${lines.map((line) => `    ${line.trimEnd()}\n`).join("")}], dtype=torch.float64)`;
  };
  const parts = [
    `"""The plane as it is at step ${scene.step}, and the next steps with course_lib."""`,
    `\nimport torch${settings.method === "gradient" ? "\nimport torch.nn.functional as F" : ""}\n\nfrom course_lib import quantize\n`,
    tensor("latents", pairs(latents), `(N=${N}, D=2)`),
    tensor("codebook", pairs(codebook), `(K=${K}, D=2)`),
  ];
  const batch = settings.batch_size && settings.batch_size < N ? settings.batch_size : 0;
  const flat = batch ? `latents[torch.arange(step * ${batch}, (step + 1) * ${batch}) % ${N}]  # (${batch}, 2)` : `latents  # (${N}, 2)`;
  const update = [];
  if (settings.method === "kmeans") {
    update.push(
      "codes = quantize.nearest_codes(latents, codebook)  # (N,)",
      `counts = codes.bincount(minlength=${K})[:, None]  # (K, 1)`,
      "sums = torch.zeros_like(codebook).index_add(0, codes, latents)  # (K, 2)",
      "codebook = torch.where(counts > 0, sums / counts.clamp_min(1), codebook)  # an empty code stays",
    );
  } else if (settings.method === "ema") {
    parts.push(tensor("cluster_size", [...scene.clusterSize], "(K,)"), tensor("embed_sum", pairs(scene.embedSum), "(K, 2)"));
    update.push(
      `flat = ${flat}`,
      "codes = quantize.nearest_codes(flat, codebook)  # look up first, then update",
      "cluster_size, embed_sum, codebook = quantize.ema_update(",
      `    cluster_size, embed_sum, flat, codes, decay=${settings.decay}, eps=${settings.eps}`,
      ")",
    );
    if (settings.auto_restart)
      update.push(
        "codebook, cluster_size, embed_sum = quantize.restart_dead_codes(  # its draws are not the figure's",
        `    codebook, cluster_size, embed_sum, latents, threshold=${float(settings.threshold)}`,
        ")",
      );
  } else {
    const one = settings.target.length > 0;
    parts.push(
      one
        ? `targets = torch.tensor([${settings.target.map(float).join(", ")}], dtype=torch.float64).expand(${N}, 2)`
        : tensor("targets", pairs(scene.homes), "(N, 2), what the decoder would like q to be"),
    );
    update.push(
      batch ? `rows = torch.arange(step * ${batch}, (step + 1) * ${batch}) % ${N}` : `rows = torch.arange(${N})`,
      "x, book = latents[rows].requires_grad_(), codebook.clone().requires_grad_()",
      "q = book[quantize.nearest_codes(x, book)]",
      "reconstruction = F.mse_loss(quantize.straight_through(x, q), targets[rows])",
      `loss = reconstruction + quantize.codebook_loss(x, q) + ${settings.commitment_weight} * quantize.commitment_loss(x, q)`,
      "loss.backward()",
    );
    if (settings.codes_move) update.push(`codebook = codebook - ${settings.learning_rate} * book.grad`);
    if (settings.encoder_moves)
      update.push(
        `latents = latents.index_add(0, rows, x.grad, alpha=-${settings.learning_rate} * len(rows))  # each is one of them in the mean`,
      );
  }
  parts.push(
    "\n\ndef report(step):",
    "    codes = quantize.nearest_codes(latents, codebook)",
    "    distortion = quantize.codebook_loss(latents, codebook[codes]).item()",
    `    print(f"step {step}: distortion {distortion:.6f}, perplexity {quantize.perplexity(codes, ${K}).item():.4f}")`,
    `\n\nreport(${scene.step})`,
    `for step in range(${scene.step}, ${scene.step + steps}):`,
    ...update.map((line) => `    ${line}`),
    "    report(step + 1)",
  );
  return `${parts.join("\n")}\n`;
}

const core = {
  random: (seed, count) => { const uniform = random(seed); return Array.from({ length: count }, uniform); }, // prettier-ignore
  drawLatents, startCodes, nearest, counts, distortion, perplexity, smooth, emaUpdate, kmeansStep, gradients, gradientStep,
  restart: (codebook, clusterSize, embedSum, latents, threshold, seed) =>
    restart(...[codebook, clusterSize, embedSum].map((array) => Float64Array.from(array)), latents, threshold, random(seed)),
  rotated, batchRows, cells, stepped, measured, encoded, decoded, asPython,
}; // prettier-ignore

// ---------------------------------------------------------------------------------------------------------------------
// Drawing

const CODE_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#C8102E", "#99DDFF", "#882255"]; // as plots.py has them
const SHADES = [0, 0.45, -0.4, 0.22, -0.22, 0.65, -0.58, 0.33]; // of each further eight codes: towards white, or black
const ARROWS = {
  decoder: { light: "#c24e00", dark: "#ff9a62", text: () => t("the decoder's push, felt at q") },
  straight_through: { light: "#c24e00", dark: "#ff9a62", text: () => t("straight through: the same arrow at x") },
  rotation: { light: "#8f2d76", dark: "#f0a3d4", text: () => t("rotation trick: turned with the angle from q to x") },
  codebook: { light: "#00507d", dark: "#7cc4f5", text: () => t("codebook loss: moves the code") },
  commitment: { light: "#00694d", dark: "#4fc9a0", text: () => t("commitment loss: moves the latent") },
};
const FEW = 12; // so few latents all carry their arrows; of more, only the selected one

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * share));
const css = (rgb) => `rgb(${rgb.join(",")})`;
const luminance = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b) / 255;

/** The colours of the page as it is now: those of widget.css, and those of the codes on its paper. */
function lookOf(root) {
  const style = getComputedStyle(root);
  const look = Object.fromEntries(
    ["ink", "quiet", "line", "paper", "wash", "accent"].map((name) => [name, style.getPropertyValue(`--vq-${name}`).trim()]),
  );
  look.dark = luminance(channels(look.paper)) < 0.5;
  const paper = channels(look.paper);
  look.codes = Array.from({ length: 64 }, (_, k) => {
    const shade = SHADES[k >> 3];
    const rgb = mix(channels(CODE_COLOURS[k % 8]), shade > 0 ? [255, 255, 255] : [0, 0, 0], Math.abs(shade));
    return {
      code: css(rgb),
      text: luminance(rgb) > 0.55 ? "#111" : "#fff",
      cell: css(mix(paper, rgb, look.dark ? 0.28 : 0.2)),
      dot: css(mix(rgb, look.dark ? [255, 255, 255] : [0, 0, 0], look.dark ? 0.12 : 0.22)),
    };
  });
  return look;
}

/** Gives a canvas the size of its box in device pixels; returns its context in CSS pixels. */
function sized(canvas, width, height, opaque = false) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d", opaque ? { alpha: false } : undefined);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** The view that shows all these points with room around them: its middle, and pixels to a unit. */
function fitted(points, width, height) {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    left = Math.min(left, points[i]);
    right = Math.max(right, points[i]);
    bottom = Math.min(bottom, points[i + 1]);
    top = Math.max(top, points[i + 1]);
  }
  if (!points.length) [left, right, bottom, top] = [-2, 2, -2, 2];
  const scale = Math.min((width - 64) / Math.max(1, right - left), (height - 76) / Math.max(1, top - bottom));
  return { x: (left + right) / 2, y: (bottom + top) / 2 - 6 / scale, scale }; // a little more room at the foot, for numbers
}

const boxOf = ({ x, y, scale, width, height }) => [
  x - width / 2 / scale,
  y - height / 2 / scale,
  x + width / 2 / scale,
  y + height / 2 / scale,
];
const toPixel = (view, x, y) => [view.width / 2 + (x - view.x) * view.scale, view.height / 2 - (y - view.y) * view.scale];
const toPlane = (view, a, b) => [view.x + (a - view.width / 2) / view.scale, view.y - (b - view.height / 2) / view.scale];

/** Distance between the marks of an axis: 1, 2 or 5 times a power of ten, so that they stand about 90 pixels apart. */
function tick(scale) {
  const power = 10 ** Math.floor(Math.log10(90 / scale));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step * scale >= 70);
}

function drawGrid(context, view, look) {
  const step = tick(view.scale);
  const [left, bottom, right, top] = boxOf(view);
  const label = (value) => String(Number((Math.round(value / step) * step).toPrecision(6)));
  context.font = "11px system-ui, sans-serif";
  context.lineWidth = 1;
  context.strokeStyle = look.dark ? "rgba(255,255,255,.08)" : "rgba(20,40,60,.07)";
  context.fillStyle = look.quiet;
  context.beginPath();
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  for (let x = Math.ceil(left / step) * step; x <= right; x += step) {
    const [a] = toPixel(view, x, 0);
    context.moveTo(a, 0);
    context.lineTo(a, view.height);
    if (a > 40 && a < view.width - 14) context.fillText(label(x), a, view.height - 7);
  }
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (let y = Math.ceil(bottom / step) * step; y <= top; y += step) {
    const [, b] = toPixel(view, 0, y);
    context.moveTo(0, b);
    context.lineTo(view.width, b);
    if (b > 12 && b < view.height - 24) context.fillText(label(y), 7, b);
  }
  context.stroke();
}

function drawCells(context, view, look, codebook, dead) {
  context.lineWidth = 2;
  context.lineJoin = "round";
  context.strokeStyle = look.paper;
  cells(codebook, boxOf(view)).forEach((polygon, k) => {
    if (!polygon.length) return;
    context.beginPath();
    polygon.forEach(([x, y]) => context.lineTo(...toPixel(view, x, y)));
    context.closePath();
    context.fillStyle = dead[k] ? look.wash : look.codes[k].cell;
    context.fill();
    context.stroke();
  });
}

let sheet = null; // a dot of each colour, drawn once: to copy a picture is much cheaper than to draw a circle

function dotsOf(look, radius) {
  const ratio = window.devicePixelRatio || 1;
  const key = [radius, ratio, look.dark, look.paper].join();
  if (sheet?.key === key) return sheet;
  const side = Math.ceil(2 * (radius + 1.5) * ratio);
  const canvas = Object.assign(document.createElement("canvas"), { width: side * look.codes.length, height: side });
  const context = canvas.getContext("2d");
  look.codes.forEach(({ dot }, k) => {
    for (const [colour, size] of [[look.paper, radius + 0.9], [dot, radius]]) { // prettier-ignore
      context.fillStyle = colour;
      context.beginPath();
      context.arc(side * (k + 0.5), side / 2, size * ratio, 0, TAU);
      context.fill();
    }
  });
  sheet = { key, canvas, side, width: side / ratio };
  return sheet;
}

function drawDots(context, view, look, latents, codes) {
  const count = codes.length;
  const radius = (count <= 60 ? 5 : count <= 250 ? 4 : count <= 800 ? 3.3 : 2.6) * Math.min(1, 0.5 + view.width / 1200);
  const { canvas, side, width } = dotsOf(look, radius);
  for (let n = 0; n < count; n++) {
    const [a, b] = toPixel(view, latents[2 * n], latents[2 * n + 1]);
    context.drawImage(canvas, side * codes[n], 0, side, side, a - width / 2, b - width / 2, width, width);
  }
}

/** A line from each latent to its code. */
function drawLines(context, view, look, latents, codebook, codes) {
  context.lineWidth = 1;
  context.globalAlpha = codes.length <= 100 ? 0.8 : 0.28;
  const paths = Array.from({ length: codebook.length / 2 }, () => new Path2D());
  codes.forEach((k, n) => {
    paths[k].moveTo(...toPixel(view, latents[2 * n], latents[2 * n + 1]));
    paths[k].lineTo(...toPixel(view, codebook[2 * k], codebook[2 * k + 1]));
  });
  paths.forEach((path, k) => {
    context.strokeStyle = look.codes[k].dot;
    context.stroke(path);
  });
  context.globalAlpha = 1;
}

/** The ways that codes, and latents where they are few, have come. */
function drawTrails(context, view, look, trail, shown, codes) {
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  const way = (name, i, colour) => {
    const stops = trail.filter((stop) => stop[name].length === shown[name].length).map((stop) => stop[name]);
    if (!stops.length) return;
    context.beginPath();
    [...stops, shown[name]].forEach((points) => context.lineTo(...toPixel(view, points[2 * i], points[2 * i + 1])));
    context.strokeStyle = look.paper;
    context.lineWidth = 4;
    context.stroke();
    context.strokeStyle = colour;
    context.lineWidth = 1.75;
    context.stroke();
    context.fillStyle = colour;
    if (name === "latents") for (const stop of stops) context.fillRect(...toPixel(view, stop[2 * i], stop[2 * i + 1]).map((value) => value - 2.5), 5, 5);
  };
  for (let k = 0; k < shown.codebook.length / 2; k++) way("codebook", k, look.codes[k].code);
  if (codes.length <= FEW) for (let n = 0; n < codes.length; n++) way("latents", n, look.ink);
}

/** An arrow on a rim of paper, so that it is seen on any ground. From, to: pixels. */
function drawArrow(context, look, [a, b], [c, d], colour, { dashed = false, width = 2.5 } = {}) {
  const length = Math.hypot(c - a, d - b);
  if (length < 2) return;
  const head = Math.min(4 + 2.6 * width, length * 0.7);
  const [u, v] = [(c - a) / length, (d - b) / length];
  const neck = [c - u * head * 0.8, d - v * head * 0.8];
  const tip = [[c, d], [c - u * head - v * head * 0.45, d - v * head + u * head * 0.45], [c - u * head + v * head * 0.45, d - v * head - u * head * 0.45]]; // prettier-ignore
  for (const [ink, rim] of [[look.paper, 3], [colour, 0]]) { // prettier-ignore
    context.strokeStyle = context.fillStyle = ink;
    context.setLineDash(dashed && !rim ? [5, 4] : []);
    context.lineCap = "butt";
    context.lineWidth = width + rim;
    context.beginPath();
    context.moveTo(a, b);
    context.lineTo(...neck);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    tip.forEach((corner) => context.lineTo(...corner));
    context.closePath();
    if (rim) context.stroke();
    context.fill();
  }
}

const arrowColour = (look, name) => ARROWS[name][look.dark ? "dark" : "light"];

/** Who moves whom: codebook loss at the codes, commitment loss at the latents; one step of a mean code, or of a latent. */
function drawLossArrows(context, view, look, { latents, codebook }, codes, beta) {
  const K = codebook.length / 2;
  const { counts, sums } = countsAndSums(latents, codes, K);
  const plain = codes.length > 200;
  context.strokeStyle = arrowColour(look, "commitment");
  context.lineWidth = 1.2;
  context.beginPath();
  codes.forEach((k, n) => {
    const [x, y] = [latents[2 * n], latents[2 * n + 1]];
    const from = toPixel(view, x, y);
    const to = toPixel(view, x + beta * (codebook[2 * k] - x), y + beta * (codebook[2 * k + 1] - y));
    if (plain) {
      context.moveTo(...from);
      context.lineTo(...to);
    } else drawArrow(context, look, from, to, arrowColour(look, "commitment"), { width: 1.5 });
  });
  if (plain) context.stroke();
  for (let k = 0; k < K; k++) {
    if (!counts[k]) continue;
    const length = Math.min(1, (K * counts[k]) / codes.length);
    const [x, y] = [codebook[2 * k], codebook[2 * k + 1]];
    const to = [x + length * (sums[2 * k] / counts[k] - x), y + length * (sums[2 * k + 1] / counts[k] - y)];
    drawArrow(context, look, toPixel(view, x, y), toPixel(view, ...to), arrowColour(look, "codebook"), { width: 3.5 });
  }
}

/** The decoder's push at q, towards where it would like q, and what of it arrives at x; faint: at x alone. */
function drawPushes(context, view, look, scene, shown, codes, picked, faint = false) {
  const { show } = scene.settings;
  const share = show.includes("losses") ? 1 : 0.5; // on one scale with the commitment loss, or shorter
  const targets = targetsOf(scene);
  for (const n of picked) {
    const x = [shown.latents[2 * n], shown.latents[2 * n + 1]];
    const q = [shown.codebook[2 * codes[n]], shown.codebook[2 * codes[n] + 1]];
    const push = q.map((value, i) => share * (targets[2 * n + i] - value));
    const at = (from, by, name, options) =>
      drawArrow(context, look, toPixel(view, ...from), toPixel(view, from[0] + by[0], from[1] + by[1]), arrowColour(look, name), options);
    if (show.includes("rotation")) {
      context.strokeStyle = look.quiet;
      context.lineWidth = 1;
      context.setLineDash([2, 4]);
      context.beginPath();
      for (const end of [x, q]) {
        context.moveTo(...toPixel(view, 0, 0));
        context.lineTo(...toPixel(view, ...end));
      }
      context.stroke();
      context.setLineDash([]);
    }
    if (faint) {
      at(x, push, "straight_through", { width: 1.2 });
      continue;
    }
    at(q, push, "decoder", { dashed: true });
    if (show.includes("straight_through") || !show.includes("rotation")) at(x, push, "straight_through");
    if (show.includes("rotation")) at(x, rotated(push, x, q), "rotation");
  }
}

function drawCodes(context, view, look, codebook, dead, selected, hovered) {
  const K = codebook.length / 2;
  const side = K <= 16 ? 22 : K <= 36 ? 19 : 15;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 2;
  const spot = (k) => `${codebook[2 * k]},${codebook[2 * k + 1]}`;
  const sharing = new Map(); // how many codes lie in a place
  for (let k = 0; k < K; k++) sharing.set(spot(k), (sharing.get(spot(k)) ?? 0) + 1);
  const order = Array.from({ length: K }, (_, k) => k).sort((a, b) => (a === selected) - (b === selected));
  for (const k of order) {
    const [a, b] = toPixel(view, codebook[2 * k], codebook[2 * k + 1]);
    const half = (side + (k === hovered || k === selected ? 4 : 0)) / 2;
    context.beginPath();
    context.roundRect(a - half, b - half, 2 * half, 2 * half, 5);
    context.fillStyle = dead[k] ? look.wash : look.codes[k].code;
    context.strokeStyle = dead[k] ? look.quiet : look.dark ? "#0c1117" : "#ffffff";
    context.setLineDash(dead[k] ? [3, 3] : []);
    context.fill();
    context.stroke();
    context.setLineDash([]);
    if (!dead[k]) {
      context.beginPath();
      context.roundRect(a - half - 1, b - half - 1, 2 * half + 2, 2 * half + 2, 6);
      context.strokeStyle = look.dark ? "#e4e9ee" : "#1f2933";
      context.lineWidth = k === selected ? 2.5 : 1.25;
      context.stroke();
      context.lineWidth = 2;
    }
    context.font = `600 ${K <= 36 ? 12 : 10}px system-ui, sans-serif`;
    context.fillStyle = dead[k] ? look.quiet : look.codes[k].text;
    context.fillText(k, a, b + 0.5);
    const together = sharing.get(spot(k));
    if (together > 1) drawBadge(context, look, tn("{n} code", "{n} codes", together), a + half - 2, b + half + 6);
  }
}

function drawBadge(context, look, text, left, middle) {
  context.font = "600 11px system-ui, sans-serif";
  context.beginPath();
  context.roundRect(left, middle - 8, context.measureText(text).width + 10, 16, 8);
  context.fillStyle = look.accent;
  context.fill();
  context.fillStyle = look.paper;
  context.textAlign = "left";
  context.fillText(text, left + 5, middle + 0.5);
  context.textAlign = "center";
}

const PIN = [19, -16]; // the star stands on a stem beside its place, so that it hides no code and can be taken hold of

/** The one target of all latents, as a star; or where each of `chosen` began, as a small cross; `head`: without the star's stem. */
function drawTargets(context, view, look, scene, chosen, size = 5, head = false) {
  const { target } = scene.settings;
  context.fillStyle = context.strokeStyle = look.ink;
  if (target.length) {
    const [c, d] = toPixel(view, ...target);
    const [a, b] = [c + PIN[0], d + PIN[1]];
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(c, d);
    context.lineTo(a, b);
    context.arc(c, d, 2, 0, TAU);
    if (!head) context.stroke();
    context.beginPath();
    for (let i = 0; i < 10; i++) {
      const radius = i % 2 ? 5.5 : 12.5;
      context.lineTo(a + radius * Math.sin((i * TAU) / 10), b - radius * Math.cos((i * TAU) / 10));
    }
    context.closePath();
    context.strokeStyle = look.paper;
    context.lineWidth = 4;
    context.stroke();
    context.fill();
    return;
  }
  context.lineWidth = size > 4 ? 2 : 1;
  context.beginPath();
  for (const n of chosen) {
    const [a, b] = toPixel(view, scene.homes[2 * n], scene.homes[2 * n + 1]);
    context.moveTo(a - size, b - size);
    context.lineTo(a + size, b + size);
    context.moveTo(a - size, b + size);
    context.lineTo(a + size, b - size);
  }
  context.stroke();
}

function drawLabel(context, view, look, text, [a, b]) {
  context.font = "600 12px system-ui, sans-serif";
  const width = context.measureText(text).width + 16;
  const left = Math.max(6, Math.min(view.width - width - 6, a - width / 2));
  const top = b > 54 ? b - 44 : b + 20;
  context.beginPath();
  context.roundRect(left, top, width, 24, 7);
  context.fillStyle = look.ink;
  context.fill();
  context.fillStyle = look.paper;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(text, left + 8, top + 12.5);
}

/** A small curve of one figure over the steps. */
function drawCurve(canvas, look, history, name, low) {
  const [width, height] = [canvas.parentElement.clientWidth, 46];
  const context = sized(canvas, width, height);
  context.clearRect(0, 0, width, height);
  const values = history.map((entry) => entry[name]).filter(Number.isFinite);
  const high = Math.max(low + 1e-9, ...values);
  const x = (i) => 5 + ((width - 10) * i) / Math.max(values.length - 1, 12);
  const y = (value) => height - 5 - ((height - 12) * (value - low)) / (high - low);
  context.strokeStyle = look.line;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(0, height - 4.5);
  context.lineTo(width, height - 4.5);
  context.stroke();
  if (!values.length) return;
  context.strokeStyle = context.fillStyle = look.accent;
  context.lineWidth = 2;
  context.lineJoin = "round";
  context.beginPath();
  values.forEach((value, i) => context.lineTo(x(i), y(value)));
  context.stroke();
  context.beginPath();
  context.arc(x(values.length - 1), y(values.at(-1)), 3.5, 0, TAU);
  context.fill();
}

/** A bar for each code: how many latents chose it; with `sizes`, a mark at its moving count. */
function drawBars(canvas, look, { counts }, dead, sizes) {
  const K = counts.length;
  const [width, height] = [canvas.parentElement.clientWidth, 118];
  const context = sized(canvas, width, height);
  context.clearRect(0, 0, width, height);
  const foot = K <= 16 ? 18 : 4;
  const tallest = Math.max(1, ...counts, ...(sizes ?? []));
  const slot = width / K;
  const bar = Math.max(1.5, Math.min(26, slot * 0.74));
  const y = (value) => height - foot - ((height - foot - 18) * value) / tallest;
  context.font = `${slot < 22 ? 10 : 11}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  for (let k = 0; k < K; k++) {
    const middle = slot * (k + 0.5);
    context.fillStyle = dead[k] ? look.line : look.codes[k].code;
    context.fillRect(middle - bar / 2, y(counts[k]), bar, Math.max(1, y(0) - y(counts[k])));
    if (sizes) {
      context.fillStyle = look.ink;
      const mark = slot < 22 ? bar * 0.7 : bar + 3; // marks that touch would be one black line
      context.fillRect(middle - mark / 2, y(sizes[k]) - 1, mark, 2);
    }
    context.fillStyle = dead[k] ? look.quiet : look.ink;
    if (K <= 16) context.fillText(k, middle, height - 4);
    if (slot >= 18) context.fillText(counts[k], middle, y(Math.max(counts[k], sizes?.[k] ?? 0)) - 4);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Words

const short = (value, digits = 3) => (!Number.isFinite(value) ? "–" : Math.abs(value) < 1e4 ? value.toFixed(digits) : value.toExponential(1).replace("e+", "e"));
const howMany = (count) => tn("{n} latent", "{n} latents", count);
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const halfLife = (decay) => (decay > 0 ? Math.log(0.5) / Math.log(decay) : 0);

function compared(before, after) {
  const values = { before: short(before), after: short(after) };
  if (values.before === values.after) return t("the distortion stays at {after}", values);
  return after < before ? t("the distortion fell from {before} to {after}", values) : t("the distortion rose from {before} to {after}", values);
}

const listed = (items) => items.join(", ").replace(/, (?=[^,]*$)/, t(" and "));

/** All codes that lie exactly where code k lies, k among them. */
const codesAt = (codebook, k) =>
  pairs(codebook).flatMap(([x, y], i) => (x === codebook[2 * k] && y === codebook[2 * k + 1] ? [i] : []));

/** Whether the steps grow: a thousandfold distortion since the beginning, and by more than a twentieth in each step. */
const overshoots = (before, after, { history, settings }) =>
  settings.method === "gradient" && !(after.distortion < 1000 * history[0].distortion) && !(after.distortion < 1.05 * before.distortion);

/** Whether no code has moved more than 0.02 along an axis in the last 20 steps. */
const rested = (codebook, trail) =>
  trail.length >= 20 && codebook.every((value, i) => Math.abs(value - trail.at(-20).codebook[i]) < 0.02);

/** What just happened, and what to try next. `before` and `after` are measured scenes. */
function captionFor(event, before, after, { settings, step, codebook, trail }, controls) {
  const stepping = controls.includes("steps");
  const dead = after.dead.filter(Boolean).length;
  if (event.kind === "code") {
    const count = after.counts[event.index];
    const same = codesAt(codebook, event.index);
    if (same.length > 1) {
      const others = listed(same.slice(1));
      return tn(
        "Codes {codes} lie in one place: the lowest index, {first}, takes all {latents}, and {others} is left with none.",
        "Codes {codes} lie in one place: the lowest index, {first}, takes all {latents}, and {others} are left with none.",
        same.length - 1, { codes: listed(same), first: same[0], latents: howMany(after.counts[same[0]]), others },
      ); // prettier-ignore
    }
    const owns = t("Code {code} now owns {latents}.", { code: event.index, latents: howMany(count) });
    if (!controls.includes("figures")) return [owns, !count ? t("Nobody is nearer to it than to another code. Bring it back.") : event.times > 3 ? "" : t("Take it to a place where nobody chooses it.")].join(" ");
    const rest = before.distortion < after.distortion && stepping ? t(" Press Step and see where it goes.") : "";
    return `${owns} ${capital(compared(before.distortion, after.distortion))}.${rest}`;
  }
  if (event.kind === "latent") {
    const is = after.codes[event.index];
    if (event.way.length < 2) return t("Latent {latent} moved, and the decoder noticed nothing: it still gets code {code}. Take it over a border.", { latent: event.index, code: is });
    return tn(
      "Latent {latent} crossed a border, and what the decoder gets jumped from code {way}. Between borders, nothing happens.",
      "Latent {latent} crossed {n} borders, and what the decoder gets jumped from code {way}. Between borders, nothing happens.",
      event.way.length - 1, { latent: event.index, way: event.way.join(t(" to code ")) },
    ); // prettier-ignore
  }
  if (event.kind === "target") return t("The star is where the decoder would like q to be. Its push starts at q, and x gets the very same arrow.");
  if (event.kind === "restart") return event.count ? tn("{n} code went to a random latent, with a count of 1. Step on: does it find work?", "{n} codes went to random latents, with a count of 1. Step on: do they find work?", event.count) : t("No code is below the threshold, so nothing was restarted.");
  if (event.kind === "step") {
    const fall = compared(before.distortion, after.distortion);
    if (event.overshot) return t("The learning rate is too large: each step overshoots, and lands farther away than it began. Start again with a smaller one.");
    if (event.away && after.codes.length === 1) return t("The latent has left the picture: the push goes on, and nothing holds it back.");
    if (event.away)
      return tn(
        "One latent has left the picture: the push goes on, and nothing holds it back.",
        "{n} latents have left the picture: the push goes on, and nothing holds them back.", event.away,
      ); // prettier-ignore
    if (event.still && settings.method === "gradient")
      return settings.encoder_moves || settings.codes_move ? t("Nothing moves any more: nobody is pushed. Where in its cell a latent lies is all the same to the decoder.") : t("Nothing moves: switch on “codes move” or “encoder moves”.");
    if (event.still) return t("Nothing moves any more: each code in use is the mean of its latents. Is it the best there is? Drag a code elsewhere and step again.");
    if (!(settings.method === "gradient" && settings.encoder_moves) && rested(codebook, trail))
      return dead && controls.includes("dead")
        ? t("The codes have come to rest: none has moved by more than 0.02 in the last 20 steps. What would you do with the grey ones?")
        : t("The codes have come to rest: none has moved by more than 0.02 in the last 20 steps. Drag one elsewhere and step on: does it come back?");
    if (settings.method === "kmeans") return t("Each code went to the mean of its latents; {fall}. It can never rise in such a step.", { fall });
    if (settings.method === "ema") {
      const told = t("Counts and sums kept {share}% of their past; {fall}.", { share: rounded(100 * settings.decay, 2), fall });
      if (!dead) return told;
      const below = controls.includes("dead")
        ? tn("One code is below the threshold: restart, or wait and see.", "{n} codes are below the threshold: restart, or wait and see.", dead)
        : tn("One code is below the threshold: nobody has chosen it for a while.", "{n} codes are below the threshold: nobody has chosen them for a while.", dead);
      return `${told} ${below}`;
    }
    if (settings.encoder_moves && settings.target.length) {
      if (after.codes.some((code, n) => code !== before.codes[n])) return t("A border crossed: another code goes to the decoder, and its loss jumped from {before} to {after}.", { before: short(before.reconstruction), after: short(after.reconstruction) });
      return t("The same codes go to the decoder as before: its loss stays at {after}, and so does its push. Step on.", { after: short(after.reconstruction) });
    }
    if (settings.encoder_moves) {
      if (!settings.commitment_weight) return t("The decoder pushes the latents, and nothing ties them to their codes: {fall}. Play on; then start again with a larger β.", { fall });
      return t("The decoder pushes the latents, β = {weight} pulls them back to their codes: {fall}. Start again, then try another β.", { weight: settings.commitment_weight, fall });
    }
    return t("Each code took a step towards its latents, a longer one where it has more of them; {fall}.", { fall });
  }
  if (event.kind === "add") {
    const latents = howMany(after.codes.length);
    return after.codes.length < 10
      ? t("{latents} of your own. Click, or draw with the button held.", { latents })
      : t("{latents} of your own. Now let the codes find them: press Step or Play.", { latents });
  }
  if (event.kind === "again") return t("Codes, latents, star and step are back where they began; the settings stay as you set them.");
  if (event.kind === "reset") return t("Everything is as the lesson gave it, the settings too.");
  if (event.kind === "start") {
    if (settings.start === "uniform") return t("All codes start in a heap at the origin, within ±1/K. Which of them will ever be chosen? Guess, then press Play.");
    if (settings.start === "kmeans") return t("The codes start where k-means put them: on the latents. Compare perplexity and distortion with the other starts.");
    return t("The codes start at random from N(0, 1). Which of them will end without latents? Guess, then press Play.");
  }
  if (event.kind === "undo") return t("Back at step {step}. The distortion is {distortion}.", { step, distortion: short(after.distortion) });
  if (event.kind === "method" && settings.method === "ema") return t("EMA: moving averages of counts and sums, one divided by the other. The line across each bar is the moving count.");
  if (event.kind === "method" && settings.method === "gradient") return t("Gradient: codes walk down the codebook loss. Switch on “encoder moves” and see who moves whom.");
  if (event.kind === "method") return t("k-means: each step puts every code at the mean of its latents. Does it always end in the same place?");
  if (settings.show.includes("straight_through") || settings.show.includes("rotation"))
    return t("Drag a latent (a dot) over a border and watch its line: when does the decoder notice? The star can be dragged too.");
  return stepping ? t("Drag a code (a numbered square) and watch its cell and the numbers. Then press Step.") : t("Drag a code (a numbered square): its cell and the numbers follow.");
}

// ---------------------------------------------------------------------------------------------------------------------
// The widget

/** An element with properties, attributes, listeners ("onclick") and children. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const REACH = { mouse: [15, 9], pen: [18, 12], touch: [26, 20] }; // how near a pointer must be to a code, to a latent
const KEYS = () => ({
  all: t("Tab walks through the codes; arrow keys move the chosen one, with Shift farther. Page Up and Page Down choose a latent. Control Z undoes, Escape leads to the buttons."),
  steps: t(" P or Space plays, S steps."),
  data: t(" A adds a latent, Delete removes it."),
}); // prettier-ignore
/** Name and meaning of what is seen. */
const MEANINGS = () => ({
  latent: [t("latent"), t("A dot: what the encoder makes of one piece of an input. The encoder itself is not drawn; where it “moves”, the dots do.")],
  code: [t("code"), t("A numbered square: an entry of the codebook. Each latent gets the nearest one, and wears its colour.")],
  distortion: [t("distortion"), t("The mean of (x − q)² over all numbers: how far the latents x are from their codes q.")],
  perplexity: [t("perplexity"), t("How many codes are in use, weighed by how often: 5.66 of 6 is nearly as even as six codes with equal shares.")],
  reconstruction: [t("decoder's loss"), t("The mean of (q − target)²: the decoder sees codes only. Its target is the star, or where a latent began, a cross.")],
  trails: [t("trails"), t("The way that a code has come, and a latent where there are few, with a mark at each step.")],
  losses: [t("who moves whom"), t("The codebook loss moves codes, the commitment loss pulls latents, the decoder pushes latents.")],
  dead: [t("dead"), t("A grey square with a dashed outline: its count is below the threshold.")],
});

function render({ model, el }) {
  speak(model.get("catalogue"));
  const meanings = MEANINGS();
  const controls = model.get("controls");
  const words = Object.entries(model.get("words") ?? {}); // what this lesson calls a latent, a code
  const worded = (text) =>
    words.reduce((text, [from, to]) => text.replace(new RegExp(`\\b${from}(s?)\\b`, "gi"), (found, plural) => (found[0] < "a" ? to[0].toUpperCase() + to.slice(1) : to) + plural), text); // prettier-ignore
  const methods = model.get("methods");
  const named = { kmeans: t("k-means"), ema: t("EMA"), gradient: t("Gradient") };
  const onPage = !model.widget_manager; // else a notebook, whose address is not ours
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const darkness = window.matchMedia("(prefers-color-scheme: dark)");

  // --- the scene, its past and its future -----------------------------------------------------------------------------

  let scene, figures, home;
  let shown = {}; // latents and codebook as drawn, on their way to the scene's
  let [past, future] = [[], []];
  let selected = null; // { kind: "code" | "latent" | "target", index }
  let hovered = null;
  let [tween, pulse] = [null, null];
  let playing = false;
  let adding = false;
  let look;
  const view = { width: 0, height: 0, x: 0, y: 0, scale: 1 };

  function fromModel() {
    const flat = (name) => Float64Array.from(model.get(name).flat());
    const settings = Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
    const codebook = flat("codebook");
    settings.codebook_size = codebook.length / 2;
    let [clusterSize, embedSum] = [flat("cluster_size"), flat("embed_sum")];
    if (clusterSize.length * 2 !== codebook.length || embedSum.length !== codebook.length) {
      clusterSize = new Float64Array(codebook.length / 2).fill(1);
      embedSum = codebook.slice();
    }
    const latents = flat("latents");
    const homes = scene?.homes.length === latents.length ? scene.homes : latents;
    return { settings, latents, homes, codebook, clusterSize, embedSum, step: model.get("step"), history: [], trail: [] };
  }

  const entry = ({ step }, { distortion, perplexity, reconstruction }) => ({ step, distortion, perplexity, reconstruction });

  /** Makes `next` the scene. moved: by hand, so that it is drawn at once; else codes and latents glide. */
  function put(next, { event, glide = false } = {}) {
    const before = figures;
    scene = next;
    figures = measured(scene);
    const history = scene.history.filter((entry) => entry.step < scene.step).slice(-600);
    scene.history = [...history, entry(scene, figures)];
    if (glide && !calm.matches && shown.codebook?.length === scene.codebook.length && shown.latents.length === scene.latents.length)
      tween = { from: shown, start: performance.now(), duration: playing ? Math.min(240, 700 / speed()) : 260 };
    else {
      tween = null;
      shown = scene;
    }
    if (event) say(captionFor(event, before, figures, scene, controls));
    refresh();
    publish();
    wake();
  }

  function remember() {
    past = [...past.slice(-199), scene];
    future = [];
  }

  function travel(from, to) {
    if (!from.length) return;
    play(false);
    to.push(scene);
    put(from.pop(), { event: { kind: "undo" }, glide: true });
    if (selected && selected.index >= (selected.kind === "code" ? scene.codebook : scene.latents).length / 2) selected = null;
    touch();
  }

  function change(settings, event) {
    remember();
    put({ ...scene, settings: { ...scene.settings, ...settings } }, { event });
    touch();
  }

  /** Begins anew: codes at their start, latents where they were drawn. */
  function begin(settings = {}, event = { kind: "start" }) {
    remember();
    const next = { ...scene, settings: { ...scene.settings, ...settings }, step: 0, history: [], trail: [] };
    if (next.settings.target.length) next.settings.target = home.settings.target.length ? home.settings.target : next.settings.target;
    const { data, points, seed, codebook_size, start } = next.settings;
    if (data in SHAPES) next.homes = drawLatents(data, points, seed);
    else if (data === "given") next.homes = home.latents;
    next.latents = next.homes;
    next.settings.points = next.homes.length / 2;
    const same = ["data", "points", "seed", "codebook_size", "start"].every((name) => next.settings[name] === home.settings[name]);
    if (same) Object.assign(next, { codebook: home.codebook, clusterSize: home.clusterSize, embedSum: home.embedSum });
    else Object.assign(next, startCodes(start, codebook_size, next.latents, seed));
    fit(next);
    put(next, { event });
    touch();
  }

  // --- steps ----------------------------------------------------------------------------------------------------------

  const speed = () => Number(pace.value);

  function step() {
    if (!scene.latents.length) return false;
    const before = figures;
    const next = stepped(scene);
    const same = (a, b) => a === b || a.every((value, i) => Math.abs(value - b[i]) < 1e-9);
    const still = same(next.codebook, scene.codebook) && same(next.latents, scene.latents) && !(scene.settings.method === "ema" && !same(next.clusterSize, scene.clusterSize));
    const few = scene.latents.length / 2 <= FEW;
    next.trail = [...scene.trail, { codebook: scene.codebook, latents: few ? scene.latents : [] }].slice(-TRAIL);
    put(next, { glide: true });
    grow();
    const away = outside(scene.latents);
    const overshot = overshoots(before, figures, scene);
    say(captionFor({ kind: "step", still, overshot, away }, before, figures, scene, controls));
    touch();
    return !still && !overshot && (!away || away < scene.latents.length / 2);
  }

  let due = 0;
  function play(on) {
    if (on === playing) return;
    if (on) remember();
    playing = on;
    due = performance.now();
    playButton.textContent = playing ? t("Pause") : t("Play");
    playButton.setAttribute("aria-pressed", playing);
    if (!playing) announce();
    wake();
  }

  // --- the picture ----------------------------------------------------------------------------------------------------

  function fit({ latents, codebook }) {
    Object.assign(view, fitted([...latents, ...codebook, ...scene.settings.target], view.width, view.height));
    view.least = view.scale / 3;
  }

  function outside(points) {
    const [left, bottom, right, top] = boxOf(view);
    return pairs(points).filter(([x, y]) => x < left || x > right || y < bottom || y > top).length;
  }

  /** Steps back where something has left the picture, but no farther than a third: what flies on is away. */
  function grow() {
    if (!outside(scene.latents) && !outside(scene.codebook)) return;
    const { x, y, scale } = fitted([...scene.latents, ...scene.codebook, ...scene.settings.target], view.width, view.height);
    if (0.8 * scale >= view.least) Object.assign(view, { x, y, scale: 0.8 * scale });
  }

  function picked() {
    const N = scene.latents.length / 2;
    if (N <= FEW) return Array.from({ length: N }, (_, n) => n);
    if (selected?.kind === "latent") return [selected.index];
    return N ? [Math.min(model.get("latent"), N - 1)] : [];
  }

  function draw(now) {
    const context = sized(canvas, view.width, view.height, true);
    const { show } = scene.settings;
    const codes = shown === scene ? figures.codes : nearest(shown.latents, shown.codebook);
    const pushes = pushed();
    const grey = controls.includes("dead") ? figures.dead : [];
    context.fillStyle = look.paper;
    context.fillRect(0, 0, view.width, view.height);
    if (show.includes("cells")) drawCells(context, view, look, shown.codebook, grey);
    drawGrid(context, view, look);
    if (show.includes("lines")) drawLines(context, view, look, shown.latents, shown.codebook, codes);
    if (show.includes("trails")) drawTrails(context, view, look, scene.trail, shown, codes);
    drawDots(context, view, look, shown.latents, codes);
    if (show.includes("losses")) drawLossArrows(context, view, look, shown, codes, scene.settings.commitment_weight);
    const chosen = pushes ? picked() : selected?.kind === "latent" ? [selected.index] : [];
    if (pushes) {
      const others = nudged() && !scene.settings.target.length && codes.length <= 200 ? [...codes.keys()] : [];
      context.globalAlpha = 0.5;
      if (others.length) drawTargets(context, view, look, scene, others, 3);
      drawPushes(context, view, look, scene, shown, codes, others, true);
      context.globalAlpha = 1;
      drawTargets(context, view, look, scene, chosen);
      drawPushes(context, view, look, scene, shown, codes, chosen);
    }
    for (const n of chosen) drawPicked(context, n, codes[n], now);
    const chosenCode = (item) => (item?.kind === "code" ? item.index : -1);
    drawCodes(context, view, look, shown.codebook, grey, chosenCode(selected), chosenCode(hovered));
    if (pushes) drawTargets(context, view, look, scene, chosen, 5, true); // on top: the star is never hidden
    const named = drag ?? hovered;
    if (named?.kind === "code")
      drawLabel(context, view, look, worded(t("code {code}: {latents}", { code: named.index, latents: howMany(figures.counts[named.index]) })), place(named));
    if (named?.kind === "latent") drawLabel(context, view, look, worded(t("latent {latent}, code {code}", { latent: named.index, code: codes[named.index] })), place(named));
    if (named?.kind === "target") drawLabel(context, view, look, t("where the decoder wants q"), grip(named));
  }

  /** A latent that stands out, with the line to its code, which swings over when the code changes. */
  function drawPicked(context, n, code, now) {
    const x = toPixel(view, shown.latents[2 * n], shown.latents[2 * n + 1]);
    let q = toPixel(view, shown.codebook[2 * code], shown.codebook[2 * code + 1]);
    if (pulse?.latent === n) {
      const t = Math.min(1, (now - pulse.start) / 180);
      const eased = 1 - (1 - t) ** 3;
      const from = toPixel(view, shown.codebook[2 * pulse.from], shown.codebook[2 * pulse.from + 1]);
      context.strokeStyle = look.codes[code].dot;
      context.lineWidth = 3 * (1 - t) + 0.5;
      context.beginPath();
      context.arc(...q, 14 + 22 * eased, 0, TAU);
      if (t < 1) context.stroke();
      q = [from[0] + eased * (q[0] - from[0]), from[1] + eased * (q[1] - from[1])];
      if (t === 1) pulse = null;
    }
    context.strokeStyle = look.ink;
    context.lineWidth = 1.5;
    context.setLineDash([1.5, 4]);
    context.beginPath();
    context.moveTo(...x);
    context.lineTo(...q);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.arc(...x, 6.5, 0, TAU);
    context.fillStyle = look.codes[code].dot;
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = look.ink;
    context.stroke();
  }

  let frame = 0;
  let stale = true; // curves, bars and proxies are to be drawn too
  const wake = () => (frame ||= requestAnimationFrame(paint));

  function paint(now) {
    frame = 0;
    if (!view.width) return;
    if (playing && now >= due) {
      due = Math.max(due + 1000 / speed(), now - 100);
      if (!step()) play(false);
    }
    if (tween) {
      const t = Math.min(1, Math.max(0, (now - tween.start) / tween.duration));
      const eased = t * t * (3 - 2 * t);
      const between = (name) => Float64Array.from(tween.from[name], (a, i) => a + eased * (scene[name][i] - a));
      shown = t < 1 ? { latents: between("latents"), codebook: between("codebook") } : scene;
      if (t === 1) tween = null;
    }
    draw(now);
    placeProxies();
    if (stale) {
      stale = false;
      drawSide();
    }
    if (playing || tween || pulse) wake();
  }

  /** How many updates it takes to see all latents: moving counts are of one, the bars of all. */
  function wholes() {
    const N = scene.latents.length / 2;
    return N / (Math.min(scene.settings.batch_size, N) || N);
  }

  function drawSide() {
    if (controls.includes("curves")) {
      drawCurve(curves.distortion, look, scene.history, "distortion", 0);
      drawCurve(curves.perplexity, look, scene.history, "perplexity", 1);
      if (!tiles.reconstruction.hidden) drawCurve(curves.reconstruction, look, scene.history, "reconstruction", 0);
    }
    if (controls.includes("counts")) drawBars(bars, look, figures, controls.includes("dead") ? figures.dead : [], scene.settings.method === "ema" ? scene.clusterSize.map((count) => count * wholes()) : null);
  }

  // --- what can be taken hold of --------------------------------------------------------------------------------------

  const points = ({ kind }) => (kind === "code" ? scene.codebook : kind === "latent" ? scene.latents : scene.settings.target);
  const where = (item) => [points(item)[2 * item.index], points(item)[2 * item.index + 1]];
  const place = (item) => toPixel(view, ...where(item));
  const grip = (item) => place(item).map((value, i) => value + (item.kind === "target" ? PIN[i] : 0));
  /** Whether the decoder's push is drawn: as arrows of its own, or beside the other two who move a latent. */
  const pushed = () => ["straight_through", "rotation"].some((name) => scene.settings.show.includes(name)) || nudged();
  const nudged = () => scene.settings.show.includes("losses") && scene.settings.method === "gradient" && scene.settings.encoder_moves;
  const starred = () => pushed() && scene.settings.target.length > 0;

  function itemAt(a, b, reach) {
    const closest = (kind, count, limit) => {
      let best = null;
      for (let index = 0; index < count; index++) {
        const [c, d] = grip({ kind, index });
        const distance = Math.hypot(a - c, b - d);
        const again = distance === limit && selected?.kind === kind && selected.index === index;
        if (distance < limit || again) [best, limit] = [{ kind, index }, distance];
      }
      return best;
    };
    return (starred() ? closest("target", 1, reach[0]) : null) ?? closest("code", scene.codebook.length / 2, reach[0]) ?? closest("latent", scene.latents.length / 2, reach[1]);
  }

  /** The scene with a code, a latent or the target elsewhere within the picture; `snap` pixels from a code, on it. */
  function moved(item, x, y, snap) {
    const [left, bottom, right, top] = boxOf(view);
    const rim = (item.kind === "target" ? 40 : 12) / view.scale;
    let at = [rounded(Math.min(right - rim, Math.max(left + rim, x))), rounded(Math.min(top - rim, Math.max(bottom + rim, y)))];
    const near = (code) => Math.hypot(...[0, 1].map((i) => code[i] - at[i])) < snap / view.scale;
    if (item.kind === "code") at = pairs(scene.codebook).find((code, k) => k !== item.index && near(code)) ?? at;
    if (item.kind === "target") return { ...scene, settings: { ...scene.settings, target: at } };
    const changed = points(item).slice();
    changed.set(at, 2 * item.index);
    if (item.kind === "latent") return { ...scene, latents: changed };
    return { ...scene, codebook: changed, embedSum: sumsFor(changed, scene.clusterSize, scene.settings.eps) };
  }

  function moveTo(item, x, y, { before, way = [], snap }) {
    const was = item.kind === "latent" ? figures.codes[item.index] : null;
    const from = where(item);
    put(moved(item, x, y, snap));
    if (was !== null) {
      const to = where(item);
      const line = Float64Array.from({ length: 80 }, (_, i) => from[i & 1] + ((i >> 1) / 39) * (to[i & 1] - from[i & 1]));
      for (const code of nearest(line, scene.codebook)) if (way.at(-1) !== code) way.push(code);
    }
    if (was !== null && was !== figures.codes[item.index] && !calm.matches)
      pulse = { latent: item.index, from: was, start: performance.now() };
    say(captionFor({ ...item, way, times: drags }, before, figures, scene, controls));
  }

  function add(x, y) {
    const [all, homes] = [scene.latents, scene.homes].map((points) => Float64Array.of(...points, rounded(x), rounded(y)));
    put({ ...scene, latents: all, homes, settings: { ...scene.settings, data: "own", points: all.length / 2 } }, { event: { kind: "add" } });
  }

  function remove(index) {
    const without = (points) => points.filter((_, i) => i >> 1 !== index);
    remember();
    const next = { ...scene, latents: without(scene.latents), homes: without(scene.homes) };
    next.settings = { ...scene.settings, data: "own", points: next.latents.length / 2 };
    select(null);
    put(next, { event: { kind: "add" } });
    touch();
  }

  function select(item) {
    selected = item;
    wake();
  }

  let drag = null; // { kind, index, before, way, snap, scene, offset }
  let drags = 0;
  let stroke = null; // where the last latent was added, while drawing

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const reachOf = (event) => REACH[event.pointerType] ?? REACH.mouse;

  function onDown(event) {
    if (event.button) return;
    const [a, b] = at(event);
    const item = adding ? null : itemAt(a, b, reachOf(event));
    play(false);
    canvas.setPointerCapture(event.pointerId);
    if (adding) {
      remember();
      stroke = [a, b];
      add(...toPlane(view, a, b));
      touch();
      return;
    }
    select(item);
    if (!item) return;
    const [c, d] = place(item);
    drag = { ...item, before: figures, way: [], snap: 8, scene, offset: [c - a, d - b] };
    drags++;
    focusProxy(item);
    event.preventDefault();
  }

  function onMove(event) {
    const [a, b] = at(event);
    if (drag) {
      if (drag.scene === scene) remember();
      moveTo(drag, ...toPlane(view, a + drag.offset[0], b + drag.offset[1]), drag);
    } else if (stroke) {
      if (Math.hypot(a - stroke[0], b - stroke[1]) < 9) return;
      stroke = [a, b];
      add(...toPlane(view, a, b));
    } else if (event.pointerType === "mouse") {
      const item = adding ? null : itemAt(a, b, REACH.mouse);
      canvas.style.cursor = adding ? "crosshair" : item ? "grab" : "default";
      if (item?.kind === hovered?.kind && item?.index === hovered?.index) return;
      hovered = item;
      wake();
    }
  }

  function onUp() {
    if (drag || stroke) touch();
    [drag, stroke] = [null, null];
    announce();
    wake();
  }

  // --- the keyboard: a button lies over each code, the chosen latent and the star --------------------------------------

  const proxies = make("div", { className: "vq-proxies" });
  const handles = { code: [], latent: [], target: [] };

  function placeProxies() {
    const wanted = { code: scene.codebook.length / 2, latent: scene.latents.length ? 1 : 0, target: starred() ? 1 : 0 };
    for (const [kind, list] of Object.entries(handles)) {
      while (list.length > wanted[kind]) list.pop().remove();
      while (list.length < wanted[kind]) {
        const handle = make("button", { type: "button", onfocus: () => select(itemOf(handle)) });
        handle.dataset.kind = kind;
        handle.dataset.index = kind === "latent" ? Math.min(model.get("latent"), scene.latents.length / 2 - 1) : list.length;
        list.push(handle);
      }
    }
    const [latent] = handles.latent;
    if (latent && selected?.kind === "latent") latent.dataset.index = selected.index;
    if (latent) latent.dataset.index = Math.min(latent.dataset.index, scene.latents.length / 2 - 1);
    const all = Object.values(handles).flat();
    if (all.length !== proxies.childElementCount) {
      proxies.replaceChildren(...all);
      nameProxies(); // at once: a button is never without a name
    }
    for (const handle of all) {
      const [a, b] = grip(itemOf(handle));
      const transform = `translate(${Math.round(a) - 14}px, ${Math.round(b) - 14}px)`;
      if (handle.style.transform !== transform) handle.style.transform = transform;
    }
  }

  const itemOf = (handle) => ({ kind: handle.dataset.kind, index: Number(handle.dataset.index) });

  function focusProxy(item) {
    if (item.kind === "latent" && handles.latent.length) handles.latent[0].dataset.index = item.index;
    (item.kind === "latent" ? handles.latent[0] : handles[item.kind][item.index])?.focus({ preventScroll: true });
  }

  function nameProxies() {
    for (const handle of Object.values(handles).flat()) {
      const item = itemOf(handle);
      const spot = where(item).map((value) => short(value, 2)).join(", ");
      const names = {
        code: () => {
          const said = { code: item.index, spot, latents: howMany(figures.counts[item.index]) };
          return figures.dead[item.index] ? t("Code {code} at {spot}: {latents}, dead", said) : t("Code {code} at {spot}: {latents}", said);
        },
        latent: () => t("Latent {latent} at {spot}: code {code}", { latent: item.index, spot, code: figures.codes[item.index] }),
        target: () => t("The decoder's target at {spot}", { spot }),
      };
      handle.setAttribute("aria-label", worded(names[item.kind]()));
    }
  }

  let lastKey = 0;
  function onKey(event) {
    const handle = event.target.closest?.(".vq-proxies button");
    const item = handle && itemOf(handle);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
      if (key === "y" || event.shiftKey) travel(future, past);
      else travel(past, future);
    } else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (item && key in MOVES) {
      play(false);
      if (event.timeStamp - lastKey > 800) remember(); // a run of key presses is one move
      lastKey = event.timeStamp;
      const reach = (event.shiftKey ? 32 : 6) / view.scale;
      const [x, y] = where(item);
      moveTo(item, x + reach * MOVES[key][0], y + reach * MOVES[key][1], { before: figures, snap: 4 });
      touch();
    } else if (item?.kind === "latent" && (key === "PageUp" || key === "PageDown")) {
      const N = scene.latents.length / 2;
      select({ kind: "latent", index: (item.index + (key === "PageUp" ? N - 1 : 1)) % N });
      handle.dataset.index = selected.index;
    } else if (item?.kind === "latent" && (key === "Delete" || key === "Backspace") && controls.includes("data")) remove(item.index);
    else if (item && key === "a" && controls.includes("data")) {
      remember();
      add(where(item)[0] + 20 / view.scale, where(item)[1]);
      select({ kind: "latent", index: scene.latents.length / 2 - 1 });
      focusProxy(selected);
      touch();
    } else if (item && (key === "p" || key === " ") && controls.includes("steps")) play(!playing);
    else if (item && key === "s" && controls.includes("steps")) stepOnce();
    else if (item && key === "Escape") undoButton.parentElement.querySelector("button:not(:disabled)")?.focus();
    else return;
    event.preventDefault();
    announce();
  }

  // --- controls -------------------------------------------------------------------------------------------------------

  const updates = []; // one function for each control, which makes it show the scene
  let updated = []; // what they show
  const button = (text, onclick, properties = {}) => make("button", { type: "button", onclick, ...properties }, text);

  function choices(label, values, get, set) {
    const options = Object.entries(values).map(([value, text]) => make("option", { value }, text));
    const list = make("select", { onchange: () => set(list.value) }, ...options);
    updates.push(() => {
      const value = String(get());
      if (!options.some((option) => option.value === value)) {
        options.push(make("option", { value }, value));
        list.append(options.at(-1));
      }
      list.value = value;
    });
    return make("label", { className: "vq-field" }, make("span", {}, label), list);
  }

  function slider(label, values, name, text, set = (value) => change({ [name]: value })) {
    const output = make("span", { className: "vq-value", "aria-hidden": "true" }); // the slider itself says it
    const input = make("input", { type: "range", min: 0, max: values.length - 1, step: 1 });
    const show = (value) => {
      output.textContent = text(value);
      input.setAttribute("aria-valuetext", text(value));
    };
    input.addEventListener("input", () => show(values[input.value]));
    input.addEventListener("change", () => set(values[input.value]));
    updates.push(() => {
      const value = scene.settings[name];
      const gap = (other) => Math.abs(other - value);
      input.value = values.indexOf(values.reduce((best, other) => (gap(other) < gap(best) ? other : best)));
      show(value);
    });
    return make("label", { className: "vq-field" }, make("span", { className: "vq-split" }, label, output), input);
  }

  function toggle(label, get, set) {
    const input = make("input", { type: "checkbox", onchange: () => set(input.checked) });
    updates.push(() => (input.checked = get()));
    return make("label", { className: "vq-check" }, input, make("span", {}, label));
  }

  const flag = (label, name) => toggle(label, () => scene.settings[name], (value) => change({ [name]: value })); // prettier-ignore
  /** A layer of the picture, offered where it changes something. */
  function layer(label, name, visible = () => true) {
    const node = toggle(label, () => scene.settings.show.includes(name), (on) =>
      change({ show: on ? [...scene.settings.show, name] : scene.settings.show.filter((other) => other !== name) }),
    ); // prettier-ignore
    node.title = meanings[name]?.[1] ?? "";
    updates.push(() => (node.hidden = !visible(scene.settings)));
    return node;
  }

  function card(title, name, ...children) {
    return controls.includes(name) ? [make("fieldset", { className: "vq-card" }, make("legend", {}, title), ...children)] : [];
  }

  /** The settings of a method, seen while it is chosen. */
  function strip(method, ...children) {
    const node = make("div", { className: "vq-strip", role: "group", "aria-label": t("{method} settings", { method: named[method] }) }, ...children);
    updates.push(() => (node.hidden = scene.settings.method !== method || !controls.includes("update")));
    return node;
  }

  const stepOnce = () => {
    play(false);
    remember();
    step();
  };
  const stepButton = button(t("Step"), stepOnce, { className: "vq-main" });
  const playButton = button(t("Play"), () => play(!playing), { "aria-pressed": "false" });
  const pace = make("input", { type: "range", min: 1, max: 30, value: 5, "aria-label": t("Speed, steps per second") });
  const undoButton = button(t("Undo"), () => travel(past, future));
  const redoButton = button(t("Redo"), () => travel(future, past));
  const beginButton = button(t("Start again"), () => {
    play(false);
    begin({}, { kind: "again" });
  }, { title: t("Codes, latents, star and step as they began; the settings stay") });
  const resetButton = button(t("Reset all"), () => {
    play(false);
    remember();
    scene = { ...home, history: [], trail: [] };
    fit(scene);
    put(scene, { event: { kind: "reset" } });
    touch();
  }, { title: t("Everything as the lesson gave it, the settings too") }); // prettier-ignore
  resetButton.hidden = !["update", "codes", "dead", "data", "show"].some((name) => controls.includes(name));
  const methodButtons = methods.map((name) => button(named[name], () => change({ method: name }, { kind: "method" })));
  updates.push(() => {
    methodButtons.forEach((node, i) => node.setAttribute("aria-pressed", methods[i] === scene.settings.method));
    undoButton.disabled = !past.length;
    redoButton.disabled = !future.length;
    stepButton.disabled = playButton.disabled = !scene.latents.length;
  });
  const chooser = make("div", { className: "vq-choice", role: "group", "aria-label": t("How codes are updated") }, ...methodButtons);
  chooser.hidden = methods.length < 2;
  const stepNumber = make("span", { className: "vq-count" });
  const steps = make(
    "div", { className: "vq-row" }, chooser, stepButton, playButton,
    make("label", { className: "vq-pace" }, make("span", {}, t("Speed")), pace), stepNumber,
  ); // prettier-ignore
  steps.hidden = !controls.includes("steps");
  const bar = make("div", { className: "vq-bar" }, steps, make("div", { className: "vq-row vq-back" }, undoButton, redoButton, beginButton, resetButton));

  const sizes = { 60: "60", 200: "200", 600: "600", 2000: "2,000" };
  const batches = { 0: t("all of them"), 256: "256", 64: "64", 16: "16", 4: "4" };
  const batch = () =>
    choices(t("latents per update"), batches, () => scene.settings.batch_size, (value) => change({ batch_size: Number(value) })); // prettier-ignore
  const datasets = { blobs: t("blobs"), ring: t("ring"), moons: t("moons"), spiral: t("spiral"), own: t("your own") };
  if (model.get("data") === "given") datasets.given = t("as given");

  function chooseData(data) {
    if (data === "own") clearButton.click();
    else begin({ data, points: scene.settings.points in sizes || data === "given" ? scene.settings.points : 600 });
  }

  const addButton = button(t("Add latents"), () => {
    adding = !adding;
    addButton.setAttribute("aria-pressed", adding);
    say(adding ? t("Click in the plane to add latents, or draw with the button held. With the keyboard: A, beside the chosen code or latent.") : t("Drag a code, or press Step."));
  }, { "aria-pressed": "false" }); // prettier-ignore
  const clearButton = button(t("Clear"), () => {
    remember();
    play(false);
    select(null);
    const none = new Float64Array(0);
    put({ ...scene, latents: none, homes: none, settings: { ...scene.settings, data: "own", points: 0 } });
    if (!adding) addButton.click();
    touch();
  });

  const output = make("textarea", { readOnly: true, rows: 8, spellcheck: false, "aria-label": t("What was copied") });
  const copiedNote = make("p", { className: "vq-note", role: "status" });
  const shared = make("div", { className: "vq-shared", hidden: true }, copiedNote, output);
  async function copy(text, what) {
    shared.hidden = false;
    output.value = text;
    try {
      await navigator.clipboard.writeText(text);
      copiedNote.textContent = t("{what} is in the clipboard.", { what });
    } catch {
      output.select();
      copiedNote.textContent = document.execCommand("copy") ? t("{what} is in the clipboard.", { what }) : t("{what}, to copy:", { what });
    }
  }

  const linkButton = button(t("Copy link"), () => {
    write();
    const whole = scene.settings.data === "own" || movedLatents(scene).length <= 3 * MOST_MOVED;
    copy(location.href, whole ? t("The link to this very scene") : t("A link to this scene, with the latents where they began (too many have moved),"));
  });
  const keysOf = KEYS();
  const keys = make("details", { className: "vq-keys" }, make("summary", {}, t("Keys")), make("p", {}, worded(["all", "steps", "data"].filter((name) => name === "all" || controls.includes(name)).map((name) => keysOf[name]).join(""))));
  const seen = { distortion: "figures", perplexity: "figures", reconstruction: "figures", dead: "dead", trails: "show", losses: "show" };
  const explained = Object.entries(meanings).filter(([name]) => !(name in seen) || controls.includes(seen[name]));
  const glossary = make("details", { className: "vq-keys" }, make("summary", {}, t("What the numbers mean")),
    make("dl", {}, ...explained.flatMap(([, [name, text]]) => [make("dt", {}, worded(name)), make("dd", {}, worded(text))]))); // prettier-ignore
  const strips = [
    strip("ema",
      slider(t("decay"), [0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999], "decay", (value) => value ? t("{decay}, half-life {steps} steps", { decay: value, steps: rounded(halfLife(value), 1) }) : t("0, no memory")), batch()),
    strip("gradient",
      slider(t("learning rate"), [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4], "learning_rate", String),
      slider(t("commitment weight β"), [0, 0.05, 0.1, 0.25, 0.5, 1, 2], "commitment_weight", String), batch(),
      make("div", { className: "vq-field" }, flag(t("codes move"), "codes_move"), flag(t("encoder moves too"), "encoder_moves"))),
  ]; // prettier-ignore
  const restartButton = button(t("Restart dead codes"), () => {
    const count = figures.dead.filter(Boolean).length;
    remember();
    put(restarted(scene), { event: { kind: "restart", count }, glide: true });
    touch();
  });
  const starBox = toggle(t("one target for all"), () => scene.settings.target.length > 0, (on) =>
    change({ target: !on ? [] : home.settings.target.length ? home.settings.target : toPlane(view, 0.8 * view.width, 0.2 * view.height).map((value) => rounded(value, 2)) }),
  ); // prettier-ignore
  starBox.title = t("On: the decoder wants every q at the star. Off: each at the place where its latent began, a cross.");
  updates.push(() => (starBox.hidden = !pushed()));
  const cards = make(
    "div",
    { className: "vq-cards" },
    ...card(t("Codes"), "codes",
      slider(t("number of codes K"), Array.from({ length: 64 }, (_, i) => i + 1), "codebook_size", String, (value) => begin({ codebook_size: value })),
      choices(t("start"), { normal: t("normal, N(0, 1)"), uniform: t("uniform in ±1/K"), kmeans: t("k-means") }, () => scene.settings.start, (start) => begin({ start }))),
    ...card(t("Dead codes"), "dead",
      slider(t("dead below count"), [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20], "threshold", String),
      flag(t("restart after each step"), "auto_restart")),
    ...card(t("Latents"), "data",
      choices(t("data set"), datasets, () => scene.settings.data,
        chooseData),
      choices(t("how many"), sizes, () => scene.settings.points, (value) => begin({ points: Number(value), data: scene.settings.data in SHAPES ? scene.settings.data : "blobs" })),
      make("div", { className: "vq-row" },
        button(t("New draw"), () => begin({ seed: scene.settings.seed + 1, data: scene.settings.data === "own" ? "blobs" : scene.settings.data })), addButton, clearButton)),
    ...card(t("Show"), "show",
      layer(t("cells"), "cells"), layer(t("lines to codes"), "lines", ({ points }) => points > FEW || !pushed()), layer(meanings.trails[0], "trails"), layer(t("straight-through arrow"), "straight_through"),
      layer(t("rotation-trick arrow"), "rotation"), layer(meanings.losses[0], "losses", (settings) => settings.codes_move || settings.commitment_weight > 0),
      starBox),
  ); // prettier-ignore
  const share = make("div", { className: "vq-row vq-share" }, linkButton, button(t("Copy as Python"), () => copy(asPython(scene), t("A program with these numbers"))));
  share.hidden = !controls.includes("share");
  linkButton.hidden = !onPage;

  // --- what stands beside ---------------------------------------------------------------------------------------------

  const canvas = make("canvas", { "aria-hidden": "true" });
  const stage = make("div", { className: "vq-stage", role: "group", "aria-label": t("The plane of latents and codes") }, canvas, proxies);
  const roomy = controls.includes("update") && model.get("show").includes("losses"); // the encoder's arrows may come
  const legend = make("ul", { className: roomy ? "vq-legend vq-roomy" : "vq-legend" });
  const caption = make("p", { className: "vq-caption" });
  const live = make("p", { className: "vq-hidden", "aria-live": "polite" });
  const curves = {};
  const numbers = {};
  function tile(name) {
    numbers[name] = make("span", { className: "vq-figure" });
    curves[name] = make("canvas", { "aria-hidden": "true" });
    const node = make("div", { className: "vq-tile", title: meanings[name][1] }, make("div", { className: "vq-split" }, make("span", {}, meanings[name][0]), numbers[name]));
    if (controls.includes("curves")) node.append(make("div", { className: "vq-curve" }, curves[name]));
    return node;
  }
  const tiles = { distortion: tile("distortion"), perplexity: tile("perplexity"), reconstruction: tile("reconstruction") };
  const bars = make("canvas", { "aria-hidden": "true" });
  numbers.used = make("span", { className: "vq-figure" });
  const barTile = make("div", { className: controls.includes("counts") ? "vq-tile vq-bars" : "vq-tile" }, make("div", { className: "vq-split" }, make("span", {}, t("codes in use")), numbers.used));
  if (controls.includes("counts")) barTile.append(make("div", { className: "vq-curve" }, bars));
  const wanted = controls.includes("figures");
  const markNote = make("p", { className: "vq-note" });
  barTile.append(markNote);
  if (controls.includes("dead")) barTile.append(restartButton);
  barTile.hidden = !wanted && !controls.includes("counts");
  tiles.distortion.hidden = tiles.perplexity.hidden = !wanted;
  const side = make("div", { className: "vq-side" }, tiles.distortion, tiles.perplexity, tiles.reconstruction, barTile);
  const body = make("div", { className: "vq-body" }, make("div", { className: "vq-main-column" }, stage, legend, caption), side);
  const root = make("div", { className: "vq-widget vq-plane" },
    make("div", { className: "vq-all" }, bar, ...strips, body, cards, share, shared, glossary, keys, live)); // prettier-ignore
  root.dataset.widget = "plane";
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys rest while the focus is in here
  if (barTile.hidden && !wanted) root.classList.add("vq-wide");

  function say(text) {
    if (!model.get("caption")) caption.textContent = worded(text);
  }

  let naming = 0;
  function nameSoon() {
    naming ||= setTimeout(() => {
      naming = 0;
      nameProxies();
    }, 300);
  }

  let announcing = 0;
  function announce() {
    nameSoon();
    clearTimeout(announcing);
    announcing = setTimeout(() => {
      live.textContent = t("Step {step}. Distortion {distortion}, perplexity {perplexity}, {used} of {all} codes in use.", {
        step: scene.step, distortion: short(figures.distortion), perplexity: short(figures.perplexity, 2), used: figures.used, all: figures.counts.length,
      });
    }, 400);
  }

  function refresh() {
    const K = figures.counts.length;
    const { show } = scene.settings;
    Object.assign(root.dataset, {
      distortion: figures.distortion, perplexity: figures.perplexity, step: scene.step, used: figures.used,
      reconstruction: figures.reconstruction,
    }); // prettier-ignore
    numbers.distortion.textContent = short(figures.distortion, 4);
    numbers.perplexity.textContent = t("{count} of {all}", { count: short(figures.perplexity, 2), all: K });
    numbers.used.textContent = t("{count} of {all}", { count: figures.used, all: K });
    const N = scene.latents.length / 2;
    const batch = Math.min(scene.settings.batch_size, N) || N;
    markNote.hidden = scene.settings.method !== "ema" || !controls.includes("counts");
    markNote.textContent = batch === N
      ? t("Bar: how many of all {all} latents choose it now. Line across it: its moving count, of {batch} in a step.", { all: N, batch })
      : t("Bar: how many of all {all} latents choose it now. Line across it: its moving count, of {batch} in a step, drawn {times} times as high.", { all: N, batch, times: rounded(wholes(), 1) });
    numbers.reconstruction.textContent = short(figures.reconstruction, 4);
    stepNumber.textContent = t("step {step}", { step: scene.step });
    const controlled = [scene.settings, past.length > 0, future.length > 0, scene.latents.length > 0];
    if (controlled.some((value, i) => value !== updated[i])) updates.forEach((update) => update());
    updated = controlled;
    const pushes = pushed();
    tiles.reconstruction.hidden = !pushes && !(scene.settings.method === "gradient" && controls.includes("update"));
    const arrows = [pushes && "decoder", (show.includes("straight_through") || nudged()) && "straight_through", show.includes("rotation") && "rotation", ...(show.includes("losses") ? ["codebook", "commitment"] : [])].filter(Boolean); // prettier-ignore
    const key = arrows.join() + nudged() + scene.settings.target.length + look?.dark + scene.settings.commitment_weight;
    if (legend.dataset.key !== key && look) {
      legend.dataset.key = key;
      legend.replaceChildren(...arrows.map((name) => {
        const sign = make("span", { className: name === "decoder" ? "vq-sign vq-dashed" : "vq-sign", "aria-hidden": "true" });
        sign.style.color = arrowColour(look, name);
        return make("li", {}, sign, name === "commitment" ? t("{arrow}, times β = {weight}", { arrow: ARROWS[name].text(), weight: scene.settings.commitment_weight }) : ARROWS[name].text());
      })); // prettier-ignore
      if (nudged() && !scene.settings.target.length) legend.append(make("li", {}, make("span", { "aria-hidden": "true" }, "✕"), worded(t("where a latent began"))));
    }
    legend.hidden = !arrows.length;
    nameSoon();
    stale = true;
  }

  // --- the model and the address --------------------------------------------------------------------------------------

  let publishing = false;
  let published = 0;
  let sent = null; // the latents that the model has: many, and seldom changed
  function publish() {
    published ||= setTimeout(() => {
      published = 0;
      publishing = true;
      const values = {
        ...scene.settings, codebook: pairs(scene.codebook), cluster_size: [...scene.clusterSize],
        embed_sum: pairs(scene.embedSum), step: scene.step,
      }; // prettier-ignore
      if (scene.latents !== sent) values.latents = pairs(scene.latents);
      sent = scene.latents;
      for (const [name, value] of Object.entries(values))
        if (JSON.stringify(model.get(name)) !== JSON.stringify(value)) model.set(name, value);
      model.save_changes();
      publishing = false;
    }, 120);
  }

  function onChange() {
    if (publishing || drag) return;
    if (model.get("caption")) caption.textContent = model.get("caption");
    const next = fromModel();
    const same = (name) => JSON.stringify([...next[name]]) === JSON.stringify([...scene[name]]);
    const settled = ["latents", "codebook", "clusterSize", "embedSum"].every(same) && next.step === scene.step;
    if (settled && JSON.stringify(next.settings) === JSON.stringify(scene.settings)) return;
    remember();
    put({ ...next, history: scene.history, trail: [] }, { glide: true });
    if (outside(scene.codebook) || outside(scene.latents)) fit(scene);
    announce();
  }

  const KEY = /^plane(\d+)=/;
  const index = () => [...document.querySelectorAll('.vq-host[data-host="plane"]')].indexOf(root.closest(".vq-host"));
  const fragments = () => location.hash.slice(1).split("&").filter(Boolean);
  let writing = 0;

  /** Keeps the scene in the address, once somebody has touched it. */
  function touch() {
    if (!onPage || !controls.includes("share")) return;
    clearTimeout(writing);
    writing = setTimeout(write, 400);
  }

  function write() {
    clearTimeout(writing);
    const mine = `plane${index()}=`;
    if (index() < 0) return;
    const others = fragments().filter((part) => KEY.test(part) && !part.startsWith(mine));
    history.replaceState(history.state, "", `#${[...others, mine + encoded(scene, home)].join("&")}`);
  }

  function read() {
    const mine = fragments().find((part) => part.startsWith(`plane${index()}=`));
    if (!mine) return;
    const found = decoded(mine.split("=")[1], home);
    if (!found) return;
    put({ ...found, history: [], trail: [] });
    fit(scene);
    say([t("The scene of the link, at step {step}.", { step: scene.step }), captionFor({}, figures, figures, scene, controls)].join(" "));
  }

  // --- begin ----------------------------------------------------------------------------------------------------------

  scene = fromModel();
  home = scene; // as the lesson gave it
  figures = measured(scene);
  scene.history = [entry(scene, figures)];
  shown = scene;
  el.append(root);

  function themed() {
    look = lookOf(root);
    delete legend.dataset.key;
    refresh();
    wake();
  }

  function resized() {
    const width = stage.clientWidth;
    if (!width || width === view.width) return;
    Object.assign(view, { width, height: Math.round(Math.max(300, Math.min(560, width * (width < 480 ? 0.95 : 0.72)))) });
    fit(scene);
    if (!look) announce();
    themed();
  }

  canvas.addEventListener("pointerdown", onDown);
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerup", onUp);
  canvas.addEventListener("pointercancel", onUp);
  canvas.addEventListener("pointerleave", () => {
    hovered = null;
    wake();
  });
  // A finger on a code drags it; a finger beside it scrolls the page.
  canvas.addEventListener("touchstart", (event) => {
    const [a, b] = at(event.touches[0]);
    if (event.touches.length === 1 && (adding || itemAt(a, b, REACH.touch))) event.preventDefault();
  }, { passive: false }); // prettier-ignore
  root.addEventListener("keydown", onKey);
  const sizing = new ResizeObserver(resized);
  sizing.observe(stage);
  const theming = new MutationObserver(themed);
  theming.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  theming.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  darkness.addEventListener("change", themed);
  model.on("change", onChange);
  window.addEventListener("hashchange", read);
  caption.textContent = model.get("caption") || worded(captionFor({}, figures, figures, scene, controls));
  if (onPage) queueMicrotask(read); // by then the root stands in the page, among its like

  return () => {
    play(false);
    cancelAnimationFrame(frame);
    [writing, published, announcing, naming].forEach(clearTimeout);
    sizing.disconnect();
    theming.disconnect();
    darkness.removeEventListener("change", themed);
    window.removeEventListener("hashchange", read);
    model.off("change", onChange);
  };
}

export default { render, core };
