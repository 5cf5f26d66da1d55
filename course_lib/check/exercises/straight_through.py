"""Exercise 04: the gradient goes around the look-up."""

import torch
from torch import Generator

from course_lib.check.author import SPATIAL, Call, exercise, normal, scattered


def straight_through(latents, quantized):
    """(B, D, *S), the same -> the same: the value of `quantized`, the gradient to `latents`.

    What the text calls x is `latents`, its q is `quantized`.
    """
    ### BEGIN SOLUTION
    return (quantized - latents).detach() + latents
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(*shape, part="values", dtype=torch.float32, **more):
        latents, quantized = (normal(generator, *shape).to(dtype) for _ in range(2))
        args = latents, scattered(quantized)  # as unflattening leaves it in memory
        return Call(args, ("latents", "quantized"), part=part, differentiate=(0, 1), **more)

    plain = call(2, 3)
    odd = [call(2, 3, *spatial, part="odd sizes") for spatial in SPATIAL[1:]]
    return [plain, *odd, call(1, 1, part="odd sizes"), call(4, 2, dtype=torch.float64, part="dtypes", elsewhere=True)]


WRONG = r"""
.detach() ->  # zoo 21
    the gradient reaches q: which of the two terms should be detached? As it stands, x cancels out, and q is left
return quantized.detach()  # zoo 25
    the values are right, and nobody gets a gradient: either all is detached, or x comes in once with plus and once
    with minus. One x must be left that autograd sees
(quantized - latents).detach() + latents -> (quantized - latents) + latents.detach()  # zoo 21
    the wrong term is detached: the gradient enters through q - x, so q gets it and x gets it with its sign turned
return (latents - quantized).detach() + quantized
    x and q have changed places: forward gives x, and the gradient goes to q
return latents
    this is x: the decoder would see what the encoder gave, not a code
quantized - latents -> latents - quantized
    x - q instead of q - x: adding it to x leads to 2 x - q, not to q
(quantized - latents).detach() -> quantized.detach()
    this adds x to q: what has to be added to x, so that the sum is q?
return quantized + (latents - latents.detach())  # zoo 21
    x gets its gradient, and q gets one too: q enters the sum without .detach()
+ latents ->
    this is the step from x to q alone: what does it have to be added to?
+ latents -> + quantized
    the step from x to q was added to q: that overshoots, and the gradient goes to q
return quantized.detach() + (latents.detach() - latents)
    the values are right, and x hears its gradient with the sign turned: the x that autograd sees enters with minus
latents.data.copy_(quantized); return latents
    q was written into the encoder's output itself: who uses x afterwards, the commitment loss for one, finds q there
"""


def picture(axes, answer):
    """Three latents and their codes; the loss pulls every value upwards. Who moves?"""
    from course_lib.lesson import plots  # here, as a check must not wait for matplotlib

    latents = torch.tensor([[0.3, 0.6], [1.5, 0.2], [2.2, 0.9]], requires_grad=True)  # (3, 2)
    quantized = torch.tensor([[0.0, 0.0], [1.0, 0.6], [2.9, 0.4]], requires_grad=True)  # (3, 2)
    value = answer(latents, quantized)  # (3, 2)
    pulls = torch.zeros(2, 3, 2)
    if value.requires_grad:  # the loss falls by 0.5 for each unit upwards
        loss = -0.5 * value[:, 1].sum()
        pulls = -torch.stack(torch.autograd.grad(loss, (latents, quantized), materialize_grads=True))
    for points, pull, marker, name in ((latents, pulls[0], "o", "x"), (quantized, pulls[1], "s", "q")):
        axes.scatter(*points.detach().T, marker=marker, color=plots.GREY, s=50, zorder=3, label=name)
        for start, step in zip(points.detach(), pull):
            if step.any():
                arrow = {"arrowstyle": "->", "color": plots.BACKWARD, "lw": 2}
                axes.annotate("", (start + step).tolist(), start.tolist(), arrowprops=arrow)
    for start, end in zip(latents.detach(), value.detach()):
        arrow = {"arrowstyle": "->", "color": plots.FORWARD, "lw": 1.5, "ls": "--"}
        axes.annotate("", end.tolist(), start.tolist(), arrowprops=arrow)
    axes.scatter(*value.detach().T, s=150, facecolors="none", edgecolors=plots.INK, zorder=4, label="the result")
    axes.plot([], [], "--", color=plots.FORWARD, label="forward: from x to the result")
    axes.plot([], [], color=plots.BACKWARD, label="backward: the pull that arrives")
    axes.set(xlim=(-0.5, 3.4), ylim=(-0.7, 2.6), xlabel="number 0", ylabel="number 1")
    axes.legend(fontsize=8, loc="upper right", ncols=2)


EXERCISE = exercise(
    straight_through,
    lesson="04_straight_through",
    points=2,
    draw=draw,
    wrong=WRONG,
    picture=picture,
    hints=(
        "Forward you want q; backward you want the gradient that x would get. Which number must be added to x to get "
        "q, and should that number have a gradient?",
        "x + (q - x) is q. Autograd differentiates a sum term by term; a term behind .detach() counts as a constant. "
        "So: the one term that is to pass the gradient stays, the other becomes a constant.",
        "return x + constant, with constant = (what leads from x to q).detach()",
    ),
)
