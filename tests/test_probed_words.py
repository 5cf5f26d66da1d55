"""What a learner is told who wrote one of these answers: each was written by somebody who tried the exercises, and was
either told nothing, or something that is not so.

An answer is judged by its own text, not by a change of the right one, so that the words have to fit as learners write.
"""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.check import feedback
from course_lib.check.exercises import EXERCISES
from course_lib.check.exercises.LibraryVQVAE import VectorQuantize as LibraryLayer
from course_lib.check.judge import draw_calls, judge
from course_lib.check.observe import observe


def vector_quantize(start="nn.Parameter(torch.rand(codebook_size, dim))", vq="(q - x).detach() + x", **more) -> str:
    rows = more.get("rows", "x.reshape(-1, x.shape[-1])")
    distances = more.get("distances", "torch.cdist(rows, self.codebook)")
    return f"""
class VectorQuantize(nn.Module):
    def __init__(self, *, codebook_size, dim):
        super().__init__()
        self.codebook = {start}

    def forward(self, x):
        rows = {rows}
        codes = {distances}.argmin(1).reshape(x.shape[:-1])
        q = self.codebook[codes]
        vq = {vq}
        loss = F.mse_loss(q, x.detach()) + F.mse_loss(x, q.detach())
        return {more.get("gives", "vq, codes, loss")}
"""


def ema(counts="torch.bincount(codes, minlength=K).to(flat)", total="N.sum()", smoothed="(N + eps)", **more) -> str:
    return f"""
def ema_update(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    K = len(cluster_size)
    one_hot = F.one_hot(codes, {more.get("classes", "K")}).to(flat)
    N = {more.get("N", "decay * cluster_size + (1 - decay) * one_hot.sum(0)")}
    M = {more.get("M", "decay * embed_sum + (1 - decay) * (one_hot.T @ flat)")}
    n = {total}
    return N, M, M / ({smoothed} / (n + K * eps) * n)[:, None]
"""


def pca(directions="torch.linalg.svd(rows, full_matrices=False)[2][:3]", **more) -> str:
    return f"""
def pca_colours(latents):
    B, D, H, W = latents.shape
    rows = latents.permute(0, 2, 3, 1).reshape(-1, D)
    rows = rows - rows.mean(0)
    maps = (rows @ ({directions}).T).reshape({more.get("shape", "B, H, W, 3")}).permute(0, 3, 1, 2)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return {more.get("gives", "(maps - low) / (high - low).clamp(min=1e-8)")}
"""


def block(activation="nn.ReLU()", gives="x + y", **more) -> str:
    return f"""
class ResidualBlock(nn.Module):
    def __init__(self, channels, residual_channels):
        super().__init__()
        self.act = {activation}
        self.three = nn.Conv2d(channels, residual_channels, 3, {more.get("padding", "padding=1")}, bias=False)
        self.one = nn.Conv2d(residual_channels, channels, 1, bias=False)

    def forward(self, x):
        y = self.one(self.act(self.three(self.act(x))))
        return {gives}
"""


IN_FORWARD = """
class ResidualBlock(nn.Module):
    def __init__(self, channels, residual_channels):
        super().__init__()
        self.sizes = channels, residual_channels

    def forward(self, x):
        c, r = self.sizes
        y = nn.Conv2d(c, r, 3, padding=1, bias=False)(x.relu())
        return x + nn.Conv2d(r, c, 1, bias=False)(y.relu())
"""


def model(wide=300, units="nn.LeakyReLU()", norm="nn.Identity()", forward="") -> str:
    return f"""
class LibraryVQVAE(nn.Module):
    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size):
        super().__init__()
        self.shape, size = (latents_per_image, vector_dim), latents_per_image * vector_dim
        self.encoder = nn.Sequential(nn.Linear(input_dim, {wide}), {units}, nn.Linear({wide}, {wide}), {units},
                                     nn.Linear({wide}, size))
        self.norm = {norm}
        self.vq = LibraryLayer(dim=vector_dim, codebook_size=codebook_size, decay=0.8, commitment_weight=1.0)
        self.decoder = nn.Sequential(nn.Linear(size, {wide}), {units}, nn.Linear({wide}, {wide}), {units},
                                     nn.Linear({wide}, input_dim), nn.Sigmoid())

    def forward(self, x):
        {forward or "pass"}
        quantized, codes, loss = self.vq(self.norm(self.encoder(x).unflatten(1, self.shape)))
        return self.decoder(quantized.flatten(1)), codes, loss
"""


def one_line(name: str, arguments: str, gives: str) -> str:
    return f"def {name}({arguments}):\n    return {gives}\n"


def pairwise(gives: str) -> str:
    return one_line("pairwise_distances", "flat, codebook", gives)


def bits(gives: str) -> str:
    return one_line("bits_per_image", "grid_shape, codebook_size", gives)


def nll(gives: str) -> str:
    return one_line("bits_per_code", "logits, codes", gives)


def loss_of(name: str, gives: str) -> str:
    return one_line(name, "latents, quantized", gives)


def bug_12(loss: str) -> str:
    return f"""
class bug_12(nn.Module):
    def __init__(self, dim, codebook_size):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codebook_size, dim))

    def forward(self, x):
        codes = torch.cdist(x, self.codebook).argmin(1)
        q = self.codebook[codes]
        codebook, commitment = F.mse_loss(q, x.detach()), F.mse_loss(x, q.detach())
        return x + (q - x).detach(), codes, {loss}
"""


def bug_14(gives: str) -> str:
    return f"""
def bug_14(images, reconstruction, latents, quantized, beta):
    error = F.mse_loss(reconstruction, images)
    commitment, codebook = F.mse_loss(latents, quantized.detach()), F.mse_loss(quantized, latents.detach())
    return {gives}
"""


def bug_15(vq="flat + (total - flat).detach()", commitment="residual, code.detach()", loss="loss") -> str:
    return f"""
def bug_15(flat, codebooks):
    residual, total, codes, loss = flat, torch.zeros_like(flat), [], 0.0
    for codebook in codebooks:
        codes.append(torch.cdist(residual, codebook).argmin(dim=1))
        code = codebook[codes[-1]]
        loss = loss + F.mse_loss(code, residual.detach()) + 0.25 * F.mse_loss({commitment})
        residual, total = residual - code.detach(), total + code
    return {vq}, torch.stack(codes, dim=1), {loss}
"""


RESIDUAL = """
def residual_quantize(flat, codebooks):
    residual, total, codes = flat.detach(), torch.zeros_like(flat), []
    for codebook in codebooks.detach():
        codes.append(torch.cdist(residual, codebook).argmin(1))
        residual, total = residual - codebook[codes[-1]], total + codebook[codes[-1]]
    return total + 2 * (flat - flat.detach()), torch.stack(codes, dim=1)
"""

AXIS = "needs an axis of length 1"
SQUARES = "flat.square().sum(1, keepdim=True) - 2 * flat @ codebook.T"
SVD = "torch.linalg.eigh(rows.T @ rows).eigenvectors"
EIGH_ROWS = f"{SVD}[-3:]"
WORDS = [  # an answer, what is said to it, what is not
    (vector_quantize(vq="q + x - x.detach()"), "vq has two gradients", ""),
    (vector_quantize(gives="codes, vq, loss"), "codes come first", ""),
    (vector_quantize(rows="x.view(-1, x.shape[-1])"), ".view refuses", ""),
    (vector_quantize("nn.Parameter(torch.rand(dim, codebook_size))"), "(dim, codebook_size)", AXIS),
    (
        vector_quantize(
            "nn.Parameter(torch.rand(dim, codebook_size))",
            distances="(rows.unsqueeze(1) - self.codebook).square().sum(-1)",
        ),
        "(dim, codebook_size)",
        AXIS,
    ),
    (one_line("look_up", "codes, codebook", "codebook[codes - 1]"), "numbered from 1", ""),
    (
        one_line("nearest_codes", "flat, codebook", "torch.cdist(flat, codebook).argmin(1) + 1"),
        "numbered from 1",
        "",
    ),
    (
        one_line(
            "nearest_codes",
            "flat, codebook",
            "(flat[:, None] - codebook).square().sum(-1).topk(1, largest=False).indices[:, 0]",
        ),
        "topk promises no order",
        "",
    ),
    (pairwise(SQUARES), "|e|^2 is missing", ""),
    (pairwise("(flat[:, None] - codebook).sum(-1).square()"), "before they were squared", ""),
    (pairwise("0.5 * (flat[:, None] - codebook).square().sum(-1)"), "half of the squared", ""),
    (pairwise(f"{SQUARES} + codebook.square().sum(1, keepdim=True)"), "an axis too many", AXIS),
    (bits("math.prod(grid_shape) * math.log10(codebook_size)"), "base 10", ""),
    (bits("math.prod(grid_shape[:2]) * math.log2(codebook_size)"), "first two axes", ""),
    (bits("math.prod(grid_shape[1:]) * math.log2(codebook_size)"), "first axis was left out", ""),
    (ema(classes="-1"), "highest code that occurs", AXIS),
    (ema(total="cluster_size.sum()"), "total before the update", ""),
    (ema(smoothed="(N + K * eps)"), "K eps were added to every count", ""),
    (ema(M="decay * embed_sum + one_hot.T @ flat"), "sums of the batch were added whole", ""),
    (
        ema(M="embed_sum + one_hot.T @ flat", N="cluster_size + one_hot.sum(0)"),
        "nothing fades",
        "",
    ),
    (pca(EIGH_ROWS), "each eigenvector is a column", ""),
    (pca(shape="B, W, H, 3"), "height and width have changed places", ""),
    (pca(gives="(maps - low) / high"), "divided by the largest", ""),
    (
        pca(gives="torch.where(high - low < 1e-6, 0.5, (maps - low) / (high - low).clamp(min=1e-8))"),
        "became 0.5",
        "",
    ),
    (block("nn.LeakyReLU()"), "below zero through", ""),
    (block("nn.GELU()"), "GELU", ""),
    (block(gives="x - y"), "taken away from x", ""),
    (block(gives="x.detach() + y"), "skip path is cut", ""),
    (block(padding="padding=2, dilation=2"), "dilated", ""),
    (IN_FORWARD, "Those made in forward", "the layers stand in a plain"),
    (nll("F.cross_entropy(logits, codes, reduction='sum') / len(codes) / math.log(2)"), "bits of an image", ""),
    (nll("F.cross_entropy(logits, codes, ignore_index=0) / math.log(2)"), "left out of the mean", ""),
    (
        one_line(
            "perplexity",
            "codes, codebook_size",
            "torch.special.entr(codes.flatten().bincount() / codes.numel()).sum().exp() / codebook_size",
        ),
        "share of the K codes",
        "",
    ),
    (bug_12("codebook + commitment"), "lost its weight", ""),
    (bug_12("codebook"), "commitment loss has gone", ""),
    (bug_14("error + codebook + 0.25 * commitment"), "a fixed number", ""),
    (bug_14("codebook + beta * commitment"), "reconstruction error is no longer", ""),
    (bug_15(vq="total + flat - flat.detach()"), "vq has two gradients", ""),
    (bug_15(commitment="flat, code.detach()"), "compare each code with flat itself", ""),
    (bug_15(loss="loss / len(codebooks)"), "averaged; they add up", ""),
    *[
        (loss_of(name, "F.mse_loss(quantized, latents.detach()) + F.mse_loss(latents, quantized.detach())"), words, "")
        for name, words in (("codebook_loss", "both losses in one"), ("commitment_loss", "both losses in one"))
    ],
    (loss_of("codebook_loss", "(quantized - latents.detach()).mean() ** 2"), "one mean was squared", ""),
    (loss_of("commitment_loss", "(latents - quantized.detach()).mean() ** 2"), "one mean was squared", ""),
    (
        loss_of("commitment_loss", "F.mse_loss(latents, (latents + (quantized - latents).detach()))"),
        "x is on both sides",
        "nobody hears it: both sides are detached",
    ),
    (RESIDUAL, "twice, however many levels", "Q times"),
    (loss_of("straight_through", "quantized"), "If q was handed back as it is", "As it stands, x cancels"),
    (
        model(forward="self.vq.eval()"),
        "the layer is in eval mode",
        "detached on the way",
    ),
]  # fmt: skip


@cache
def calls_of(name: str) -> tuple:
    return tuple(draw_calls(EXERCISES[name], 0))


def answer_of(source: str):
    """The name of the exercise and the answer that a cell with this text defines."""
    space = {"torch": torch, "nn": nn, "F": F, "math": __import__("math"), "LibraryLayer": LibraryLayer}
    before = set(space)
    exec(source, space)
    (name,) = space.keys() - before - {"__builtins__"}
    return name, space[name]


def told(source: str) -> tuple[str, str]:
    """The verdict's status, and all that the card says."""
    name, answer = answer_of(source)
    calls = list(calls_of(name))
    found = judge(EXERCISES[name], calls, [observe(answer, call) for call in calls])
    rows = [f"{heading}: {text}" for heading, text in feedback.rows_of(EXERCISES[name], found, 0)]
    return found.status, "\n".join(rows)


@pytest.mark.parametrize("source, said, unsaid", WORDS, ids=[f"{i}-{said}" for i, (_, said, _) in enumerate(WORDS)])
def test_words_name_the_mistake(source, said, unsaid):
    status, words = told(source)
    assert status in ("wrong", "raised")
    assert said in words, words
    assert not unsaid or unsaid not in words, words


def test_zeros_and_ones_for_false_and_true_have_a_cause():
    from course_lib.check.exercises.gradient_matrix import EXERCISE

    def gradient_matrix():
        return {name: int(heard) for name, heard in EXERCISE.reference().items()}

    calls = draw_calls(EXERCISE, 0)
    found = judge(EXERCISE, calls, [observe(gradient_matrix, call) for call in calls])
    assert found.certain and "numbers, 0 and 1" in found.mistake.message


HONEST = {
    "64 wide": model(64),
    "16 wide": model(16),
    "sigmoid units": model(units="nn.Sigmoid()"),
    "normalised latents": model(norm="nn.LayerNorm(vector_dim)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("seed", range(3))
def test_models_that_learn_slowly_pass(name, seed):
    _, answer = answer_of(HONEST[name])
    exercise = EXERCISES["LibraryVQVAE"]
    calls = draw_calls(exercise, seed)
    found = judge(exercise, calls, [observe(answer, call) for call in calls])
    assert found.status == "right", found.difference


def test_a_model_that_does_not_learn_is_told_so():
    status, words = told(
        model().replace(
            "self.decoder(quantized.flatten(1)),", "(self.decoder[:-1](quantized.flatten(1)) / 1e5).sigmoid(),"
        )
    )
    assert status == "wrong" and "learns too slowly" in words, words
