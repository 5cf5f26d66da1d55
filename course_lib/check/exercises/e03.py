"""Exercise 03: distances, the nearest code, look-up."""

import torch
from torch import Generator, Tensor

from course_lib import quantize
from course_lib.check.exercises.drawing import normal, number, scattered, whole
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call

# ----------------------------------------------------------------------------------------------------------------------
# pairwise_distances


def draw_distances(generator: Generator) -> list[Call]:
    def call(n, k, d, part="values", **more):
        args = normal(generator, n, d), normal(generator, k, d)
        return Call(args, ("flat", "codebook"), ("distances",), part, differentiate=(0, 1), **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((1, 4, 3), (5, 1, 3), (4, 6, 1), (26, 6, 2))]
    flat, codebook = scattered(normal(generator, 3, 5)), scattered(normal(generator, 4, 5))
    strides = Call((flat, codebook), ("flat", "codebook"), ("distances",), "odd sizes")
    wide = normal(generator, 3, 2).double(), normal(generator, 4, 2).double()
    double = Call(wide, ("flat", "codebook"), ("distances",), "dtypes", elsewhere=True)
    flat = whole(generator, 4, 3)
    meeting = flat, torch.cat([flat[1:3], whole(generator, 3, 3)])  # two distances are 0; a root has no slope there
    zero = Call(
        meeting, ("flat", "codebook"), ("distances",), "values where a latent lies on a code", differentiate=(0, 1)
    )
    return [call(5, 4, 3), *odd, strides, zero, double]


def root_taken(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).square().sum(-1).sqrt()


def root_and_back(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).square().sum(-1).sqrt().square()


def mean_over_dimension(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).square().mean(-1)


def absolute_differences(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).abs().sum(-1)


def axes_swapped(flat, codebook):
    return (codebook.unsqueeze(1) - flat.unsqueeze(0)).square().sum(-1)


def middle_term_added(flat, codebook):
    return flat.square().sum(1, keepdim=True) + 2 * flat @ codebook.T + codebook.square().sum(1)


def middle_term_once(flat, codebook):
    return flat.square().sum(1, keepdim=True) - flat @ codebook.T + codebook.square().sum(1)


def latents_square_left_out(flat, codebook):
    return codebook.square().sum(1) - 2 * flat @ codebook.T


def product_alone(flat, codebook):
    return flat @ codebook.T


def not_summed(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).square()


def row_by_row(flat, codebook):
    return (flat - codebook).square().sum(-1)


def latents_square_as_a_row(flat, codebook):
    return flat.square().sum(1) - 2 * flat @ codebook.T + codebook.square().sum(1)


def without_gradient(flat, codebook):
    return torch.cdist(flat.detach(), codebook.detach()).square()


def latents_as_constants(flat, codebook):
    return torch.cdist(flat.detach(), codebook).square()


def codebook_as_a_constant(flat, codebook):
    return torch.cdist(flat, codebook.detach()).square()


DISTANCES = Exercise(
    name="pairwise_distances",
    lesson="03_nearest_code",
    reference=quantize.pairwise_distances,
    draw=draw_distances,
    mistakes=(
        Mistake(root_taken, "these are distances; the squared ones were asked for: leave the root out", "zoo 18"),
        Mistake(
            root_and_back,
            "the values are right, but the gradient is NaN where a latent lies on a code: a root was taken on the "
            "way, and its slope at 0 is infinite",
            "mutation",
        ),
        Mistake(mean_over_dimension, "the mean over D was taken; the squared distance is the sum", "zoo 20"),
        Mistake(absolute_differences, "absolute differences were added up; wanted are their squares", "common"),
        Mistake(
            axes_swapped,
            "rows and columns are swapped: latent vectors give the rows, codes the columns, (N, K)",
            "common",
        ),
        Mistake(middle_term_added, "the sign of the middle term: |x - e|^2 = |x|^2 - 2 x.e + |e|^2", "common"),
        Mistake(middle_term_once, "the middle term comes twice: |x|^2 - 2 x.e + |e|^2", "common"),
        Mistake(
            latents_square_left_out,
            "|x|^2 is missing: argmin would not notice, but a distance below zero is none",
            "common",
        ),
        Mistake(
            product_alone,
            "this is the scalar product x.e: it grows where vectors are alike, and with their length",
            "zoo 1",
        ),
        Mistake(
            row_by_row,
            "flat and codebook meet row by row; every latent has to meet every code: give each an axis of length 1",
            "common",
        ),
        Mistake(
            latents_square_as_a_row,
            "|x|^2 has shape (N,) here and runs along the codes; as a column, (N, 1), it needs keepdim=True",
            "common",
        ),
        Mistake(not_summed, "one axis too many: the squares over D are still to be added up", "common"),
        Mistake(
            latents_as_constants,
            "the latents were detached; here both sides have a gradient, and it is for the losses to stop one of them",
            "common",
        ),
        Mistake(
            codebook_as_a_constant,
            "the codebook was detached; here both sides have a gradient, and it is for the losses to stop one of them",
            "common",
        ),
        Mistake(
            without_gradient,
            "the numbers are right, but nothing can be learnt through them: where was the graph cut?",
            "zoo 22",
        ),
    ),
    hints=(
        "There are N x K pairs. What shape must flat and codebook have, so that one subtraction makes all of them?",
        "Broadcasting: (N, 1, D) minus (1, K, D) is (N, K, D), every latent minus every code. Or expand the square: "
        "|x - e|^2 = |x|^2 - 2 x.e + |e|^2, where x.e for all pairs is one matrix product.",
        "differences = flat[:, None, :] - codebook[None, :, :]  # (N, K, D); then square, then sum over the last axis",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# nearest_codes


def draw_nearest(generator: Generator) -> list[Call]:
    def call(flat, codebook, part="values", **more):
        return Call((flat, codebook), ("flat", "codebook"), ("codes",), part, **more)

    def random(n, k, d, **more):
        return call(normal(generator, n, d), normal(generator, k, d), **more)

    codebook = whole(generator, 6, 2)
    ties = call(whole(generator, 40, 2), torch.cat([codebook, codebook[:3]]), part="ties")
    odd = [random(*sizes, part="odd sizes") for sizes in ((1, 5, 3), (6, 1, 2), (4, 7, 1), (40, 30, 5))]
    flat = scattered(normal(generator, 4, 3)).double()
    return [random(6, 5, 3), *odd, ties, call(flat, normal(generator, 5, 3).double(), part="dtypes", elsewhere=True)]


def forgive_rounding(call: Call, seen: Observation) -> Observation:
    """A code that is farther than the nearest by no more than rounding counts as the nearest."""
    codes, (flat, codebook) = seen.get("codes"), call.args
    if isinstance(codes, Tensor) and codes.dtype == torch.int64 and codes.shape == flat.shape[:1]:
        distances = (flat.double().unsqueeze(1) - codebook.double()).square().sum(-1)  # (N, K)
        if codes.min() >= 0 and codes.max() < len(codebook):
            excess = distances.gather(1, codes.unsqueeze(1)).squeeze(1) - distances.amin(1)  # (N,); 0 in exact ties
            seen["codes"] = torch.where((excess > 0) & (excess < 1e-5), distances.argmin(1), codes)
    return seen


def draw_map(axes, answer) -> None:
    """Regions of the plane in the colours of the codes that `answer` gives them."""
    from matplotlib.colors import to_rgb  # here, as a check must not wait for it

    from course_lib.lesson.plots import CODE_COLOURS

    corners = [[0.3, 0.4], [0.8, 1.5], [1.7, 1.7], [1.0, 0.9], [1.6, 0.3], [0.3, 1.1], [1.5, 1.1]]
    codebook, side = torch.tensor(corners), torch.linspace(0, 2, 61)
    plane = torch.cartesian_prod(side, side).flip(1)  # (3721, 2): a row of the picture after the other
    palette = 0.55 * torch.tensor([to_rgb(colour) for colour in CODE_COLOURS[: len(codebook)]]) + 0.45
    axes.imshow(palette[answer(plane, codebook)].reshape(61, 61, 3), origin="lower", extent=(0, 2, 0, 2))
    for k, (x, y) in enumerate(corners):
        axes.scatter(x, y, color=CODE_COLOURS[k], edgecolors="black", zorder=3)
        axes.annotate(str(k), (x, y), (5, 5), textcoords="offset points")
    axes.set(xlabel="latent, number 0", ylabel="latent, number 1")


def farthest(flat, codebook):
    return torch.cdist(flat, codebook).argmax(dim=1)


def along_the_latents(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=0)


def over_everything(flat, codebook):
    return torch.cdist(flat, codebook).argmin()


def values_instead_of_places(flat, codebook):
    return torch.cdist(flat, codebook).min(dim=1).values


def squares_instead_of_places(flat, codebook):
    return torch.cdist(flat, codebook).square().min(dim=1).values


def values_and_places(flat, codebook):
    return tuple(torch.cdist(flat, codebook).square().min(dim=1))


def codes_as_floats(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=1).float()


def largest_product(flat, codebook):
    return (flat @ codebook.T).argmax(dim=1)


def axis_kept(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=1, keepdim=True)


def every_axis_of_length_1_dropped(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=1, keepdim=True).squeeze()


def vectors_for_codes(flat, codebook):
    return codebook[torch.cdist(flat, codebook).argmin(dim=1)]


def one_hot_rows(flat, codebook):
    return torch.nn.functional.one_hot(torch.cdist(flat, codebook).argmin(dim=1), len(codebook))


def last_of_equals(flat, codebook):
    distances = (flat.unsqueeze(1) - codebook).square().sum(-1)
    return len(codebook) - 1 - distances.flip(1).argmin(dim=1)


def numbers_of_32_bits(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=1).int()


def nearest_by_absolute_differences(flat, codebook):
    return (flat.unsqueeze(1) - codebook).abs().sum(-1).argmin(dim=1)


def differences_summed_unsquared(flat, codebook):
    return (flat.unsqueeze(1) - codebook).sum(-1).argmin(dim=1)


def cosine(flat, codebook):
    return (torch.nn.functional.normalize(flat, dim=1) @ torch.nn.functional.normalize(codebook, dim=1).T).argmax(1)


NEAREST = Exercise(
    name="nearest_codes",
    lesson="03_nearest_code",
    reference=quantize.nearest_codes,
    draw=draw_nearest,
    view=forgive_rounding,
    picture=draw_map,
    mistakes=(
        Mistake(farthest, "argmax picks the farthest code; the nearest has the smallest distance", "zoo 1"),
        Mistake(
            along_the_latents,
            "the minimum runs down the columns: that is the nearest latent of each code, (K,); wanted is one code for "
            "each latent, (N,)",
            "common",
        ),
        Mistake(
            over_everything,
            "argmin without dim looks at the whole table and gives one number; wanted is one for each row",
            "common",
        ),
        Mistake(values_instead_of_places, "these are the smallest distances; wanted is where they stand", "common"),
        Mistake(
            squares_instead_of_places,
            "these are the smallest squared distances themselves; wanted is where they stand",
            "common",
        ),
        Mistake(
            values_and_places,
            "min with a dim gives two things, the smallest values and their places; wanted are the places alone",
            "common",
        ),
        Mistake(codes_as_floats, "the numbers of the codes are right, their dtype is not: codes are int64", "common"),
        Mistake(
            largest_product, "the largest scalar product is not the smallest distance: long codes win it", "common"
        ),
        Mistake(axis_kept, "one axis too many: codes have shape (N,), not (N, 1)", "common"),
        Mistake(
            every_axis_of_length_1_dropped,
            "with a single row, squeeze() drops the axis of N as well: codes keep their shape (N,), so name the axis, "
            "squeeze(1)",
            "common",
        ),
        Mistake(
            vectors_for_codes,
            "these are the vectors of the nearest codes; wanted are the codes' numbers, (N,)",
            "common",
        ),
        Mistake(one_hot_rows, "these are one-hot rows; wanted are the codes' numbers, (N,)", "common"),
        Mistake(last_of_equals, "where two codes are equally near, the one with the lower index is wanted", "common"),
        Mistake(numbers_of_32_bits, "codes are int64 here, as argmin gives them and indexing wants them", "common"),
        Mistake(
            nearest_by_absolute_differences,
            "this is the nearest by absolute differences; the distance meant here adds up their squares",
            "common",
        ),
        Mistake(
            differences_summed_unsquared,
            "differences were added up with their signs, so that large ones cancel; square them first",
            "common",
        ),
        Mistake(cosine, "vectors were scaled to length 1: that compares directions, not distances", "zoo 18"),
    ),
    hints=(
        "In the table of distances, (N, K), which number do you want of each row: its smallest value, or its place?",
        "argmin gives the place of the smallest value along one axis. The axis it runs along disappears: from (N, K), "
        "to be left with (N,), it has to be the one of the codes.",
        "distances = ...  # (N, K), squared or not: the smallest is the same one; return distances.argmin(dim=the "
        "axis of K)",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# look_up


def draw_look_up(generator: Generator) -> list[Call]:
    def codes_but_one(unused: int, codebook_size: int, *shape: int) -> Tensor:
        """Codes among which one never comes, so that its row has no gradient, and others come more than once."""
        codes = torch.randint(codebook_size - 1, shape, generator=generator)
        return codes + (codes >= unused)

    def call(codes, codebook, part="odd sizes", **more):
        return Call((codes, codebook), ("codes", "codebook"), ("quantized",), part, differentiate=(1,), **more)

    plain = codes_but_one(1, 4, 6)
    plain[number(generator, 0, 5)] = 3  # the highest code is there ...
    last_unused = codes_but_one(5, 6, 9)  # ... and here it is not
    last_unused[number(generator, 0, 8)] = 0
    places = [codes_but_one(2, 4, *shape) for shape in ((2, 5), (2, 3, 2), (2, 2, 3, 2), (1, 3))]
    for codes in places:
        codes.view(-1)[0] = 3
    return [
        call(plain, normal(generator, 4, 5), "values"),
        call(last_unused, normal(generator, 6, 3)),
        *(call(codes, normal(generator, 4, 3)) for codes in places),
        call(scattered(places[1]), normal(generator, 4, 3)),
        call(torch.tensor(2), normal(generator, 3, 4)),
        call(torch.zeros(3, dtype=torch.int64), normal(generator, 1, 4)),
        call(codes_but_one(1, 5, 2, 3), normal(generator, 5, 1)),
        call(codes_but_one(0, 4, 5), scattered(normal(generator, 4, 3)).double(), "dtypes", elsewhere=True),
    ]


def viewed(codes, codebook):
    return codebook.index_select(0, codes.view(-1)).view(*codes.shape, codebook.shape[1])


def columns(codes, codebook):
    return codebook.T[codes]


def second_axis_indexed(codes, codebook):
    return codebook[:, codes]


def one_number_of_each_row(codes, codebook):
    return codebook.gather(0, codes.reshape(-1, 1))


def places_merged(codes, codebook):
    return codebook[codes.reshape(-1)]


def one_axis_expected(codes, codebook):
    return codebook.index_select(0, codes)


def no_single_code(codes, codebook):
    return torch.stack([codebook[code] for code in codes])


def dimension_moved(codes, codebook):
    quantized = codebook[codes]
    return quantized.movedim(-1, 1) if codes.ndim > 1 else quantized


def axes_of_length_1_dropped(codes, codebook):
    return codebook[codes].squeeze()


def highest_code_for_the_size(codes, codebook):
    return torch.nn.functional.one_hot(codes).to(codebook.dtype) @ codebook


def one_hot_in_float32(codes, codebook):
    return torch.nn.functional.one_hot(codes, len(codebook)).float() @ codebook


def one_hot_itself(codes, codebook):
    return torch.nn.functional.one_hot(codes, len(codebook)).to(codebook.dtype)


def codebook_detached(codes, codebook):
    return codebook.detach()[codes]


def first_row_for_padding(codes, codebook):
    return torch.nn.functional.embedding(codes, codebook, padding_idx=0)


LOOK_UP = Exercise(
    name="look_up",
    lesson="03_nearest_code",
    reference=quantize.look_up,
    draw=draw_look_up,
    mistakes=(
        Mistake(
            viewed,
            "view works only where the numbers lie in memory in the order of the axes; flatten and reshape copy where "
            "they must",
            "common",
        ),
        Mistake(columns, "these are columns of the codebook: a code is a row, (K, D)", "common"),
        Mistake(
            second_axis_indexed,
            "[:, codes] picks columns, one number of every row; a code is a whole row: index the first axis",
            "common",
        ),
        Mistake(
            one_number_of_each_row,
            "gather picks single numbers, one for each index; a code stands for the whole row",
            "common",
        ),
        Mistake(
            places_merged,
            "the vectors are right, but the axes of codes are gone: (B, H, W) is to give (B, H, W, D)",
            "common",
        ),
        Mistake(
            one_axis_expected,
            "index_select takes a single axis of codes; codes of a batch of images have three",
            "common",
        ),
        Mistake(
            no_single_code,
            "a single code has shape (): there is no axis to loop over, and its vector is wanted all the same",
            "common",
        ),
        Mistake(dimension_moved, "D was moved to axis 1; wanted is (..., D), the axes of codes first", "common"),
        Mistake(
            axes_of_length_1_dropped,
            "squeeze drops every axis of length 1, those of a batch of one image or of D = 1 too",
            "common",
        ),
        Mistake(
            highest_code_for_the_size,
            "one_hot took the highest code that came for the last one: tell it K, some codes may not be used",
            "common",
        ),
        Mistake(
            one_hot_in_float32,
            "one-hot rows of float32 meet a codebook of float64: give them the dtype of the codebook",
            "common",
        ),
        Mistake(
            one_hot_itself,
            "these are one-hot rows, (..., K): what is still missing is the product with the codebook",
            "lesson 03",
        ),
        Mistake(
            codebook_detached,
            "the vectors are right, but no gradient reaches the codebook: it was cut off, or copied into a tensor of "
            "its own",
            "zoo 25",
        ),
        Mistake(
            first_row_for_padding, "code 0 gets no gradient: padding_idx makes it a row that never learns", "common"
        ),
    ),
    hints=(
        "A code is the number of a row. What does a tensor give back when it is indexed with a tensor of whole "
        "numbers?",
        "Indexing the first axis with integers of shape (...,) puts that shape in place of the axis: (K, D) becomes "
        "(..., D). Backward, each row collects the gradients from all places that chose it; the others get none.",
        "think of codebook[2], then of codebook[torch.tensor([2, 0, 2])]: the same brackets take codes of any shape",
    ),
)

EXERCISES = [DISTANCES, NEAREST, LOOK_UP]
