"""Exercise 04: the gradient goes around the look-up."""

import torch
from torch import Generator

from course_lib.check.author import SPATIAL, Call, exercise, normal, scattered


def straight_through(latents, quantized):
    """(B, D, *S), the same -> the same: the value of `quantized`, the gradient to `latents`.

    What the text calls x is `latents`, its q is `quantized`. Say what happens backward by a torch.autograd.Function.
    """

    ### BEGIN SOLUTION
    class Copy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, latents, quantized):
            return quantized.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient, None  # for latents, for quantized

    return Copy.apply(latents, quantized)
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
return gradient, None -> return gradient, gradient  # zoo 21
    x gets its gradient, and q gets one too: backward gives one gradient for each input, and q's is to be None
return gradient, None -> return gradient
    backward does not give as many gradients as forward has inputs: one for each, in their order, and None for an input
    that is to hear nothing
return gradient, None -> return -gradient, None
    the values are right, but x hears its gradient with the sign turned
return gradient, None -> return gradient * (quantized - latents).detach(), None
    the gradient was multiplied by the step from x to q: it is handed on as it is, however far q lies
quantized.clone() -> latents.clone()
    this is x: the decoder would see what the encoder gave, not a code
quantized.clone() -> latents.copy_(quantized)
    q was written into the encoder's output itself: who uses x afterwards, the commitment loss for one, finds q there
return (quantized - latents) + latents  # zoo 21
    the gradient reaches q: which of the two terms should be detached? (If q was handed back as it is, the two terms are
    still to come; in a Function, backward says who hears, with one gradient for each input of forward, in their order.)
return quantized.detach()  # zoo 25
    the values are right, and nobody gets a gradient: either all is detached, or x comes in once with plus and once
    with minus. One x must be left that autograd sees
return (quantized - latents) + latents.detach()  # zoo 21
    the wrong term is detached: the gradient enters through q - x, so q gets it and x gets it with its sign turned
return (latents - quantized).detach() + quantized
    x and q have changed places: forward gives x, and the gradient goes to q
return (latents - quantized).detach() + latents
    x - q instead of q - x: adding it to x leads to 2 x - q, not to q
return quantized.detach() + latents
    this adds x to q: what has to be added to x, so that the sum is q?
return (quantized - latents).detach()
    this is the step from x to q alone: what does it have to be added to?
return (quantized - latents).detach() + quantized
    the step from x to q was added to q: that overshoots, and the gradient goes to q
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
        "A Function has two halves. Which of its two tensors is forward to give? And who is to have the gradient that "
        "comes back?",
        "backward(ctx, gradient) gives back one gradient for each input of forward, in their order, and None for an "
        "input that is to hear nothing. Nothing has to be kept in ctx.",
        "class Copy(torch.autograd.Function) with the static methods forward(ctx, latents, quantized), which gives a "
        "copy of one of them, and backward(ctx, gradient), which gives a pair; then Copy.apply(...)",
    ),
)
