"""What mutation leaves standing, and why. `python tests/mutation.py` prints it in the words that are used here.

EQUIVALENTS: survivors that do the same as what they were made from, for every input that an exercise asks about.
NOT_ASKED: lines, or whole functions, of course_lib that are there for its users alone, and are not mutated: a learner
    owes neither speed nor accuracy far from the origin. tests/test_quantize.py looks after them.

WITHOUT_GRADIENTS: exercises whose results nobody differentiates; there a `.detach()` more or less is no fault.

(exercise, origin) -> reason -> texts, in which … stands for anything. One that fits nothing any more is an error, so
the lists cannot rot.
"""

import re

WHOLE_NUMBERS = "codes and counts are whole numbers: they carry no gradient"
UPDATE = "an update that stands beside the graph: no gradient goes through averages"
LOOKED_AT = "made to be looked at, of latents that have been learnt"
OTHER_FAULT = "the program's fault lies elsewhere, and its results are not differentiated"

WITHOUT_GRADIENTS: dict[str, str] = {
    "bits_per_image": "plain numbers",
    "compression_ratio": "plain numbers",
    "nearest_codes": WHOLE_NUMBERS,
    "perplexity": WHOLE_NUMBERS,
    "ema_update": UPDATE,
    "kmeans_init": UPDATE,
    "restart_dead_codes": UPDATE,
    "pca_colours": LOOKED_AT,
    "mask_position": LOOKED_AT,
    "latent_length": "plain numbers",
    "snr_db": "a measure, which nothing is trained on here",
    "causal_mask": "made of two settings",
    "sample_codes": WHOLE_NUMBERS,
    **dict.fromkeys(
        ("bug_01", "bug_02", "bug_03", "bug_04", "bug_06", "bug_07", "bug_08", "bug_10", "bug_11"), OTHER_FAULT
    ),
}

SPEED = "blocks and groups make it fast and sparing of memory"
ACCURACY = "digits far from the origin: measured once more where rounding could decide"
TYPES = "latents and codebook of different dtypes, or of half precision: nobody asks a learner for that"

NOT_ASKED: dict[tuple[str, str], dict[str, list[str]]] = {
    ("pairwise_distances", "library"): {TYPES: ["_common_dtype", "dtype = _common_dtype(flat, codebook)"]},
    ("nearest_codes", "library"): {
        TYPES: [
            "_common_dtype",
            "dtype = _common_dtype(flat, codebook)",
            "flat, codebook = flat.to(dtype), codebook.to(dtype)",
        ],
        SPEED: [
            "_first_lowest",
            "nowhere = right.new_zeros(-len(right) % GROUP, right.shape[1])",
            'nowhere[:, -1] = float("inf")',
            "right = torch.cat([right, nowhere]).T",
            "rows = max(1, SCORES_AT_ONCE.get(flat.device.type, 2**24) // right.shape[1])",
            "left = flat.new_ones(min(rows, len(flat)), len(right))",
            "scores = flat.new_empty(len(left), right.shape[1])",
            "blocks.append(_first_lowest(torch.mm(left[: len(block)], right, out=scores[: len(block)])))",
        ],
        ACCURACY: [
            "squares = torch.linalg.vecdot(flat, flat)",
            "eps = torch.finfo(dtype).eps",
            "sure = squares + lowest > 1e4 * eps * squares",
            "sure &= second - lowest > 64 * eps * (squares + lowest.abs())",
            "unsure = (~sure).nonzero().flatten()",
            "for some in unsure.split(rows) if len(unsure) else ():",
            "codes[some] = pairwise_distances(flat[some], codebook).argmin(dim=1)",
        ],
    },
}

STUB = "the first line is handed out, default and all, and at the default nothing of this size shows"
EITHER_SIGN = "a principal direction has no sign of its own: its colours may be turned round"
SIGN = "squared afterwards"
SHAPE = "the extra axis of length 1 goes in what follows"
ANY_MODEL = "any tiny model will do: only which gradients there are is asked, not their size or sign"
HEARD = "a gradient that is there is nowhere 0 as a whole, so None or not tells the same"
STOPPED = "behind a .detach() anyway: within the function that is called, or in what follows"
BUFFER = "buffers, and sums of them in an update without gradients, carry none"
DOUBLE = "the same numbers in another dtype of floating point, which nobody asks for"
GUARD = "a guard against empty counts that is handed out, and away from the fault; no count drawn comes near it"
ROUNDS = "more rounds of rows are drawn than needed, and cut off"


def _each(line: str, *changes: str) -> list[str]:
    return [f"{line}  |  {change}" for change in changes]


CDIST = 'distances = torch.cdist(flat.to(dtype), codebook.to(dtype), compute_mode="donot_use_mm_for_euclid_dist")'

EQUIVALENTS: dict[tuple[str, str], dict[str, list[str]]] = {
    ("pairwise_distances", "library"): {
        SIGN: [f"{CDIST}  |  minus added"],
        ACCURACY: [f"{CDIST}  |  compute_mode=… of cdist left out"],
        TYPES: [f"{CDIST}  |  .to(...) left out…", f"{CDIST}  |  argument dtype of to left out…"],
    },
    ("pairwise_distances", "solution"): {
        SIGN: ["differences = …  |  minus added", "differences = …  |  sides of - swapped"],
        "broadcasting adds the first axis by itself": ["differences = …  |  [(None, :, :)] left out"],
    },
    ("gradient_matrix", "reference"): {
        ANY_MODEL: [
            *_each("generator = Generator().manual_seed(0)", ".manual_seed(...) left out", "0 -> 1"),
            "sizes = …  |  4 -> 5",
            "codebook = self.parts…  |  minus added",
            "x = self.inputs @ …  |  minus added",
            "x = self.inputs @ …  |  self.inputs detached",
            *_each(
                "q = codebook[torch.cdist(x, codebook).argmin(1)]",
                "minus added",
                "keepdim=True added to argmin",
                "argmin -> argmax",
                "cdist(...) left out",
            ),
            "vq = given(x, q)  |  minus added",
            "reconstruction = …  |  minus added",
            "reconstruction = …  |  mse_loss -> l1_loss",
            "reconstruction = …  |  self.wanted detached",
            *_each(
                "return (q - x).detach() + x",
                "minus added",
                "+ -> -",
                "(q - x).detach() + left out",
                "- -> +",
                "sides of - swapped",
                "- x left out",
                "q - left out",
            ),
            "return q  |  minus added",
            "return q.detach()  |  minus added",
            "return F.mse_loss(q, x.detach()), F.mse_loss(x, q.detach())  |  mse_loss -> l1_loss…",
        ],
        "the losses here are not made of what the decoder is given": ["return dict(zip(LOSSES, …  |  vq detached"],
        "every loss has a gradient": [
            *_each("gradients = [None] * len(PARTS)", "left out", "* len(PARTS) left out", "[None] * left out")
        ],
        HEARD: [
            *_each(
                "found[…] = gradient is not None and bool(gradient.any())",
                "bool(gradient.any()) left out",
                "bool(...) left out",
                "gradient detached",
            )
        ],
        "a list is handed over as well as a view": ["gradients = torch.autograd.grad(…  |  list(...) left out"],
    },
    ("gradient_matrix", "solution"): {
        ANY_MODEL: [
            *_each("codebook = torch.nn.Parameter(torch.randn(8, 2))", "minus added", "8 -> 9"),
            "images, matrix = torch.randn(32, 6), {}  |  32 -> 33",
            *_each("x = encoder(images)", "minus added", "images detached"),
            *_each(
                "q = codebook[torch.cdist(x, codebook).argmin(1)]",
                "minus added",
                "keepdim=True added to argmin",
                "argmin -> argmax",
                "cdist(...) left out",
            ),
            "losses[…] = F.mse_loss(decoder(given), images)  |  minus added",
            "losses[…] = F.mse_loss(decoder(given), images)  |  mse_loss -> l1_loss",
            "losses[…] = F.mse_loss(decoder(given), images)  |  images detached",
        ],
        "the order of a dict is not compared": ["for trick in …  |  …swapped"],
        STOPPED: ["losses = …  |  …detached…"],
        HEARD: [
            *_each(
                "matrix[…] = gradient is not None and bool(gradient.any())",
                "bool(gradient.any()) left out",
                "bool(...) left out",
                "gradient detached",
            )
        ],
        "a list is handed over as well as a view": ["gradients = torch.autograd.grad(…  |  list(...) left out"],
    },
    ("ema_update", "library"): {
        STUB: ["def ema_update(…  |  1e-05 -> 2e-05"],
        "0 / 0 at eps = 0 is asked of the library alone": [
            "codebook = …  |  .clamp_min(...) left out",
            "codebook = …  |  argument smoothed.dtype of finfo left out",
        ],
        DOUBLE: ["counts = torch.bincount(…  |  .double() left out"],
    },
    ("ema_update", "solution"): {STUB: ["def ema_update(…  |  1e-05 -> 2e-05"]},
    ("perplexity", "library"): {
        "codes that do not occur add nothing": ["probabilities = …  |  minlength=codebook_size of bincount left out"]
    },
    ("perplexity", "solution"): {
        "codes that do not occur add nothing": ["p = …  |  minlength=codebook_size of bincount left out"]
    },
    ("kmeans_init", "reference"): {
        STUB: ["def kmeans(…  |  10 -> 11"],
        "a place for empty codes is given by wrong answers alone": ["codebook = …  |  always codebook"],
    },
    ("kmeans_init", "solution"): {
        STUB: ["def kmeans_init(…  |  10 -> 11"],
        ROUNDS: ["rounds = …  |  / …", "places = …  |  range + 1"],
        "minus a random place, counted from the end, is as random": ["places = …  |  minus added"],
        "what is divided by 0 is not used": ["codebook = …  |  .clamp(...) left out", "codebook = …  |  1 -> 0"],
    },
    ("restart_dead_codes", "solution"): {
        "a number in a tensor does for a number": ["latents = …  |  int(...) left out"]
    },
    ("LibraryVQVAE", "solution"): {
        "which layers, and which settings, is the learner's choice, as long as the whole learns": [
            "self.encoder = nn.Sequential(  |  …",
            "self.decoder = nn.Sequential(  |  …",
            "self.vq = VectorQuantize(…  |  decay=0.8 of VectorQuantize left out",
            "self.vq = VectorQuantize(…  |  commitment_weight=1.0 of VectorQuantize left out",
            "self.vq = VectorQuantize(…  |  0.8 -> 1.6",
            "self.vq = VectorQuantize(…  |  1.0 -> 2.0",
            "latents = self.encoder(x)…  |  minus added",
        ]
    },
    ("LibraryVQVAE", "reference"): {
        "which settings the library's layer gets is the learner's choice, as long as it learns": [
            "layer = VectorQuantize(…  |  decay=0.8 of VectorQuantize left out",
            "layer = VectorQuantize(…  |  commitment_weight=1.0 of VectorQuantize left out",
            "layer = VectorQuantize(…  |  0.8 -> 1.6",
            "layer = VectorQuantize(…  |  1.0 -> 2.0",
        ]
    },
    ("VectorQuantize", "solution"): {
        SHAPE: ["codes = torch.cdist(…  |  keepdim=True added to argmin"],
        WHOLE_NUMBERS: ["flat = x.reshape(…  |  x detached"],
    },
    ("normalized_mse", "library"): {"images are given, not learnt": ["…  |  images detached"]},
    ("normalized_mse", "solution"): {"images are given, not learnt": ["…  |  images detached"]},
    ("VectorQuantize", "reference"): {
        SHAPE: ["return torch.cdist(…  |  keepdim=True added to argmin"],
        "of two axes the last is axis 1": ["return torch.cdist(…  |  -1 -> 1 (3)"],
        WHOLE_NUMBERS: ["codes = choose(x, self.codebook)  |  …detached"],
        "both terms have the same weight": ["…  |  arguments 1 and 2 of both_losses swapped"],
    },
    ("pca_colours", "reference"): {
        EITHER_SIGN: ["…  |  minus added", "centred = …  |  sides of - swapped"],
        "the order of the two axes does not matter": ["def rescaled(…  |  1 and 2 of ((2, 3)) swapped"],
        "the first three rows are the same": [
            "return torch.linalg.svd(…  |  False -> True",
            "…  |  full_matrices=… left out",
        ],
        SHAPE: ["centred = …  |  keepdim=True added to mean"],
        "a guard of any small size": ["return (maps - low) / …  |  1e-08 -> 2e-08"],
    },
    ("pca_colours", "solution"): {
        EITHER_SIGN: ["…  |  minus added", "centred = …  |  sides of - swapped"],
        "the order of the two axes does not matter": ["low, high = …  |  1 and 2 of ((2, 3)) swapped…"],
        "the first three rows are the same": ["directions = …  |  False -> True", "…  |  full_matrices=… left out"],
        SHAPE: ["centred = …  |  keepdim=True added to mean"],
        "a guard of any small size": ["return (maps - low) / …  |  1e-08 -> 2e-08"],
    },
    ("snr_db", "reference"): {
        SIGN: ["return 10 * torch.log10(…  |  sides of - swapped"],
        "above and below alike: it falls out of the ratio": [
            *_each("return sound.flatten(1).square().sum(1)", "minus added", "sum -> mean")
        ],
    },
    ("snr_db", "solution"): {SIGN: ["noise = …  |  sides of - swapped"]},
    ("residual_quantize", "reference"): {
        STOPPED: [
            *_each("codes, total = greedy(flat, codebooks)", "flat detached", "codebooks detached"),
            "return passed_through(flat, total), codes  |  total detached",
            *_each(
                "residual, total, codes = flat.detach(), torch.zeros_like(flat), []",
                ".detach() left out",
                "flat detached",
            ),
            "code = codebook[codes[-1]]  |  codebook detached",
            *_each("residual = residual - code.detach()", "residual detached", ".detach() left out"),
            *_each("total = total + code", "total detached", "code detached"),
            "return torch.stack(codes, 1), total  |  total detached",
        ],
        "the mean of the squares is smallest where their sum is": ["return (flat.unsqueeze(1) - …  |  sum -> mean"],
    },
    ("residual_quantize", "solution"): {
        STOPPED: [
            *_each(
                "residual, total, codes = flat.detach(), torch.zeros_like(flat), []",
                ".detach() left out",
                "flat detached",
            ),
            "for codebook in codebooks.detach():  |  .detach() left out",
            "chosen = look_up(codes[-1], codebook)  |  codebook detached",
            *_each("residual = residual - chosen", "residual detached", "chosen detached"),
            *_each("total = total + chosen", "total detached", "chosen detached"),
            "return straight_through(flat, total), …  |  total detached",
        ]
    },
    ("causal_mask", "solution"): {"-0 is 0": ["mask = torch.zeros(…  |  minus added"]},
    ("bits_per_code", "reference"): {
        "an axis of length 1 changes no mean": [
            *_each(
                "return -logits.log_softmax(1)…",
                ".squeeze(...) left out",
                "argument 1 of squeeze left out",
                "1 -> 0 (4)",
            )
        ]
    },
    ("restart_dead_codes", "library"): {
        TYPES: ["latents = …  |  .to(...) left out", "latents = …  |  argument codebook.dtype of to left out"],
        "a number in a tensor does for a number": ["latents = …  |  int(...) left out"],
        ROUNDS: [
            "rounds = …  |  1 -> 2",
            "rounds = …  |  / -> *",
            "rounds = …  |  / len(flat) left out",
            "picks = …  |  range + 1",
        ],
        "an index may lie on the CPU": ["picks = …  |  device=flat.device of randperm left out"],
    },
    **dict.fromkeys(
        [("bug_01", "reference"), ("bug_01", "solution")],
        {
            SHAPE: ["return codes, …  |  keepdim=True added to sum"],
            "|x|^2 is the same for all codes": [
                "squares = …  |  flat.square().sum(dim=1, keepdim=True) + left out",
                "squares = …  |  sum -> mean",
                "squares = …  |  .square() left out",
                "squares = …  |  square -> abs",
            ],
        },
    ),
    **dict.fromkeys([("bug_02", "reference"), ("bug_02", "solution")], {SHAPE: ["…  |  keepdim=True added to argmin"]}),
    ("bug_03", "reference"): {
        "counts and orders do not depend on the size of the batches": [
            "return DataLoader(…  |  argument batch_size of DataLoader left out"
        ],
        "no more arguments here": ["return DataLoader(…  |  | more left out"],
    },
    ("bug_03", "solution"): {
        "counts and orders do not depend on the size of the batches": [
            "loader = DataLoader(…  |  argument batch_size of DataLoader left out"
        ]
    },
    ("bug_04", "solution"): {"-0 is 0": ["usage = torch.zeros(…  |  minus added"]},
    ("bug_04", "reference"): {"-0 is 0": ["usage = torch.full(…  |  minus added"]},
    ("bug_05", "reference"): {"no layer is handed over here": ["first or …  |  first left out"]},
    ("bug_06", "reference"): {"an index may lie on the CPU": ["return torch.arange(…  |  device=… of arange left out"]},
    ("bug_07", "reference"): {
        SHAPE: ["…  |  keepdim=True added to argmin", "counts = …  |  keepdim=True added to sum"],
        "made float32 by the next line": [
            "return F.one_hot(…  |  .to(...) left out",
            "return F.one_hot(…  |  argument …",
        ],
    },
    ("bug_07", "solution"): {"-0 is 0": ["counts = torch.zeros(…  |  minus added"]},
    ("bug_08", "solution"): {
        GUARD: ["codebook = …  |  .clamp_min(...) left out", "codebook = …  |  1e-05 -> 2e-05"],
        "nobody writes into it": ["embed_sum = codebook.clone()  |  .clone() left out"],
    },
    ("bug_08", "reference"): {GUARD: ["codebook = …  |  .clamp_min(...) left out", "codebook = …  |  1e-05 -> 2e-05"]},
    ("bug_09", "reference"): {
        BUFFER: [
            "self.register_buffer(…  |  self.codebook detached",
            "quantized = self.codebook[codes]  |  self.codebook detached",
            "return self.results(latents, quantized, codes)  |  quantized detached",
            "return vq, codes, …  |  self.…detached",
            "self.count(flat, codes)  |  flat detached",
            "self.codebook.copy_(…  |  …detached",
            "self.cluster_size.mul_(…  |  …detached",
            "self.embed_sum.mul_(…  |  …detached",
        ],
        "asked for its shape alone": ["if self.asked(latents):  |  latents detached"],
        "an observation copies what it is given": ["return vq, codes, …  |  .clone() left out…"],
        GUARD: ["self.codebook.copy_(…  |  .clamp_min(...) left out", "self.codebook.copy_(…  |  1e-05 -> 2e-05"],
    },
    ("bug_09", "solution"): {
        BUFFER: [
            "self.register_buffer(…  |  self.codebook detached",
            "return vq, codes, …  |  self.…detached",
            "self.codebook.copy_(…  |  …detached",
            "self.cluster_size.mul_(…  |  …detached",
            "self.embed_sum.mul_(…  |  …detached",
        ],
        "an observation copies what it is given": ["return vq, codes, …  |  .clone() left out…"],
        GUARD: ["self.codebook.copy_(…  |  .clamp_min(...) left out", "self.codebook.copy_(…  |  1e-05 -> 2e-05"],
    },
    ("bug_10", "solution"): {GUARD: ["codebook = …  |  .clamp_min(...) left out", "codebook = …  |  1e-05 -> 2e-05"]},
    ("bug_10", "reference"): {
        GUARD: ["return cluster_size, …  |  .clamp_min(...) left out", "return cluster_size, …  |  1e-05 -> 2e-05"]
    },
    ("bug_11", "reference"): {"what is kept here is what came": ["cluster_size = keep(counts)  |  keep(...) left out"]},
    **dict.fromkeys(
        [("bug_13", "reference"), ("bug_13", "solution")],
        {
            "within the branch nobody else holds what is written over": [
                "nn.ReLU(inplace=True),  |  inplace=True of ReLU left out",
                "nn.ReLU(inplace=True),  |  True -> False",
            ]
        },
    ),
    ("bug_14", "solution"): {"images are given, not learnt": ["…  |  images detached"]},
    ("bug_15", "solution"): {
        STOPPED: ["quantized = quantized + code  |  …detached"],
        "zeros carry no gradient": ["residual, quantized, codes, loss = …  |  flat detached (2)"],
        WHOLE_NUMBERS: ["codes.append(chosen)  |  chosen detached"],
    },
    ("bug_14", "reference"): {
        "images are given, not learnt": ["…  |  images detached"],
        "a mean of squares does not ask which is which": ["…  |  arguments 1 and 2 of weighed swapped"],
        "its weight is 1": ["…  |  codebook_weight * left out"],
    },
    ("bug_15", "reference"): {
        STOPPED: [
            "loss = loss + …  |  residual detached",
            "residual = take_off(residual, code)  |  code detached",
            "quantized = quantized + code  |  …detached",
            "return quantized, …  |  quantized detached",
        ],
        "zeros carry no gradient": ["residual, quantized, codes, loss = …  |  flat detached (2)"],
    },
}


def equivalents(exercise: str, origin: str) -> frozenset[str]:
    return _texts(EQUIVALENTS, exercise, origin)


def not_asked(exercise: str, origin: str) -> frozenset[str]:
    return _texts(NOT_ASKED, exercise, origin)


def fits(text: str, listed: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, listed.split("…"))), text) is not None


def _texts(table, exercise: str, origin: str) -> frozenset[str]:
    return frozenset(text for texts in table.get((exercise, origin), {}).values() for text in texts)
