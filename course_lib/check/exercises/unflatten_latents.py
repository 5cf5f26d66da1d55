"""Exercise 02: rows back to latents of any number of axes."""

from torch import Generator, Size, Tensor

from course_lib.check.author import Call, exercise, normal, scattered
from course_lib.check.exercises.flatten_latents import SHAPES, flatten_latents, scene


def unflatten_latents(flat, shape):
    """(N, D), the original shape (B, D, *S) as a tuple -> (B, D, *S): the inverse of `flatten_latents`.

    *S is none, T, H W, or T H W. Floating point of any dtype, in any order in memory. The gradient comes through.
    """
    ### BEGIN SOLUTION
    batch, dim, *spatial = shape
    return flat.reshape(batch, *spatial, dim).movedim(-1, 1)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(shape, part="odd sizes", change=None, **more):
        flat = normal(generator, Size(shape).numel() // shape[1], shape[1])
        flat = change(flat) if change else flat
        return Call((flat, shape), ("flat", "shape"), ("latents",), part, **more)

    plain, *odd = SHAPES
    return [
        call(plain, "values", differentiate=(0,)),
        *(call(shape, differentiate=(0,)) for shape in odd[:3]),
        *(call(shape) for shape in odd[3:]),
        call((2, 3, 4, 2), "order in memory", scattered),
        call((2, 3, 4), "dtypes", Tensor.double, elsewhere=True),
    ]


WRONG = r"""
return flat.reshape(shape)  # zoo 4
    the rows were cut straight to the final shape: that undoes the trap of lesson 02, not a right flattening
.movedim(-1, 1) ->
    the rows are back at their places, but D is still the last axis; wanted is (B, D, *S)
*spatial = shape -> height, width = shape
*spatial, dim) -> height, width, dim)
    this takes four axes, no more and no fewer; shape may have two to five
*spatial = shape -> length = shape
*spatial, dim) -> length, dim)
    this takes three axes, no more and no fewer; shape may have two to five
movedim(-1, 1) -> transpose(1, -1)
    transpose(1, -1) exchanges two axes: with H and W, W is left standing before H
movedim(-1, 1) -> movedim(1, -1)
    the move goes from 1 to the end once more; on the way back D comes from the end and goes to 1
return flat.T.reshape(shape)
    (D, N) cut to the final shape is right for one image alone: with more, D has to go behind the batch
*spatial, dim) -> -1, dim)
    one spatial axis came back where shape has another number of them
reshape(batch, *spatial, dim).movedim(-1, 1) -> reshape(*spatial, batch, dim).movedim((-2, -1), (0, 1))
    the rows were read as if all images at one place followed each other; they come image after image
flat.reshape -> flat.detach().reshape  # zoo 22
    the numbers are right, but no gradient goes back through them to the rows: where was it cut?
"""


def picture(axes, answer):
    """The rows of a colour image, right ones, put back by `answer`."""
    image = scene()
    back = answer(flatten_latents(image), tuple(image.shape))
    if back.shape != image.shape:
        raise ValueError(f"came {tuple(back.shape)}, wanted {tuple(image.shape)}")
    axes.imshow(back[0].detach().movedim(0, -1).clamp(0, 1))
    axes.set(xticks=[], yticks=[], xlabel="the latents as an image")


EXERCISE = exercise(
    unflatten_latents,
    lesson="02_flattening",
    draw=draw,
    wrong=WRONG,
    picture=picture,
    hints=(
        "Flattening moved an axis and then merged the others. In which order are the two undone?",
        "The last thing done is undone first: split the rows into (B, *S, D), where each row is still one piece, and "
        "only then bring D from the end back to its place.",
        "batch, dim, *spatial = shape; split = flat.reshape(batch, ..., dim)  # (B, *S, D); then move the last axis "
        "to place 1",
    ),
)
