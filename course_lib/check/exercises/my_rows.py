"""Lesson 02: the latents of images as rows."""

from torch import Generator

from course_lib.check.author import Call, exercise, normal


def my_rows(latents):
    """(B, D, H, W) -> (B H W, D): one latent in each row, image after image, line after line."""
    ### BEGIN SOLUTION
    return latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    shapes = (2, 3, 2, 4), (1, 4, 3, 2), (3, 1, 1, 4), (3, 3, 3, 3)
    more = {"differentiate": (0,)}  # the lesson trains a model through them
    return [Call((normal(generator, *shape),), ("latents",), ("rows",), "values", **more) for shape in shapes]


WRONG = r"""
.permute(0, 2, 3, 1) ->  # zoo 4
    D was not moved before the axes were merged: the shape is right, but a row holds numbers of several places
permute(0, 2, 3, 1) -> permute(0, 3, 2, 1)
    H and W have changed places: each row is a latent, but the places run down the columns, not along the lines
permute(0, 2, 3, 1) -> permute(2, 3, 0, 1)
    each row is a latent, but all images at one place follow each other; wanted is one image after the other
reshape -> view
    .view never copies, and rows out of an axis that was moved want a copy: which call makes one where it has to?
permute(0, 2, 3, 1) -> permute(0, 2, 1, 3)
    D moved one axis on, past H, and W is still last; D has to be the last of the four before the others merge
permute(0, 2, 3, 1) -> permute(0, 3, 1, 2)
    this brings W forward and leaves D at axis 2; permute names, for each new place, the axis that comes to stand there
latents.shape[1]) -> 3)
    3 was the D of one block of latents; the next one has another D, and the latents' own shape knows it
reshape(-1, -> reshape(latents.shape[0], -1,
    this is one list for each image, (B, H W, D); wanted is one list for all of them, (B H W, D)
return latents.flatten(1)
    this is one row for each image, with all its latents in it; wanted is one row for each latent
latents.permute -> latents.detach().permute
    the rows are right, but no gradient finds the way back through them: behind such rows an encoder learns nothing
"""

EXERCISE = exercise(
    my_rows,
    lesson="02_flattening",
    points=0,
    place=1,
    draw=draw,
    wrong=WRONG,
    hints=(
        "A row is to hold the D numbers of one place. Which axis has to come last before anything is merged?",
        "permute names the axes in their new order: which of B, D, H, W stands where? Then three axes merge.",
        "return latents.permute(0, ?, ?, ?).reshape(-1, D), with D = latents.shape[1]",
    ),
)
