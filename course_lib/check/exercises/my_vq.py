"""Lesson 04: the value of the code, the gradient for the latent."""

from torch import Generator

from course_lib.check.author import Call, exercise, normal


def my_vq(x, q):
    """(N, D), (N, D) -> (N, D): the value of q; a gradient that arrives goes to x as it is, and none of it to q."""
    ### BEGIN SOLUTION
    return (q - x).detach() + x
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(*shape):
        args = normal(generator, *shape), normal(generator, *shape)
        return Call(args, ("x", "q"), ("vq",), "values", differentiate=(0, 1))

    return [call(2, 3), call(5, 1), call(1, 4)]


WRONG = r"""
(q - x).detach() + x -> (q - x) + x  # zoo 21
    the value is right, but all of the gradient goes to q: either this is q itself, or x comes in once with plus and
    once with minus and cancels. What has to count as a constant?
return q.detach()  # zoo 25
    the value is right, and nobody hears anything: either all is detached, or x comes in once with plus and once with
    minus. One x must be left that autograd sees
(q - x).detach() + x -> (q - x.detach()) + x  # zoo 21
    x hears the gradient, and q hears it too: all of the step from x to q has to be a constant
(q - x).detach() + x -> (q - x) + x.detach()  # zoo 21
    the other term is the one to detach: as it stands, q hears the gradient, and x hears it with its sign turned
return x
    the gradient is right, but the decoder must be given the value of q
q - x -> x - q
    the step goes from q to x: added to x it leads away from q
(q - x).detach() + x -> (x - q).detach() + q
    x and q have changed places: the value is that of x, and the gradient goes to q
(q - x).detach() + x -> (q - x).detach()
    this is the step from x to q alone, and a constant: what does it have to be added to?
(q - x).detach() + x -> 0.5 * (q - x).detach() + x
    the gradient is right, but the value lies halfway between x and q: all of the step has to be added
(q - x).detach() + x -> q.detach() + x
    this adds x to q: what has to be added to x, so that the sum is q?
x.data.copy_(q)\nreturn x
    q was written into x itself: who uses x afterwards finds q there
"""

EXERCISE = exercise(
    my_vq,
    lesson="04_straight_through",
    place=0,
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Which step leads from x to q? If you add it to x, what is the value, and who would hear a gradient?",
        "A sum hands its gradient on to each of its terms. A term behind .detach() keeps its value and counts as a "
        "constant.",
        "return constant + x, where the constant is the step from x to q, detached",
    ),
)
