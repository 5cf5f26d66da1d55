"""Exercise 14: what a layer of a prior may look at."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, number


def causal_mask(kernel_size, kind):
    """Odd k, 'A' or 'B' -> (k, k) float32 of zeros and ones, for the weights of a convolution to be multiplied by.

    1 where a weight belongs to a place that precedes the centre in raster order: the rows above,
    and what stands on the left in the same row. Kind 'B' has a 1 at the centre as well.
    """
    ### BEGIN SOLUTION
    centre = kernel_size // 2
    mask = torch.zeros(kernel_size, kernel_size)
    mask[:centre] = 1
    mask[centre, : centre + (kind == "B")] = 1
    return mask
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(size, kind, part="values"):
        return Call((size, kind), ("kernel_size", "kind"), ("mask",), part)

    large = 2 * number(generator, 4, 6) + 1
    return [
        call(3, "A"),
        call(3, "B"),
        call(5, "B"),
        call(7, "A"),
        call(large, "A", part="odd sizes"),
        call(large, "B", part="odd sizes"),
        call(1, "A", part="odd sizes"),
        call(1, "B", part="odd sizes"),
    ]


WRONG = r"""
kind == "B" -> kind == "A"
    A and B are swapped: the first layer reads the codes themselves, and may not read the one it is to predict
(kind == "B") -> 1
    kind A lets the centre through: a first layer then reads the code that it is to predict, and learns to copy it
+ (kind == "B") ->
    kind B hides the centre too: later layers hold nothing of their own code any more, and may read their own place
[centre, : centre + (kind == "B")] -> [centre]
    the row of the centre is seen as a whole: what stands on the right of it comes later
[centre, : centre + (kind == "B")] = 1 -> [centre] = 1\nmask[centre, centre] = kind == "B"
    the row of the centre is seen on both sides; only its left part comes before
: centre + (kind == "B")] = 1 -> centre] = kind == "B"
    only the rows above are seen: in raster order, the left part of the same row precedes the centre too
mask[:centre] = 1 ->
    only the row of the centre is seen: all rows above precede it too
[:centre] -> [: centre - 1]
    the row just above the centre is hidden; a slice ends before its second number
return mask.flip(0, 1)
    this is the future: what follows the centre is seen, and what precedes it hidden
return mask.flip(1)
    left and right are swapped: a row is read from the left, as text is
return mask.flip(0)
    above and below are swapped: row 0 of a kernel lies above its centre
return mask.T
    this is the order column by column; raster order goes through a row before it goes to the next
return torch.ones_like(mask).tril(0 if kind == "B" else -1)
    this is the triangle of attention, where rows and columns count places of one sequence; here they are places of a
    grid
mask[:centre] = 1 ->
mask[centre, : -> mask[:, :
    all that lies left is seen, in every row: what is left and below comes later
[:centre] -> [:centre, : centre + 1]
    only what is above and left at once is seen; of the rows above, the right part comes before as well
kernel_size // 2 -> (kernel_size + 1) // 2
mask[centre, -> mask[centre : centre + 1,
    the centre was taken one place too far: counted from 0, which is the middle one of k?
kernel_size // 2 -> kernel_size // 2 - 1
    the centre was taken one place too early: counted from 0, which is the middle one of k?
torch.zeros -> torch.ones
: centre + (kind == "B")] = 1 -> centre] = kind == "B"
    all but the centre is seen, the future included: whoever draws code after code does not have that yet
return 1 - mask
    ones and zeros are swapped: the weights are multiplied by the mask, so 1 is what may be seen
centre + (kind -> centre + 1 + (kind
    one place too many is seen, for A and for B: of k x k places, how many come before the centre?
return torch.ones(kernel_size**2, kernel_size**2).tril(0 if kind == "B" else -1)
    this is a mask over pairs of places, as attention wants it; a kernel of k x k has k x k places
return mask.log()
    this mask is made to be added, 0 and minus infinity; wanted is one to multiply weights by
return mask.bool()
    the mask is of True and False; wanted is float32, 0 and 1
return mask.long()
    the mask is of whole numbers; wanted is float32, as the weights are
return mask[None, None]
    the mask has the axes for channels of a weight already; wanted is (k, k), and broadcasting does the rest
return mask.flatten()
    the mask is one row of k x k numbers; wanted is (k, k)
"""


def picture(axes, answer):
    """Kernels of three sizes, kind A above kind B; the centre is marked."""
    grid = torch.full((17, 21), 0.5)
    for row, kind in ((1, "A"), (10, "B")):
        for column, size in ((1, 3), (6, 5), (13, 7)):
            top = row + (7 - size) // 2
            grid[top : top + size, column : column + size] = torch.as_tensor(answer(size, kind)).float()
            axes.plot(column + size // 2, top + size // 2, "x", color="#D55E00")
    axes.imshow(grid, vmin=0, vmax=1, cmap="gray")
    axes.set(xticks=[2, 8, 16], xticklabels=["3", "5", "7"], yticks=[4, 13], yticklabels=["A", "B"])
    axes.set_xlabel("white 1, black 0; crosses: the centre")


EXERCISE = exercise(
    causal_mask,
    lesson="14_priors",
    draw=draw,
    wrong=WRONG,
    picture=picture,
    hints=(
        "Number the k x k places in the order in which a text is read. Which number has the centre, and which places "
        "have smaller ones?",
        "Two parts: all rows above that of the centre, as a whole; of the row of the centre, the part on its left, "
        "and with 'B' one place more. The centre is row and column k // 2.",
        "mask = torch.zeros(k, k); mask[: the row of the centre] = 1; mask[that row, : its column, plus 1 for 'B'] = 1",
    ),
)
