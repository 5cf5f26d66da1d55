"""Exercise 13: residual quantisation: each level quantises what the levels before it left."""

import itertools

import torch
from torch import Generator

from course_lib.check.exercises.drawing import normal, number, scattered
from course_lib.check.judge import Exercise, Mistake
from course_lib.check.observe import Call


def residual_quantize(flat, codebooks):
    """(N, D), (Q, K, D) -> the sum of Q codes (N, D), with the gradient of flat; their numbers (N, Q)."""
    codes, total = greedy(flat, codebooks)
    return passed_through(flat, total), codes


def greedy(flat, codebooks):
    """-> codes (N, Q), and their sum (N, D), whose gradient goes to the codebooks."""
    residual, total, codes = flat.detach(), torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(nearest(residual, codebook))  # (N,)
        code = codebook[codes[-1]]  # (N, D)
        residual = residual - code.detach()
        total = total + code
    return torch.stack(codes, 1), total


def nearest(flat, codebook):
    return (flat.unsqueeze(1) - codebook).square().sum(2).argmin(1)  # (N,)


def passed_through(flat, quantized):
    return quantized.detach() + (flat - flat.detach())


def draw(generator: Generator) -> list[Call]:
    def apart(flat, codebooks):
        """Whether no two codes of any level are so nearly as near that rounding could choose."""
        residual = flat
        for codebook in codebooks if codebooks.shape[1] > 1 else ():
            two = torch.cdist(residual, codebook).topk(2, dim=1, largest=False).values  # (N, 2)
            if (two[:, 1] - two[:, 0] < 1e-3).any():
                return False
            residual = residual - codebook[nearest(residual, codebook)]
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


def chosen_by(flat, codebooks, choose):
    """choose: what is left, flat, the sum so far, the codebook -> numbers of its codes."""
    total, codes = torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(choose(flat - total, flat, total, codebook).detach())
        total = total + codebook[codes[-1]]
    return passed_through(flat, total), torch.stack(codes, 1)


def each_level_from_the_start(flat, codebooks):
    return chosen_by(flat, codebooks, lambda residual, flat, total, codebook: nearest(flat, codebook))


def sign_turned(flat, codebooks):
    residual, total, codes = flat.detach(), torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(nearest(residual, codebook))
        residual = codebook[codes[-1]] - residual
        total = total + codebook[codes[-1]]
    return passed_through(flat, total), torch.stack(codes, 1)


def residual_added(flat, codebooks):
    return chosen_by(flat, codebooks, lambda residual, flat, total, codebook: nearest(flat + total, codebook))


def sum_quantised_again(flat, codebooks):
    def choose(residual, flat, total, codebook):
        return nearest(total if total.any() else flat, codebook)

    return chosen_by(flat, codebooks, choose)


def code_quantised_again(flat, codebooks):
    rest, total, codes = flat.detach(), torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(nearest(rest, codebook))
        rest = codebook[codes[-1]]
        total = total + rest
    return passed_through(flat, total), torch.stack(codes, 1)


def taken_off_twice(flat, codebooks):
    residual, total, codes = flat.detach(), torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(nearest(residual, codebook))
        total = total + codebook[codes[-1]]
        residual = residual - total.detach()
    return passed_through(flat, total), torch.stack(codes, 1)


def last_code_taken_off_alone(flat, codebooks):
    residual, total, codes = flat.detach(), torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(nearest(residual, codebook))
        residual = flat.detach() - codebook[codes[-1]]
        total = total + codebook[codes[-1]]
    return passed_through(flat, total), torch.stack(codes, 1)


def first_codebook_for_all(flat, codebooks):
    return residual_quantize(flat, codebooks[:1].expand_as(codebooks))


def last_codebook_first(flat, codebooks):
    quantized, codes = residual_quantize(flat, codebooks.flip(0))
    return quantized, codes.flip(1)


def last_codebook_first_codes_too(flat, codebooks):
    return residual_quantize(flat, codebooks.flip(0))


def farthest(flat, codebooks):
    return chosen_by(flat, codebooks, lambda residual, flat, total, codebook: torch.cdist(residual, codebook).argmax(1))


def largest_product(flat, codebooks):
    return chosen_by(flat, codebooks, lambda residual, flat, total, codebook: (residual @ codebook.T).argmax(1))


def best_of_all_sums(flat, codebooks):
    levels, size, _ = codebooks.shape
    choices = list(itertools.product(range(size), repeat=levels))
    choices = torch.tensor(choices, device=flat.device)  # (K ** Q, Q)
    sums = sum(codebook[choices[:, level]] for level, codebook in enumerate(codebooks))  # (K ** Q, D)
    best = nearest(flat, sums)  # (N,)
    return passed_through(flat, sums[best]), choices[best]


def codes_level_by_level(flat, codebooks):
    quantized, codes = residual_quantize(flat, codebooks)
    return quantized, codes.T


def codes_in_a_strange_shape(flat, codebooks):
    quantized, codes = residual_quantize(flat, codebooks)
    return quantized, codes.T.reshape(codes.shape)


def codes_numbered_through(flat, codebooks):
    quantized, codes = residual_quantize(flat, codebooks)
    return quantized, codes + codebooks.shape[1] * torch.arange(codes.shape[1], device=flat.device)


def codes_of_the_last_level(flat, codebooks):
    quantized, codes = residual_quantize(flat, codebooks)
    return quantized, codes[:, -1]


def codes_as_a_list(flat, codebooks):
    quantized, codes = residual_quantize(flat, codebooks)
    return quantized, list(codes.T)


def codes_as_floats(flat, codebooks):
    quantized, codes = residual_quantize(flat, codebooks)
    return quantized, codes.to(flat.dtype)


def results_swapped(flat, codebooks):
    return residual_quantize(flat, codebooks)[::-1]


def last_code_alone(flat, codebooks):
    codes, _ = greedy(flat, codebooks)
    return passed_through(flat, codebooks[-1][codes[:, -1]]), codes


def first_code_alone(flat, codebooks):
    codes, _ = greedy(flat, codebooks)
    return passed_through(flat, codebooks[0][codes[:, 0]]), codes


def mean_for_sum(flat, codebooks):
    codes, total = greedy(flat, codebooks)
    return passed_through(flat, total / len(codebooks)), codes


def levels_not_added(flat, codebooks):
    codes, _ = greedy(flat, codebooks)
    levels = torch.stack([codebook[codes[:, level]] for level, codebook in enumerate(codebooks)])  # (Q, N, D)
    return levels.detach() + (flat - flat.detach()), codes


def what_is_left(flat, codebooks):
    codes, total = greedy(flat, codebooks)
    return passed_through(flat, flat - total), codes


def gradient_once_a_level(flat, codebooks):
    """The code that is taken off is a constant, so each level's straight-through passes the whole gradient on."""
    residual, total, codes = flat, torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(nearest(residual, codebook).detach())
        code = passed_through(residual, codebook[codes[-1]])
        total = total + code
        residual = residual - code.detach()
    return total, torch.stack(codes, 1)


def levels_leak(flat, codebooks):
    residual, total, codes = flat, torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(nearest(residual, codebook).detach())
        code = codebook[codes[-1]]
        total = total + passed_through(residual, code)
        residual = residual - code
    return total, torch.stack(codes, 1)


def without_straight_through(flat, codebooks):
    codes, total = greedy(flat, codebooks)
    return total, codes


def everything_cut(flat, codebooks):
    codes, total = greedy(flat, codebooks)
    return total.detach(), codes


def gradient_of_both(flat, codebooks):
    codes, total = greedy(flat, codebooks)
    return total + (flat - flat.detach()), codes


def gradient_of_the_residual(flat, codebooks):
    """flat less the look-ups keeps both graphs: the codebooks hear the opposite of what flat does."""
    codes, total = greedy(flat, codebooks)
    residual = flat - total
    return total.detach() + (residual - residual.detach()), codes


def gradient_shared_out(flat, codebooks):
    codes, total = greedy(flat, codebooks)
    return total.detach() + (flat - flat.detach()) / len(codebooks), codes


def written_into_flat(flat, codebooks):
    residual, total, codes = flat.detach(), torch.zeros_like(flat), []
    for codebook in codebooks:
        codes.append(nearest(residual, codebook))
        total = total + codebook[codes[-1]].detach()
        residual -= codebook[codes[-1]].detach()
    return passed_through(flat, total), torch.stack(codes, 1)


def written_into_a_leaf(flat, codebooks):
    residual, codes = flat, []
    for codebook in codebooks:
        codes.append(nearest(residual, codebook))
        residual -= codebook[codes[-1]]
    return passed_through(flat, flat - residual), torch.stack(codes, 1)


def draw_paths(axes, answer) -> None:
    """Points of the plane, and the codes that lead to them, one after another: a corner of the path for each level."""
    generator = torch.Generator().manual_seed(5)
    flat = torch.rand(7, 2, generator=generator) * 4 - 2  # (7, 2)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    codebooks = corners * torch.tensor([1.0, 0.5, 0.25]).reshape(3, 1, 1)  # (3, 4, 2)
    codes = torch.as_tensor(answer(flat, codebooks)[1])  # (7, 3)
    quantized = torch.as_tensor(answer(flat, codebooks)[0]).detach()  # (7, 2)
    for point, row, end in zip(flat, codes, quantized):
        path = torch.cat([torch.zeros(1, 2), torch.stack([c[i] for c, i in zip(codebooks, row)]).cumsum(0)])  # (4, 2)
        (line,) = axes.plot(*path.T, marker=".", linewidth=1)
        axes.scatter(*end, marker="s", s=40, color=line.get_color())
        axes.scatter(*point, marker="x", s=60, color=line.get_color())
    axes.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
    axes.set_xlabel("crosses: flat; squares: quantized")


EXERCISE = Exercise(
    name="residual_quantize",
    points=3,
    lesson="13_quantizer_family",
    reference=residual_quantize,
    draw=draw,
    picture=draw_paths,
    mistakes=(
        Mistake(
            each_level_from_the_start,
            "every level quantises flat itself; what have the levels before it left to be said?",
            "common",
        ),
        Mistake(
            sign_turned,
            "the residual has the wrong sign: it is what is missing, and the code was already given",
            "common",
        ),
        Mistake(
            residual_added,
            "the codes were added to what the next level quantises; what they have said has to be taken off",
            "common",
        ),
        Mistake(
            sum_quantised_again,
            "from the second level on, the sum of the codes so far was quantised; that part is known already",
            "common",
        ),
        Mistake(
            code_quantised_again,
            "from the second level on, the code of the level before was quantised; that part is known already",
            "common",
        ),
        Mistake(
            taken_off_twice,
            "the whole sum so far was taken off what is left, which has lost the earlier codes already: they are taken "
            "off again and again",
            "common",
        ),
        Mistake(
            last_code_taken_off_alone,
            "only the last code was taken off flat; those of the levels before it came back into the residual",
            "common",
        ),
        Mistake(
            first_codebook_for_all, "the first codebook served for all levels; codebooks holds one for each", "zoo 14"
        ),
        Mistake(
            last_codebook_first, "the codebooks were used in reverse order: the first one quantises flat", "common"
        ),
        Mistake(
            last_codebook_first_codes_too,
            "the codebooks were used in reverse order, and so stand the codes: column q belongs to codebooks[q]",
            "common",
        ),
        Mistake(farthest, "each level chose the farthest code; the nearest was wanted", "zoo 1"),
        Mistake(
            largest_product,
            "the largest inner product was taken for the smallest distance: a long code wins then, wherever it lies",
            "common",
        ),
        Mistake(
            best_of_all_sums,
            "all combinations of codes were tried, and the best sum taken; here each level chooses for itself, and "
            "never looks ahead",
            "common",
        ),
        Mistake(
            codes_level_by_level,
            "the codes are (Q, N), a row for each level; wanted is a row for each latent, (N, Q)",
            "common",
        ),
        Mistake(
            codes_in_a_strange_shape,
            "the codes of all levels were lined up, and cut into rows of Q: a row then holds codes of several latents",
            "zoo 4",
        ),
        Mistake(
            codes_numbered_through,
            "the codes are numbered through all levels; a code is a row of its own codebook, 0 to K - 1",
            "common",
        ),
        Mistake(
            codes_of_the_last_level,
            "only the codes of the last level came back: without the others nobody can make the sum again",
            "common",
        ),
        Mistake(codes_as_a_list, "the codes are a list of tensors; wanted is one tensor (N, Q)", "common"),
        Mistake(
            codes_as_floats, "the codes are floating-point numbers; they index a codebook, so they are int64", "common"
        ),
        Mistake(results_swapped, "the codes came first; the order is quantized, then codes", "common"),
        Mistake(
            last_code_alone,
            "this is the code of the last level alone, a small correction to a sum that was not given",
            "common",
        ),
        Mistake(
            first_code_alone,
            "this is the code of the first level alone: the corrections of the other levels are missing",
            "common",
        ),
        Mistake(
            mean_for_sum,
            "this is the mean of the chosen codes; each level corrects what is left, so their sum comes near to flat",
            "common",
        ),
        Mistake(levels_not_added, "the codes of the levels lie side by side, (Q, N, D); wanted is their sum", "common"),
        Mistake(what_is_left, "this is what is left in the end, the error; wanted is the sum of the codes", "common"),
        Mistake(
            gradient_once_a_level,
            "the values are right, and the gradient reaches flat Q times: once through each level. How often should "
            "it?",
            "zoo 17",
        ),
        Mistake(
            levels_leak,
            "the values are right, and the gradient reaches the codebooks: the codes that were taken off are in the "
            "residual, and the next level's straight-through passes the gradient back to them",
            "zoo 17",
        ),
        Mistake(
            without_straight_through,
            "the values are right, and the gradient goes to the codebooks and not to flat: the look-ups have not been "
            "bridged",
            "zoo 21",
        ),
        Mistake(
            everything_cut,
            "the values are right, and no gradient reaches flat: an encoder in front would learn nothing from the "
            "reconstruction",
            "zoo 25",
        ),
        Mistake(
            gradient_of_both,
            "the gradient reaches flat, and the codebooks too: here these are learnt by averages, and hear none",
            "zoo 21",
        ),
        Mistake(
            gradient_of_the_residual,
            "the gradient goes through what is left in the end, so the codebooks hear the opposite of what flat hears",
            "zoo 17",
        ),
        Mistake(
            gradient_shared_out,
            "flat hears the gradient divided by the number of levels; it should arrive unchanged",
            "common",
        ),
        Mistake(
            written_into_flat,
            "flat itself was changed: .detach() gives a second name to the same numbers, and -= writes into them",
            "zoo 15",
        ),
        Mistake(
            written_into_a_leaf,
            "-= writes into flat, which is not yours and is needed again: residual - code makes a new tensor",
            "zoo 15",
        ),
    ),
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

EXERCISES = [EXERCISE]
