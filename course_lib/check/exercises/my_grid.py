"""Lesson 02: rows back to the grid that they came from."""

from torch import Generator, Size

from course_lib.check.author import Call, exercise, normal


def my_grid(rows, shape):
    """(B H W, D), and the latents' shape (B, D, H, W) -> (B, D, H, W): each row back at its place."""
    B, D, H, W = shape
    ### BEGIN SOLUTION
    return rows.reshape(B, H, W, D).permute(0, 3, 1, 2)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(shape):
        rows = normal(generator, Size(shape).numel() // shape[1], shape[1])
        # the lesson trains a model through them: a gradient has to come back
        return Call((rows, shape), ("rows", "shape"), ("latents",), "values", differentiate=(0,))

    return [call(shape) for shape in ((2, 3, 2, 4), (1, 4, 3, 2), (3, 1, 1, 4), (3, 3, 3, 3))]


WRONG = r"""
return rows.reshape(shape)  # zoo 4
    the rows were cut straight to the latents' shape: the D numbers of one row land at D places, not at one
.permute(0, 3, 1, 2) ->
    each row is at its place, but D is still the last axis; wanted is (B, D, H, W)
permute(0, 3, 1, 2) -> permute(0, 2, 3, 1)
    these are the axes of the way there once more; on the way back D comes from the end, which is axis 3 now
permute(0, 3, 1, 2) -> permute(0, 1, 3, 2)
    D moved past W only and stands at axis 2; wanted is (B, D, H, W), with D at axis 1
permute(0, 3, 1, 2) -> permute(0, 3, 2, 1)
    D is where it should be, but H and W have changed places: the picture comes back turned
rows.reshape(B, H, W, D).permute(0, 3, 1, 2) -> rows.reshape(B, D, -1).permute(0, 2, 1).reshape(shape)
    the rows were cut as if they were channels, (B, D, H W); they come as (B, H W, D), place by place
rows.reshape(B, H, W, D).permute(0, 3, 1, 2) -> rows.reshape(H, W, B, D).permute(2, 3, 0, 1)
    the rows were read as if all images at one place followed each other; they come image after image
rows.reshape(B, H, W, D).permute(0, 3, 1, 2) -> rows.reshape(B, W, H, D).permute(0, 3, 2, 1)
    the rows were read as if the places ran down the columns; they run along the lines, W fastest
return rows.T.reshape(shape)
    this is right for one image alone: with more, the batch has to stand before D
rows.reshape -> rows.detach().reshape
    each row is at its place, but no gradient finds the way back to the rows: what made them learns nothing
"""

EXERCISE = exercise(
    my_grid,
    lesson="02_flattening",
    points=0,
    place=2,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Which of the two steps of my_rows came last? It is undone first: which axes were merged, and in which order?",
        "First split the rows' axis into B, H and W, with D still last. Then D has to come from the end to axis 1.",
        "return rows.reshape(B, ?, ?, D).permute(0, ?, ?, ?): after the split, B H W D are the axes 0 1 2 3",
    ),
)
