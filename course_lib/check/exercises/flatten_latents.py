"""Exercise 02: latents of any number of axes to rows."""

import torch
from torch import Generator, Tensor

from course_lib.check.author import Call, exercise, normal

# (B, D, *S): an image first; then none, T, T H W; one image, D = 1 and H = 1, axes of one length
SHAPES = [(2, 3, 2, 4), (3, 4), (2, 3, 5), (2, 3, 2, 4, 3), (1, 4, 3, 2), (3, 1, 1, 4), (3, 3, 3, 3)]


def flatten_latents(latents):
    """(B, D, *S) -> (N, D): one row for each vector, image after image, the last spatial axis fastest.

    *S is none, T, H W, or T H W. Floating point of any dtype, in any order in memory. The gradient comes through.
    """
    ### BEGIN SOLUTION
    return latents.movedim(1, -1).reshape(-1, latents.shape[1])
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(latents, part="odd sizes", **more):
        return Call((latents,), ("latents",), ("flat",), part, **more)

    plain, *odd = [normal(generator, *shape) for shape in SHAPES]
    channels_last = normal(generator, 2, 4, 2, 3).movedim(-1, 1)  # (2, 3, 4, 2), D fastest in memory
    turned = normal(generator, 2, 3, 2, 4).transpose(2, 3)  # (2, 3, 4, 2), H fastest in memory
    double = normal(generator, 2, 3, 4).double()
    return [
        call(plain, "values", differentiate=(0,)),
        *(call(latents, differentiate=(0,)) for latents in odd[:3]),
        *(call(latents) for latents in odd[3:]),
        call(channels_last, "order in memory"),
        call(turned, "order in memory"),
        call(double, "dtypes", elsewhere=True),
    ]


WRONG = r"""
.movedim(1, -1) ->  # zoo 4
    the axes were merged before D was moved: the shape is right, but a row holds numbers of several places
movedim(1, -1) -> permute(0, 2, 3, 1)
    a fixed list of four axes fits images alone; sound has three, video five, and plain vectors, (B, D), two
movedim(1, -1) -> transpose(1, 2)
    transpose(1, 2) brings D past one axis: that is the end for sound; with H and W it has further to go
movedim(1, -1) -> transpose(1, -1)
    transpose(1, -1) exchanges two axes: the last one goes to where D was, so with H and W the rows come in another
    order
reshape -> view  # lesson 02
    .view never copies, so it refuses an axis that was moved; which call copies where it has to?
movedim(1, -1) -> view(*latents.shape[:2], -1).transpose(1, 2)  # mutation
    right for most latents; of a turned image, H and W exchanged, .view cannot merge the places: which call copies
    where it has to?
return latents.flatten(1)
    this is one row for each image, with all its vectors in it; wanted is one row for each vector, (N, D)
return latents.movedim(1, 0).flatten(1)
    the vectors stand upright, (D, N); wanted is one row for each, (N, D)
movedim(1, -1) -> movedim((0, 1), (-2, -1))
    each row is right, the order is not: all images at one place follow each other; wanted is one image after the
    other
reshape(-1, -> reshape(latents.shape[0], -1,
    one axis too many: the batch is to be merged with the places, (N, D) and not (B, N / B, D)
return latents.flatten(2).transpose(1, 2).flatten(0, 1)
    latents of shape (B, D) raise an error here; they have no spatial axes and are a list of rows already
.movedim -> .detach().movedim  # zoo 22
    the rows are right, but no gradient comes back through them, and the encoder is behind: where was it cut?
"""


def scene(height: int = 24, width: int = 36) -> Tensor:
    """(1, 3, H, W): a low sun over the sea, in red, green and blue from 0 to 1."""
    h, w = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    sky = torch.stack([0.35 + 0.6 * h, 0.55 + 0 * h, 0.9 - 0.6 * h])
    sea = torch.stack([0.05 + 0 * h, 0.25 + 0.2 * h, 0.35 + 0.3 * h])
    sun = (h * (height - 1) - 13) ** 2 + (w * (width - 1) - 23) ** 2 < 27
    image = torch.where(sun, torch.tensor([1.0, 0.85, 0.2]).reshape(3, 1, 1), sky)
    return torch.where(h > 0.62, sea, image)[None]


def picture(axes, answer):
    """A colour image as latents, D = 3: its rows, each as the colour it is, as many to a line as the image is wide."""
    image = scene()
    axes.imshow(answer(image).detach().reshape(*image.shape[2:], 3).clamp(0, 1))
    axes.set(xticks=[], yticks=[], xlabel="rows of the list, each as one colour")


EXERCISE = exercise(
    flatten_latents,
    lesson="02_flattening",
    draw=draw,
    wrong=WRONG,
    picture=picture,
    hints=(
        "Which axis do the D numbers of one vector lie along, and which axis must they lie along for .reshape(-1, D) "
        "to keep them together?",
        "Merging joins axes in the order in which they stand, the last fastest. So first move D behind all the "
        "others, which keep their order, however many they are; then merge those.",
        "moved = latents.movedim(where D is, where it has to be)  # (B, *S, D); then merge all axes but the last",
    ),
)
