"""What mutation leaves standing, and why. `python tests/proof/mutation.py` prints it in the words that are used here.

EQUIVALENTS: exercise -> reason -> survivors that do the same as the right answer, for every input that is asked about;
    in their texts … stands for anything. One that fits nothing any more is an error, so the lists cannot rot.

WITHOUT_GRADIENTS: exercises whose results nobody differentiates; there a `.detach()` more or less is no fault.
"""

WHOLE_NUMBERS = "codes and counts are whole numbers: they carry no gradient"
UPDATE = "an update that stands beside the graph: no gradient goes through averages"
LOOKED_AT = "made to be looked at, of latents that have been learnt"
OTHER_FAULT = "the program's fault lies elsewhere, and its results are not differentiated"

WITHOUT_GRADIENTS: dict[str, str] = {
    "bits_per_image": "plain numbers",
    "compression_ratio": "plain numbers",
    **dict.fromkeys(("my_changed", "my_choice", "my_nearest"), WHOLE_NUMBERS),
    "my_middles": UPDATE,
    "my_expanded": "in its lesson a choice alone is made from them; with a gradient, pairwise_distances asks for them",
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
    "codebook_gradient": "itself a gradient, made by hand with autograd off",
    **dict.fromkeys(("my_counts_and_sums", "my_smoothed"), UPDATE),
    **dict.fromkeys(("my_batches", "my_mixed_codes", "my_winners"), WHOLE_NUMBERS),
    "sample_codes": WHOLE_NUMBERS,
    **dict.fromkeys(
        ("bug_01", "bug_02", "bug_03", "bug_04", "bug_06", "bug_07", "bug_08", "bug_10", "bug_11"), OTHER_FAULT
    ),
}

STUB = "the first line is handed out, default and all, and at the default nothing of this size shows"
EITHER_SIGN = "a principal direction has no sign of its own: its colours may be turned round"
SIGN = "squared afterwards"
SHAPE = "the extra axis of length 1 goes in what follows"
NOT_COUNTED = "the extra axis of length 1 is not counted"
MEAN = "all sums are divided by the same D: the smallest stays the smallest"
IN_A_TENSOR = "a number in a tensor does for a number"
ANY_MODEL = "any tiny model will do: only which gradients there are is asked, not their size or sign"
HEARD = "a gradient that is there is nowhere 0 as a whole, so None or not tells the same"
STOPPED = "behind a .detach() anyway: within the function that is called, or in what follows"
BUFFER = "buffers, and sums of them in an update without gradients, carry none"
GUARD = "a guard against empty counts that is handed out, and away from the fault; no count drawn comes near it"
ROUNDS = "more rounds of rows are drawn than needed, and cut off"


def _each(line: str, *changes: str) -> list[str]:
    return [f"{line}  |  {change}" for change in changes]


EQUIVALENTS: dict[str, dict[str, list[str]]] = {
    "my_choice": {
        SIGN: ["differences = …  |  minus added", "differences = …  |  sides of - swapped"],
        MEAN: ["return …  |  sum -> mean"],
        NOT_COUNTED: ["return …  |  keepdim=True added to sum"],
        IN_A_TENSOR: ["return …  |  .item() left out"],
    },
    "my_middles": {
        "the same mean, written into its row more than once": ["for k in …  |  .unique() left out"],
        "broadcasting drops the extra axis of length 1": ["new[k] = …  |  keepdim=True added to mean"],
    },
    "my_nearest": {
        MEAN: ["distances = …  |  sum -> mean"],
        NOT_COUNTED: ["distances = …  |  keepdim=True added to sum"],
        IN_A_TENSOR: ["return …  |  int(...) left out"],
    },
    "my_product": {
        "in its lesson the weights are given; the gradient is asked of the codebook alone": [
            "return weights @ codebook  |  weights detached"
        ]
    },
    "my_winners": {
        "with a minus before all of them, as many are different": ["codes = …  |  minus added"],
        NOT_COUNTED: ["codes = …  |  keepdim=True added to argmin"],
    },
    "pairwise_distances": {
        SIGN: ["differences = …  |  minus added", "differences = …  |  sides of - swapped"],
        "broadcasting adds the first axis by itself": ["differences = …  |  [(None, :, :)] left out"],
    },
    "gradient_matrix": {
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
    "straight_through": {
        "an observation copies what it is given, and nobody writes into the result": [
            "return quantized.clone()  |  .clone() left out"
        ],
        "autograd follows nothing within a Function, and nobody differentiates twice": [
            "return quantized.clone()  |  quantized detached",
            "return gradient, None  |  gradient detached",
        ],
        "backward gives q no gradient, whether autograd sees q or not": [
            "return Copy.apply(latents, quantized)  |  quantized detached"
        ],
    },
    "clipped_straight_through": {
        "a step that is detached already": [
            "near = step.norm(…  |  step detached",
            "return torch.where(…  |  step detached",
        ],
        "yes or no carries no gradient": ["return torch.where(…  |  near detached"],
    },
    "my_update": {
        "x is plain numbers: whether it, or its second tensor, requires a gradient afterwards is not asked": [
            "x = x.detach().requires_grad_()  |  .detach() left out"
        ],
        "the gradient is taken in x alone, and q is behind a .detach()": [
            "q = codebook[…  |  codebook detached",
            "(gradient,) = …  |  star detached",
        ],
        "where x lies is asked, and nobody differentiates it": [
            *_each("return x.detach() - 0.1 * gradient", ".detach() left out", "gradient detached")
        ],
    },
    "my_smoothed": {
        "a minus stands in the total of the raised counts too": ["raised = cluster_size + eps  |  minus added"]
    },
    "ema_update": {STUB: ["def ema_update(…  |  1e-05 -> 2e-05"]},
    "perplexity": {"codes that do not occur add nothing": ["p = …  |  minlength=codebook_size of bincount left out"]},
    "kmeans_init": {
        STUB: ["def kmeans_init(…  |  10 -> 11"],
        ROUNDS: ["rounds = …  |  / …", "places = …  |  range + 1"],
        "minus a random place, counted from the end, is as random": ["places = …  |  minus added"],
        "what is divided by 0 is not used": ["codebook = …  |  .clamp(...) left out", "codebook = …  |  1 -> 0"],
    },
    "restart_dead_codes": {IN_A_TENSOR: ["latents = …  |  int(...) left out"]},
    "LibraryVQVAE": {
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
    "VectorQuantize": {
        SHAPE: ["codes = torch.cdist(…  |  keepdim=True added to argmin"],
        WHOLE_NUMBERS: ["flat = x.reshape(…  |  x detached"],
    },
    "normalized_mse": {"images are given, not learnt": ["…  |  images detached"]},
    "pca_colours": {
        EITHER_SIGN: ["…  |  minus added", "centred = …  |  sides of - swapped"],
        "the order of the two axes does not matter": ["low, high = …  |  1 and 2 of ((2, 3)) swapped…"],
        "the first three rows are the same": ["directions = …  |  False -> True", "…  |  full_matrices=… left out"],
        SHAPE: ["centred = …  |  keepdim=True added to mean"],
        "a guard of any small size": ["return (maps - low) / …  |  1e-08 -> 2e-08"],
    },
    "snr_db": {SIGN: ["noise = …  |  sides of - swapped"]},
    "residual_quantize": {
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
    "causal_mask": {"-0 is 0": ["mask = torch.zeros(…  |  minus added"]},
    "bug_01": {
        SHAPE: ["return codes, …  |  keepdim=True added to sum"],
        "|x|^2 is the same for all codes": [
            "squares = …  |  flat.square().sum(dim=1, keepdim=True) + left out",
            "squares = …  |  sum -> mean",
            "squares = …  |  .square() left out",
            "squares = …  |  square -> abs",
        ],
    },
    "bug_02": {SHAPE: ["…  |  keepdim=True added to argmin"]},
    "bug_03": {
        "counts and orders do not depend on the size of the batches": [
            "loader = DataLoader(…  |  argument batch_size of DataLoader left out"
        ]
    },
    "bug_04": {"-0 is 0": ["usage = torch.zeros(…  |  minus added"]},
    "bug_07": {"-0 is 0": ["counts = torch.zeros(…  |  minus added"]},
    "bug_08": {
        GUARD: ["codebook = …  |  .clamp_min(...) left out", "codebook = …  |  1e-05 -> 2e-05"],
        "nobody writes into it": ["embed_sum = codebook.clone()  |  .clone() left out"],
    },
    "bug_09": {
        BUFFER: [
            "self.register_buffer(…  |  self.codebook detached",
            "return vq, codes, …  |  self.…detached",
            "self.codebook.copy_(…  |  …detached",
            "self.cluster_size.mul_(…  |  …detached",
            "self.embed_sum.mul_(…  |  …detached",
        ],
        GUARD: ["self.codebook.copy_(…  |  .clamp_min(...) left out", "self.codebook.copy_(…  |  1e-05 -> 2e-05"],
    },
    "bug_10": {GUARD: ["codebook = …  |  .clamp_min(...) left out", "codebook = …  |  1e-05 -> 2e-05"]},
    "bug_13": {
        "within the branch nobody else holds what is written over": [
            "nn.ReLU(inplace=True),  |  inplace=True of ReLU left out",
            "nn.ReLU(inplace=True),  |  True -> False",
        ]
    },
    "bug_14": {"images are given, not learnt": ["…  |  images detached"]},
    "bug_15": {
        STOPPED: ["quantized = quantized + code  |  …detached"],
        "zeros carry no gradient": ["residual, quantized, codes, loss = …  |  flat detached (2)"],
        WHOLE_NUMBERS: ["codes.append(chosen)  |  chosen detached"],
    },
}


def equivalents(exercise: str) -> frozenset[str]:
    return frozenset(text for texts in EQUIVALENTS.get(exercise, {}).values() for text in texts)
