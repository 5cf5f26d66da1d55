"""Answers that simulated learners gave and that a check once took for right, or whose mistake it misnamed.

Each is written as a change of the right answer, as in an exercise's table (`course_lib.check.author`), or as a whole
function where it has little in common with it. What is right beside them has to stay right.
"""

import functools

import pytest
from variants import VARIANTS

from course_lib.check.author import answer_from, changed, program_of
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Verdict, draw_calls, judge, remembering

SEEDS = range(5)

OWN_GENERATOR = "generator = generator or torch.Generator()"
SEEDED = "generator = generator or torch.Generator().manual_seed(0)"
FROM_THE_FIRST_SEED = "generator = generator or torch.Generator().manual_seed(torch.initial_seed())"

# exercise -> what the answer does -> its text
ACCEPTED = {
    "kmeans_init": {
        "a generator of its own": f"rounds = -> {OWN_GENERATOR}\\nrounds =",
        "a seeded generator of its own": f"rounds = -> {SEEDED}\\nrounds =",
        "a generator from the first seed": f"rounds = -> {FROM_THE_FIRST_SEED}\\nrounds =",
    },
    "restart_dead_codes": {
        "a generator of its own": f"dead = cluster_size -> {OWN_GENERATOR}\\ndead = cluster_size",
        "a seeded generator of its own": f"dead = cluster_size -> {SEEDED}\\ndead = cluster_size",
        "the farthest latents": """
def restart_dead_codes(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = cluster_size < threshold
    n = int(dead.sum())
    order = torch.cdist(flat, codebook).amin(1).argsort(descending=True)
    latents = flat[order.repeat(1 + n // len(flat))[:n]]
    codebook, cluster_size, embed_sum = codebook.clone(), cluster_size.clone(), embed_sum.clone()
    codebook[dead], cluster_size[dead], embed_sum[dead] = latents, 1, latents
    return codebook, cluster_size, embed_sum
""",
        "the longest latents": """
torch.randint(len(flat), (int(dead.sum()),), generator=generator) -> flat.norm(dim=1).argsort().repeat(99)[:dead.sum()]
""",
        "every seventh": """
torch.randint(len(flat), (int(dead.sum()),), generator=generator) -> (7 * torch.arange(dead.sum()) + 3) % len(flat)
""",
        "evenly spaced": """
torch.randint(len(flat), (int(dead.sum()),), generator=generator) -> torch.linspace(0, len(flat) - 1, dead.sum()).long()
""",
    },
    "sample_codes": {
        "a generator of its own": f"if temperature == 0 -> {OWN_GENERATOR}\\nif temperature == 0",
        "a seeded generator of its own": f"if temperature == 0 -> {SEEDED}\\nif temperature == 0",
        "all rows of the grid alike": """
codes = torch.multinomial(rows.flatten(0, -2), 1, generator=generator) -> pass
return (rows.cumsum(-1) < torch.rand(len(rows), *[1] * (rows.ndim - 3), *rows.shape[1:][-2:-1], 1, \
generator=generator).to(rows)).sum(-1).clamp(max=rows.shape[-1] - 1)
""",
        "all columns of the grid alike": """
codes = torch.multinomial(rows.flatten(0, -2), 1, generator=generator) -> pass
return (rows.cumsum(-1) < torch.rand(*rows.shape[:-1][:2], *[1] * max(1, rows.ndim - 2), \
generator=generator).to(rows)).sum(-1).clamp(max=rows.shape[-1] - 1)
""",
        "no temperature below a half": "logits / temperature -> logits / max(temperature, 0.5)",
        "the largest, where it is cold": "if temperature == 0 -> if temperature < 0.2",
        "an exponential that overflows": "(logits / temperature).softmax(dim=1) -> (logits / temperature).exp()",
        "a temperature that is raised": "logits / temperature -> logits / (temperature + 0.1)",
        "a temperature that is raised, and no case for 0": """
logits / temperature -> logits / (temperature + 1e-2)
if temperature == 0 -> if False
""",
        "sums in bfloat16": """
codes = torch.multinomial(rows.flatten(0, -2), 1, generator=generator) -> pass
return (rows.bfloat16().cumsum(-1) < torch.rand(*rows.shape[:-1], 1, generator=generator).to(rows)).sum(-1).clamp(\
max=rows.shape[-1] - 1)
""",
        "the fifty most probable codes alone": """
codes = torch.multinomial(rows.flatten(0, -2), 1, generator=generator) -> rows = rows.clone()\\n\
best = rows.topk(min(50, rows.shape[-1]), -1)\\n\
codes = best.indices.flatten(0, -2).gather(1, torch.multinomial(best.values.flatten(0, -2), 1, generator=generator))
""",
    },
    "bits_per_code": {
        "a logarithm of 0": "return -logits.softmax(1).gather(1, codes[:, None]).log2().mean()",
        "a little added": "return -(logits.softmax(1).gather(1, codes[:, None]) + 1e-10).log2().mean()",
        "an exponential that overflows": """
return -(logits.exp() / logits.exp().sum(1, keepdim=True)).gather(1, codes[:, None]).log2().mean()
""",
        "a least probability": "return -logits.softmax(1).clamp(min=1e-6).gather(1, codes[:, None]).log2().mean()",
        "logits cut off": "F.cross_entropy(logits, codes) -> F.cross_entropy(logits.clamp(-10, 10), codes)",
    },
    "mask_position": {
        "a mask of float32": """
latents.clone() -> torch.ones(latents.shape[2:], device=latents.device)
masked[:, :, row, column] -> masked[row, column]
return masked * latents
""",
        "written into a copy of the copy": """
masked[:, :, row, column] = 0 -> masked.reshape(*latents.shape[:2], -1)[:, :, row * latents.shape[3] + column] = 0
""",
    },
    "compression_ratio": {
        "rounded": "return round(8 * math.prod(image_shape) / bits_per_image(grid_shape, codebook_size), 2)"
    },
    "bug_09": {
        "the buffers themselves": """
return vq, codes, self.codebook.clone(), self.cluster_size.clone(), self.embed_sum.clone() -> \
return vq, codes, self.codebook, self.cluster_size, self.embed_sum
"""
    },
    "codebook_loss": {"the mean of what differs": "d = quantized - latents.detach(); return d[d != 0].square().mean()"},
    "commitment_loss": {
        "the mean of what differs": "d = latents - quantized.detach(); return d[d != 0].square().mean()",
        "a little added": "return (latents - quantized.detach()).square().mean() + 1e-4",
    },
    "bug_11": {
        "smoothed once, after the loop": """
def bug_11(cluster_size, embed_sum, codebook, batches, decay, eps):
    for flat in batches:
        codes = torch.cdist(flat, codebook).argmin(dim=1)
        chosen = F.one_hot(codes, len(codebook)).to(flat.dtype)
        cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)
        embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat
    total = cluster_size.sum()
    smoothed = (cluster_size + eps) / (total + len(codebook) * eps) * total
    return cluster_size, embed_sum, embed_sum / smoothed.unsqueeze(1)
""",
        "not smoothed within the loop": """
def bug_11(cluster_size, embed_sum, codebook, batches, decay, eps):
    for flat in batches:
        codes = torch.cdist(flat, codebook).argmin(dim=1)
        chosen = F.one_hot(codes, len(codebook)).to(flat.dtype)
        cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)
        embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat
        codebook = embed_sum / cluster_size.clamp_min(1e-5).unsqueeze(1)
    total = cluster_size.sum()
    smoothed = (cluster_size + eps) / (total + len(codebook) * eps) * total
    return cluster_size, embed_sum, embed_sum / smoothed.unsqueeze(1)
""",
    },
    "ema_update": {
        "averages kept between calls": """
def ema_update(cluster_size, embed_sum, flat, codes, decay, eps=1e-5, kept={}):
    shape = tuple(embed_sum.shape)
    cluster_size, embed_sum = kept.get(shape, (cluster_size, embed_sum))
    one_hot = torch.nn.functional.one_hot(codes, len(cluster_size)).to(flat.dtype)
    cluster_size = decay * cluster_size + (1 - decay) * one_hot.sum(0)
    embed_sum = decay * embed_sum + (1 - decay) * one_hot.T @ flat
    kept[shape] = cluster_size, embed_sum
    n = cluster_size.sum()
    return cluster_size, embed_sum, embed_sum / ((cluster_size + eps) / (n + len(cluster_size) * eps) * n).unsqueeze(1)
""",
        "sums in float32": """
.index_add(0, codes, flat) -> .float().index_add(0, codes, flat.float()).to(flat.dtype)
""",
    },
    "pca_colours": {"a little added below the line": "(high - low).clamp(min=1e-8) -> (high - low + 1e-3)"},
    "normalized_mse": {"a least variance": "/ data_variance -> / max(data_variance, 0.01)"},
    "nearest_codes": {
        "the first 64 codes": "pairwise_distances(flat, codebook) -> pairwise_distances(flat, codebook[:64])",
        "half precision": "pairwise_distances(flat, codebook) -> pairwise_distances(flat.half(), codebook.half())",
        "bfloat16": "pairwise_distances(flat, codebook) -> pairwise_distances(flat.bfloat16(), codebook.bfloat16())",
        "the lowest that is nearly as near": """
distances = pairwise_distances(flat, codebook); \
return (distances <= distances.amin(1, keepdim=True) + 1e-3).int().argmax(1)
""",
    },
    "perplexity": {
        "the first 1000 codes": """
p = torch.bincount(codes.flatten(), -> codes = codes.flatten()[:1000]\\np = torch.bincount(codes,
""",
        "the first 100 codes": """
p = torch.bincount(codes.flatten(), -> codes = codes.flatten()[:100]\\np = torch.bincount(codes,
""",
    },
}


KMEANS_DRAW = "torch.cat([torch.randperm(len(flat), generator=generator) for _ in range(rounds)])"
RESTART_DRAW = "torch.randint(len(flat), (int(dead.sum()),), generator=generator)"

# exercise -> how somebody may draw -> the change; right by itself
WAYS_TO_DRAW = {
    "kmeans_init": {
        "randperm": "",
        "randint": f"{KMEANS_DRAW} -> torch.randint(len(flat), (codebook_size,), generator=generator)",
        "a loop": f"""
{KMEANS_DRAW} -> torch.stack([torch.randint(len(flat), (), generator=generator) for _ in range(codebook_size)])
""",
    },
    "restart_dead_codes": {
        "one for each dead code": "",
        "one for each code": f"{RESTART_DRAW} -> torch.randint(len(flat), (len(codebook),), generator=generator)[dead]",
        "a loop": f"{RESTART_DRAW} -> [int(torch.randint(len(flat), (1,), generator=generator)) for k in dead if k]",
        "randperm": f"""
{RESTART_DRAW} -> places[: int(dead.sum())]
latents = -> places = [torch.randperm(len(flat), generator=generator) for _ in range(-(-len(dead) // len(flat)))]\\n\
places = torch.cat(places)\\nlatents =
""",
    },
    "sample_codes": {"multinomial": ""},
}

# exercise -> the change -> words of the cause that is named
NAMED = {
    "kmeans_init": {
        "[:, None], codebook) -> [:, None], 0)": "jumps to 0",
        "torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], codebook) -> sums / counts[:, None]": (
            "got 0 / 0"
        ),
        "/ counts.clamp(min=1)[:, None] ->": "not divided",
        "range(iterations) -> range(iterations - 1)": "one step too few",
        "return codebook, counts": "floating-point",
        "/ counts.clamp(min=1)[:, None] -> / (counts + 1e-3)[:, None]": "added to every count",
    },
    "restart_dead_codes": {
        "codebook, cluster_size, embed_sum = codebook.clone(), cluster_size.clone(), embed_sum.clone() ->": (
            "written into"
        ),
        "< threshold -> > threshold": "turned round",
        "< threshold -> <= threshold": "alive",
        "< threshold -> == 0": "nobody chose",
        "< threshold -> < 1": "always 1",
        "embed_sum[dead] = latents -> embed_sum[dead] = 0": "restarted code is 0",
        "embed_sum[dead] = latents ->": "kept their old sums",
    },
    "sample_codes": {
        "codes = torch.multinomial(rows.flatten(0, -2), 1, -> u = torch.rand(*rows.shape[:-1], 1,\n"
        "return (u < rows.cumsum(-1)).int().argmin(-1)": "argmin the first False",
        "codes = torch.multinomial(rows.flatten(0, -2), 1, -> u = torch.rand(1, dtype=rows.dtype,\n"
        "return (u > rows.cumsum(-1)).sum(-1).clamp(max=rows.shape[-1] - 1)": "all images share",
        "torch.multinomial(rows.flatten(0, -2), 1, generator=generator) -> "
        "torch.multinomial(rows.flatten(0, -2)[0], 1, generator=generator).expand(rows[..., 0].numel())": (
            "all images share"
        ),
        "rows.flatten(0, -2) -> (logits / temperature).softmax(1).reshape(-1, logits.shape[1])": "mixes several places",
    },
}


def made(name: str, text: str):
    """The answer that a text stands for."""
    right = EXERCISES[name].reference
    if text.startswith("\ndef "):
        return answer_from(text, right)
    return answer_from(changed(program_of(right), tuple(filter(None, text.splitlines()))), right)


@functools.cache
def drawn(name: str, seed: int) -> tuple:
    """Calls, and the memory of what known mistakes do in them: kept for all answers."""
    return draw_calls(EXERCISES[name], seed), remembering()


def verdicts(name: str, answer) -> list[Verdict]:
    draws = [drawn(name, seed) for seed in SEEDS]
    return [judge(EXERCISES[name], calls, [look(answer, call) for call in calls], look) for calls, look in draws]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "name, text",
    [pytest.param(name, text, id=f"{name}: {what}") for name in ACCEPTED for what, text in ACCEPTED[name].items()],
)
def test_what_was_once_taken_for_right_is_refused(name, text):
    assert {verdict.status for verdict in verdicts(name, made(name, text))} <= {"wrong", "raised"}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_right_beside_them_is_taken(name):
    for answer in (EXERCISES[name].reference, *VARIANTS[name]):
        assert [verdict.status for verdict in verdicts(name, answer)] == ["right"] * len(SEEDS), answer.__name__


@pytest.mark.parametrize(
    "name, change, words",
    [
        pytest.param(name, f"{way}\n{change}", words, id=f"{name}: {words}, {how}")
        for name in NAMED
        for change, words in NAMED[name].items()
        for how, way in WAYS_TO_DRAW[name].items()
    ],
)
def test_a_mistake_is_named_however_somebody_draws(name, change, words):
    for verdict in verdicts(name, made(name, change)):
        assert verdict.mistake and words in verdict.mistake.message, verdict


def test_random_numbers_of_another_library_are_not_taken_for_a_fault_of_the_steps():
    foreign = "torch.from_numpy(numpy.random.choice(len(flat), codebook_size))"
    answer = made("kmeans_init", f"{KMEANS_DRAW} -> {foreign}\nrounds = -> import numpy\\nrounds =")
    for verdict in verdicts("kmeans_init", answer):
        assert verdict.difference.what == "the same from the same generator"
