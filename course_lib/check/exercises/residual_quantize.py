"""Exercise 13: residual quantisation: each level quantises what the levels before it left."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal, number, scattered
from course_lib.quantize import look_up, nearest_codes, straight_through


def residual_quantize(flat, codebooks):
    """(N, D), (Q, K, D) -> quantized (N, D), codes (N, Q) int64; column q holds the codes of codebooks[q].

    Level 0 quantises flat; every further level quantises the residual, which the levels before it
    have left. Each takes the code that is nearest to its own residual, and never looks ahead.
    quantized: the sum of the Q chosen codes. Its gradient reaches flat once, unchanged, as
    straight_through gives it, and no codebook: those are learnt by averages (EMA), as in lesson 06.
    """
    ### BEGIN SOLUTION
    residual, total, codes = flat.detach(), torch.zeros_like(flat), []
    for codebook in codebooks.detach():
        codes.append(nearest_codes(residual, codebook))  # (N,)
        chosen = look_up(codes[-1], codebook)  # (N, D)
        residual = residual - chosen
        total = total + chosen
    return straight_through(flat, total), torch.stack(codes, dim=1)  # (N, D), (N, Q)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def apart(flat, codebooks):
        """Whether no two codes of any level are so nearly as near that rounding could choose."""
        residual = flat
        for codebook in codebooks if codebooks.shape[1] > 1 else ():
            two, codes = torch.cdist(residual, codebook).topk(2, dim=1, largest=False)  # (N, 2), (N, 2)
            if (two[:, 1] - two[:, 0] < 1e-3).any():
                return False
            residual = residual - codebook[codes[:, 0]]
        return True

    def call(n, levels, k, d, part="values", dtype=torch.float32, strided=False, **more):
        while True:
            flat = normal(generator, n, d)
            sizes = torch.tensor([1.0, 0.7, 0.5, 0.4])[:levels].reshape(-1, 1, 1)  # what is left gets smaller
            codebooks = normal(generator, levels, k, d) * sizes
            if apart(flat, codebooks):
                break
        args = tuple(map(scattered, (flat, codebooks))) if strided else (flat.to(dtype), codebooks.to(dtype))
        return Call(args, ("flat", "codebooks"), ("quantized", "codes"), part, differentiate=(0, 1), **more)

    return [
        call(4, 2, 3, 2),
        call(12, 3, 4, 3),
        call(3, 4, 5, 2),
        call(3, 3, 3, 2),  # as many rows as levels: a transpose has the same shape
        call(5, 1, 4, 3, part="odd sizes"),
        call(1, 2, 3, 4, part="odd sizes"),
        call(4, 3, 1, 2, part="odd sizes"),
        call(6, 2, 4, 1, part="odd sizes"),
        call(number(generator, 7, 9), 2, 5, 3, part="odd sizes", strided=True),
        call(5, 3, 4, 2, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def best_of_all_sums(flat, codebooks):
    levels, size, _ = codebooks.shape
    choices = torch.cartesian_prod(*[torch.arange(size, device=flat.device)] * levels).reshape(
        -1, levels
    )  # (K ** Q, Q)
    sums = codebooks[torch.arange(levels), choices].sum(1)  # (K ** Q, D)
    best = nearest_codes(flat, sums)  # (N,)
    return straight_through(flat, sums[best]), choices[best]


WRONG = r"""
nearest_codes(residual, -> nearest_codes(flat,
    every level quantises flat itself; what have the levels before it left to be said?
residual - chosen -> chosen - residual
    the residual has the wrong sign: it is what is missing, and the code was already given
residual - chosen -> residual + chosen
    the codes were added to what the next level quantises; what they have said has to be taken off
residual - chosen -> total + chosen
    from the second level on, the sum of the codes so far was quantised; that part is known already
residual - chosen -> chosen
    from the second level on, the code of the level before was quantised; that part is known already
residual - chosen -> residual - (total + chosen)
    the whole sum so far was taken off what is left, which has lost the earlier codes already: they are taken off
    again and again
residual - chosen -> flat.detach() - chosen
    only the last code was taken off flat; those of the levels before it came back into the residual
codebooks.detach() -> codebooks[:1].detach().expand_as(codebooks)  # zoo 14
    the first codebook served for all levels; codebooks holds one for each
codebooks.detach() -> codebooks.detach().flip(0)
stack(codes, -> stack(codes[::-1],
    the codebooks were used in reverse order: the first one quantises flat
codebooks.detach() -> codebooks.detach().flip(0)
    the codebooks were used in reverse order, and so stand the codes: column q belongs to codebooks[q]
nearest_codes(residual, codebook) -> torch.cdist(residual, codebook).argmax(1)  # zoo 1
    each level chose the farthest code; the nearest was wanted
nearest_codes(residual, codebook) -> (residual @ codebook.T).argmax(1)
    the largest inner product was taken for the smallest distance: a long code wins then, wherever it lies
-> best_of_all_sums
    all combinations of codes were tried, and the best sum taken; here each level chooses for itself, and never looks
    ahead
torch.stack(codes, dim=1) -> torch.stack(codes)
    the codes are (Q, N), a row for each level; wanted is a row for each latent, (N, Q)
torch.stack(codes, dim=1) -> torch.stack(codes).reshape(len(flat), -1)  # zoo 4
    the codes of all levels were lined up, and cut into rows of Q: a row then holds codes of several latents
dim=1) -> dim=1) + len(codebook) * torch.arange(len(codes), device=flat.device)
    the codes are numbered through all levels; a code is a row of its own codebook, 0 to K - 1
torch.stack(codes, dim=1) -> codes[-1]
    only the codes of the last level came back: without the others nobody can make the sum again
torch.stack(codes, dim=1) -> codes
    the codes are a list of tensors; wanted is one tensor (N, Q)
dim=1) -> dim=1).to(flat.dtype)
    the codes are floating-point numbers; they index a codebook, so they are int64
return torch.stack(codes, dim=1), straight_through(flat, total)
    the codes came first; the order is quantized, then codes
(flat, total) -> (flat, chosen)
    this is the code of the last level alone, a small correction to a sum that was not given
(flat, total) -> (flat, look_up(codes[0], codebooks[0]))
    this is the code of the first level alone: the corrections of the other levels are missing
(flat, total) -> (flat, total / len(codebooks))
    this is the mean of the chosen codes; each level corrects what is left, so their sum comes near to flat
torch.zeros_like(flat) -> []
total = total + chosen -> total.append(chosen)
straight_through(flat, total) -> torch.stack(total) + (flat - flat.detach())
    the codes of the levels lie side by side, (Q, N, D); wanted is their sum
(flat, total) -> (flat, residual)
    this is what is left in the end, the error; wanted is the sum of the codes
total + chosen -> total + straight_through(flat, chosen)  # zoo 17
straight_through(flat, total) -> total
    the values are right, and the gradient reaches flat Q times: once through each level. How often should it?
flat.detach() -> flat  # zoo 17
codebooks.detach() -> codebooks
residual = residual - chosen -> total = total + straight_through(residual, chosen)
total = total + chosen -> residual = residual - chosen
straight_through(flat, total) -> total
    the values are right, and the gradient reaches the codebooks: the codes that were taken off are in the residual,
    and the next level's straight-through passes the gradient back to them
codebooks.detach() -> codebooks  # zoo 21
straight_through(flat, total) -> total
    the values are right, and the gradient goes to the codebooks and not to flat: the look-ups have not been bridged
straight_through(flat, total) -> total  # zoo 25
    the values are right, and no gradient reaches flat: an encoder in front would learn nothing from the
    reconstruction
codebooks.detach() -> codebooks  # zoo 21
straight_through(flat, total) -> total + (flat - flat.detach())
    the gradient reaches flat, and the codebooks too: here these are learnt by averages, and hear none
flat.detach() -> flat  # zoo 17
codebooks.detach() -> codebooks
(flat, total) -> (residual, total)
    the gradient goes through what is left in the end, so the codebooks hear the opposite of what flat hears
(flat, total) -> (flat / len(codebooks), total)
    flat hears the gradient divided by the number of levels; it should arrive unchanged
residual = residual - chosen -> residual -= chosen  # zoo 15
    flat itself was changed: .detach() gives a second name to the same numbers, and -= writes into them
flat.detach() -> flat  # zoo 15
residual = residual - chosen -> residual -= chosen
    -= writes into flat, which is not yours and is needed again: residual - code makes a new tensor
return straight_through(flat, total) + flat - flat.detach(), torch.stack(codes, dim=1)
    the values are right, and the gradient reaches flat twice, however many levels there are: it has two ways back
"""


def picture(axes, answer) -> None:
    """Points of the plane, and the codes that lead to them, one after another: a corner of the path for each level."""
    generator = torch.Generator().manual_seed(5)
    flat = torch.rand(7, 2, generator=generator) * 4 - 2  # (7, 2)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    codebooks = corners * torch.tensor([1.0, 0.5, 0.25]).reshape(3, 1, 1)  # (3, 4, 2)
    quantized, codes = map(torch.as_tensor, answer(flat, codebooks))  # (7, 2), (7, 3)
    for point, row, end in zip(flat, codes, quantized.detach()):
        path = torch.cat([torch.zeros(1, 2), torch.stack([c[i] for c, i in zip(codebooks, row)]).cumsum(0)])  # (4, 2)
        (line,) = axes.plot(*path.T, marker=".", linewidth=1)
        axes.scatter(*end, marker="s", s=40, color=line.get_color())
        axes.scatter(*point, marker="x", s=60, color=line.get_color())
    axes.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
    axes.set_xlabel("crosses: flat; squares: quantized")


EXERCISE = exercise(
    residual_quantize,
    lesson="13_quantizer_family",
    points=3,
    draw=draw,
    wrong=WRONG,
    picture=picture,
    hints=(
        "After the first level has chosen, what does the second one still have to say? And through how many doors may "
        "the gradient of the sum come back to flat?",
        "A loop over the codebooks, with a residual that starts as flat and loses each chosen code, and a sum that "
        "gains it. None of that needs a gradient. Afterwards, one single step gives the sum the gradient of flat, as "
        "for any quantiser.",
        "for each codebook: codes of the residual, their vectors; residual = residual - vectors; total = total + "
        "vectors. Then torch.stack the codes along axis 1, and straight_through(flat, total) once",
    ),
)
