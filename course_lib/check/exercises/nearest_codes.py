"""Exercise 03: the nearest code."""

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from course_lib.check.author import Call, Observation, exercise, normal, scattered, whole
from course_lib.check.exercises.pairwise_distances import pairwise_distances


def nearest_codes(flat, codebook):
    """(N, D), (K, D), floating point -> (N,) int64: the code nearest to each row, the lowest of equally near ones."""
    ### BEGIN SOLUTION
    return pairwise_distances(flat, codebook).argmin(dim=1)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(flat, codebook, part="values", **more):
        return Call((flat, codebook), ("flat", "codebook"), ("codes",), part, **more)

    def random(n, k, d, **more):
        return call(normal(generator, n, d), normal(generator, k, d), **more)

    codebook = whole(generator, 6, 2)
    ties = call(whole(generator, 40, 2), torch.cat([codebook, codebook[:3]]), part="ties")
    odd = [random(*sizes, part="odd sizes") for sizes in ((1, 5, 3), (6, 1, 2), (4, 7, 1), (40, 30, 5))]
    # Of two codes near each row, the one behind is nearer by so much that float32 sees it, and half precision does not
    rows, (far, near) = normal(generator, 40, 8), normalize(normal(generator, 2, 40, 8), dim=2)
    close = call(rows, torch.cat([rows + 0.2504**0.5 * far, rows + 0.5 * near]), part="nearly as near")
    flat = scattered(normal(generator, 4, 3)).double()
    return [
        random(6, 5, 3),
        *odd,
        ties,
        close,
        call(flat, normal(generator, 5, 3).double(), part="dtypes", elsewhere=True),
    ]


def forgive_rounding(call: Call, observation: Observation) -> Observation:
    """A code that is farther than the nearest by no more than rounding counts as the nearest."""
    codes, (flat, codebook) = observation.get("codes"), call.args
    if isinstance(codes, Tensor) and codes.dtype == torch.int64 and codes.shape == flat.shape[:1]:
        distances = pairwise_distances(flat.double(), codebook.double())  # (N, K)
        if codes.min() >= 0 and codes.max() < len(codebook):
            excess = distances.gather(1, codes.unsqueeze(1)).squeeze(1) - distances.amin(1)  # (N,); 0 in exact ties
            observation["codes"] = torch.where((excess > 0) & (excess < 1e-5), distances.argmin(1), codes)
    return observation


WRONG = r"""
argmin -> argmax  # zoo 1
    this is the farthest code, and the nearest has the smallest distance: argmin, not argmax; topk takes the largest
    unless it is told largest=False
.argmin(dim=1) -> .min(dim=1).values.long()
    these are the smallest distances, cut to whole numbers; wanted is where they stand: argmin, or the indices of min
dim=1 -> dim=0
    the minimum runs down the columns: that is the nearest latent of each code, (K,); wanted is one code for each
    latent, (N,)
dim=1 ->
    argmin without dim looks at the whole table and gives one number; wanted is one for each row
.argmin(dim=1) -> .sqrt().min(dim=1).values
    these are the smallest distances; wanted is where they stand
.argmin(dim=1) -> .min(dim=1).values
    these are the smallest squared distances themselves; wanted is where they stand
.argmin(dim=1) -> .min(dim=1)
    min with a dim gives two things, the smallest values and their places; wanted are the places alone
.argmin(dim=1) -> .argmin(dim=1).float()
    the numbers of the codes are right, their dtype is not: codes are int64
return (flat @ codebook.T).argmax(dim=1)
    the largest scalar product is not the smallest distance: long codes win it
dim=1 -> dim=1, keepdim=True
    one axis too many: codes have shape (N,), not (N, 1)
.argmin(dim=1) -> .argmin(dim=1, keepdim=True).squeeze()
    with a single row, squeeze() drops the axis of N as well: codes keep their shape (N,), so name the axis,
    squeeze(1)
return codebook[pairwise_distances(flat, codebook).argmin(dim=1)]
    these are the vectors of the nearest codes; wanted are the codes' numbers, (N,)
return torch.nn.functional.one_hot(pairwise_distances(flat, codebook).argmin(dim=1), len(codebook))
    these are one-hot rows; wanted are the codes' numbers, (N,)
return len(codebook) - 1 - pairwise_distances(flat, codebook).flip(1).argmin(dim=1)
    where two codes are equally near, the one with the lower index is wanted
.argmin(dim=1) -> .argmin(dim=1).int()
    codes are int64 here, as argmin gives them and indexing wants them
pairwise_distances(flat, codebook) -> (flat[:, None, :] - codebook[None, :, :]).abs().sum(dim=-1)
    this is the nearest by absolute differences; the distance meant here adds up their squares
pairwise_distances(flat, codebook) -> (flat[:, None, :] - codebook[None, :, :]).sum(dim=-1)
    differences were added up with their signs, so that large ones cancel; square them first
normalize = torch.nn.functional.normalize; return (normalize(flat) @ normalize(codebook).T).argmax(dim=1)  # zoo 18
    vectors were scaled to length 1: that compares directions, not distances
.argmin(dim=1) -> .argmin(dim=1) + 1
    each code is one too high: are the rows of the codebook numbered from 1, or from 0?
.argmin(dim=1) -> .topk(1, largest=False).indices.squeeze(1)
    where two codes are equally near, the lower one is wanted, and topk promises no order among equals
"""


def picture(axes, answer):
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


EXERCISE = exercise(
    nearest_codes,
    lesson="03_nearest_code",
    place=1,
    draw=draw,
    wrong=WRONG,
    view=forgive_rounding,
    picture=picture,
    hints=(
        "In the table of distances, (N, K), which number do you want of each row: its smallest value, or its place?",
        "argmin gives the place of the smallest value along one axis. The axis it runs along disappears: from (N, K), "
        "to be left with (N,), it has to be the one of the codes.",
        "distances = ...  # (N, K), squared or not: the smallest is the same one; return distances.argmin(dim=the "
        "axis of K)",
    ),
)
