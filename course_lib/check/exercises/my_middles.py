"""Lesson 01: the second half of a round of k-means."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal, number


def my_middles(tiles, codes, box):
    """(N, D), (N,) int64, (K, D) -> a new box (K, D).

    Each stamp becomes the mean of the tiles that chose it.
    A stamp that no tile chose stays as it is. The old box is not changed.
    """
    ### BEGIN SOLUTION
    new = box.clone()  # (K, D)
    for k in codes.unique():
        new[k] = tiles[codes == k].mean(dim=0)  # (n, D) -> (D,)
    return new
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(n, k, d, part="values", chosen=None):
        codes = torch.randint(0, k, (n,), generator=generator)
        codes[:k] = torch.arange(k)[:n]  # each stamp is chosen once at least
        if chosen is not None:
            codes = codes % chosen  # the others by nobody
        codes = codes[torch.randperm(n, generator=generator)]
        args = normal(generator, n, d), codes, normal(generator, k, d)
        return Call(args, ("tiles", "codes", "box"), ("new box",), part)

    return [
        call(12, 3, 4),
        call(number(generator, 20, 30), 5, 3),
        call(15, 5, 2, "stamps that nobody chose", chosen=3),
        call(6, 9, 4, "stamps that nobody chose", chosen=4),
        call(1, 2, 3, "stamps that nobody chose", chosen=1),
    ]


WRONG = r"""
box.clone() -> box
    the old box was changed as well: new and box are one tensor, unless you make a copy
.mean(dim=0) -> .mean()
    the mean went over everything and left one grey for all pixels; each pixel has a mean of its own
.mean(dim=0) -> .sum(dim=0)
    this is the sum of the tiles; the mean divides it by how many they are
.mean(dim=0) -> .median(dim=0).values
    this is the median of each pixel; the mean is wanted, which makes the sum of squares smallest
tiles[codes == k].mean(dim=0) -> tiles[codes == k].sum(dim=0) / len(tiles)
    the sum was divided by the number of all tiles; it is the mean of those alone that chose this stamp
codes.unique() -> range(len(box))
    the mean of no tiles is not a number: a stamp that nobody chose stays as it is
box.clone() -> torch.zeros_like(box)
    a stamp that nobody chose became blank; it stays as it is
tiles[codes == k].mean(dim=0) -> (box[k] + tiles[codes == k].mean(dim=0)) / 2
    each stamp went half the way to the mean of its tiles; it goes all the way
tiles[codes == k].mean(dim=0) -> tiles[codes == k][0]
    each stamp became the first tile that chose it; the mean of all of them is wanted
for k in codes.unique(): -> for k in codes.unique()[:-1]:
    one of the stamps that were chosen stayed as it was
new[k] = tiles[codes == k].mean(dim=0) -> new[k] = tiles[k]
    k is the number of a stamp, and tiles[k] the tile that happens to stand at that place; wanted are those with
    codes == k
return new[codes]
    this is a stamp for each tile, (N, D); wanted is the new box, (K, D)
return torch.stack([tiles[codes == k].mean(dim=0) for k in codes.unique()])
    stamps that nobody chose were left out, so the box has shrunk and the numbers no longer fit
"""

EXERCISE = exercise(
    my_middles,
    lesson="01_why_discrete",
    points=0,
    place=1,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Which tiles chose stamp k? And what has to become of a stamp that nobody chose?",
        "codes == k is True where a tile chose stamp k, and tiles[codes == k] are these tiles, one a row. Begin with a "
        "copy of the box, and change only the stamps that occur in codes.",
        "new = box.clone(); for k in codes.unique(): new[k] = the mean of tiles[codes == k] over the tiles; return new",
    ),
)
