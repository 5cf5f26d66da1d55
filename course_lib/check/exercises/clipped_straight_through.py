"""Exercise 04: a gradient that is copied only where the copy can be trusted."""

import torch
from torch import Generator

from course_lib.check.author import SPATIAL, Call, exercise, normal, scattered, whole


def clipped_straight_through(latents, quantized, reach):
    """(B, D, *S), the same, a number -> (B, D, *S): the value of `quantized`, the gradient to `latents`, but only for
    vectors that lie no farther than `reach` from their code. Those farther away hear nothing.

    A vector is the D numbers of one place; its distance is the length of the difference (not squared).
    """
    ### BEGIN SOLUTION
    step = (quantized - latents).detach()  # (B, D, *S)
    near = step.norm(dim=1, keepdim=True) <= reach  # (B, 1, *S)
    return torch.where(near, latents + step, quantized.detach())  # (B, D, *S)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(*shape, reach, part="values", **more):
        latents, direction = normal(generator, *shape), normal(generator, *shape)
        choice = torch.randint(0, 4, (shape[0], 1, *shape[2:]), generator=generator)
        choice.view(-1)[:2] = torch.tensor([1, 2])  # at least one vector on each side of the reach
        distance = reach * torch.tensor([0.4, 0.8, 1.3, 2.0])[choice]  # (B, 1, *S)
        quantized = latents + direction * distance / direction.norm(dim=1, keepdim=True)
        args = latents, scattered(quantized), reach
        return Call(args, ("latents", "quantized", "reach"), part=part, differentiate=(0, 1), **more)

    latents = whole(generator, 4, 2)
    steps = torch.tensor([[3.0, 4.0], [0.0, 4.0], [-4.0, 3.0], [6.0, 8.0]])  # lengths of exactly 5, 4, 5 and 10
    names = "latents", "quantized", "reach"
    tie = Call((latents, latents + steps, 5.0), names, part="values", differentiate=(0, 1))
    plain = [call(6, 3, reach=0.5), call(6, 3, reach=3.0), tie]
    odd = [call(2, 3, *spatial, reach=reach, part="odd sizes") for spatial, reach in zip(SPATIAL[1:], (0.5, 2.0, 0.7))]
    return [*plain, *odd, call(4, 2, reach=1.5, part="devices", elsewhere=True)]


WRONG = r"""
dim=1 -> dim=-1
    the distances were taken along the last axis: D is axis 1, whatever axes follow it
step.norm(dim=1, keepdim=True) -> step.abs()
    each number was judged by itself: a vector is near or far as a whole
<= reach -> < reach
    a vector that lies exactly at the reach was refused: "no farther than" takes it in
<= reach -> > reach
    it is the near ones that are to hear the gradient
step.norm(dim=1, keepdim=True) -> step.square().sum(dim=1, keepdim=True)
    the squared distance was compared with the reach: take the root, or square the reach
step.norm(dim=1, keepdim=True) -> step.norm()
    nobody hears anything: either nothing of x is left that autograd sees, or one distance for the whole batch was
    compared with the reach, where each vector has its own
step.norm(dim=1, keepdim=True) -> step.square().mean(dim=1, keepdim=True).sqrt()
    a mean over D makes the distance smaller by the root of D: the length of a vector takes the sum
latents + step, quantized.detach() -> latents + step, quantized
    far vectors hand their gradient to q: the codebook must hear nothing in either case
latents + step, quantized.detach() -> latents + step, latents.detach()
    far vectors came out as they went in: the value is that of q everywhere, it is the gradient that differs
latents + step, quantized.detach() -> latents + step, torch.zeros_like(latents)
    far vectors became 0: the value is that of q everywhere, it is the gradient that differs
torch.where(near, latents + step, quantized.detach()) -> latents + step
    all vectors hear the gradient: those beyond the reach should not
"""

EXERCISE = exercise(
    clipped_straight_through,
    lesson="04_straight_through",
    place=1,
    points=2,
    draw=draw,
    wrong=WRONG,
    hints=(
        "You need one yes or no for each vector, not for each number. Along which axis do you measure?",
        "Near or far, the value is that of q; what differs is whether autograd sees x. torch.where(condition, one, "
        "other) takes each element from one of two tensors, and hands each the gradient of what was taken from it.",
        "near = (length of the difference along axis 1, kept as an axis) <= reach; then torch.where(near, the value of "
        "q with the gradient of x, the value of q with none)",
    ),
)
