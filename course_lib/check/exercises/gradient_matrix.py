"""Exercise 05: which loss reaches which part."""

import functools

import torch
import torch.nn.functional as F
from torch import Generator

from course_lib.check.author import Call, Observation, exercise, number
from course_lib.check.exercises.codebook_loss import codebook_loss
from course_lib.check.exercises.commitment_loss import commitment_loss

LOSSES = ("reconstruction", "codebook", "commitment")
TRICKS = ("straight-through", "q", "q.detach()")  # what the decoder is given
PARTS = ("encoder", "codebook", "decoder")
NAMES = {f"{loss}/{trick}/{part}" for loss in LOSSES for trick in TRICKS for part in PARTS}


def gradient_matrix():
    """-> dict of 27 bools, "loss/trick/part" -> does this loss, with the decoder given that, reach this part?

    loss:  reconstruction, codebook, commitment
    trick: straight-through, q, q.detach()
    part:  encoder, codebook, decoder
    """
    encoder, decoder = torch.nn.Linear(6, 2), torch.nn.Linear(2, 6)
    codebook = torch.nn.Parameter(torch.randn(8, 2))
    parts = {"encoder": encoder.weight, "codebook": codebook, "decoder": decoder.weight}
    images, matrix = torch.randn(32, 6), {}
    for trick in ("straight-through", "q", "q.detach()"):
        x = encoder(images)  # (32, 2)
        q = codebook[torch.cdist(x, codebook).argmin(1)]  # (32, 2)
        # `given`, (32, 2): what the decoder gets
        # `losses`: each loss by its name, 0-d; for the reconstruction, F.mse_loss
        ### BEGIN SOLUTION
        given = {"straight-through": (q - x).detach() + x, "q": q, "q.detach()": q.detach()}[trick]
        losses = {"codebook": codebook_loss(x, q), "commitment": commitment_loss(x, q)}
        losses["reconstruction"] = F.mse_loss(decoder(given), images)
        ### END SOLUTION
        assert torch.allclose(given, q, atol=1e-5), "whatever the trick, the decoder gets the value of q"
        for name, loss in losses.items():
            # matrix[f"{name}/{trick}/{part}"] for each part: True or False
            ### BEGIN SOLUTION
            gradients = torch.autograd.grad(loss, list(parts.values()), retain_graph=True, allow_unused=True)
            for part, gradient in zip(parts, gradients):
                matrix[f"{name}/{trick}/{part}"] = gradient is not None and bool(gradient.any())
            ### END SOLUTION
    return matrix


def draw(generator: Generator) -> list[Call]:
    """Three runs, one for each loss that is looked at: the mark of one does not depend on the others."""
    parts = "codebook", "commitment", "reconstruction"
    return [Call((), (), part=f"the {part} loss", seed=number(generator, 0, 10**6)) for part in parts]


def one_loss(call: Call, observation: Observation) -> Observation:
    """Of the 27 answers the nine of the call's loss; what has another name stays, to be refused."""
    loss = call.part.split()[1]
    return {name: value for name, value in observation.items() if name not in NAMES or name.startswith(f"{loss}/")}


WRONG = r"""
codebook_loss(x, q) -> codebook_loss(q, x)  # zoo 12
commitment_loss(x, q) -> commitment_loss(q, x)
    codebook loss and commitment loss have changed places: the first is to reach the codebook alone, the second the
    encoder alone. Are your two functions right, and called with the latents first?
codebook_loss(x, q) -> F.mse_loss(q, x)  # zoo 12
commitment_loss(x, q) -> F.mse_loss(x, q)
    codebook loss and commitment loss reach encoder and codebook both: each wants one of them stopped
losses = { -> through = (q - x).detach() + x\nlosses = {  # zoo 11
codebook_loss(x, q) -> codebook_loss(x, through)
commitment_loss(x, q) -> commitment_loss(x, through)
    the two losses were computed from the straight-through tensor, of which the codebook hears nothing: they want q
    itself, as it was looked up
codebook_loss(x, q) -> codebook_loss(x, given)  # zoo 11
commitment_loss(x, q) -> commitment_loss(x, given)
allow_unused=True) -> allow_unused=True) if loss.requires_grad else [None] * 3
    the two losses were computed from what the decoder is given, so that they change with it: they want q itself, as
    it was looked up, in all three cases
codebook_loss(x, q) -> codebook_loss(x, given)  # zoo 11
commitment_loss(x, q) -> commitment_loss(x, given)
    everything in one of the losses is detached, as in a codebook loss of the q.detach() that the decoder is given:
    the two losses want q itself, as it was looked up
matrix[f"{name}/{trick}/{part}"] = -> matrix[f"{trick}/{name}/{part}"] =
    the names begin with the trick; the loss comes first, then the trick, then the part: "codebook/q/encoder"
[trick] -> ["straight-through"]
    the decoder is given the straight-through tensor in all three cases; in the other two it gets q, and q.detach()
.detach() + x -> + x  # zoo 21
    straight-through does here what q alone does: its gradient goes to the codebook and not around it
(q - x).detach() + x -> x + (q - x.detach())  # zoo 21
    straight-through lets the gradient through to q as well: the whole step from x to q has to be a constant
decoder(given) -> decoder(q)  # mutation
    the decoder is given q in all three cases: what was prepared for the other two does not reach it
"q": q -> "q": q.detach()  # zoo 25
    q and q.detach() are two cases, not one: q was looked up in the codebook, and the look-up has a gradient
"q.detach()": q.detach() -> "q.detach()": q  # zoo 25
    q and q.detach() are two cases, not one: a detached q has no way back to the codebook
losses = { -> losses = {"reconstruction": F.mse_loss(decoder(given), images),
gradients = torch.autograd.grad(loss, list(parts.values()), retain_graph=True, -> loss.backward(retain_graph=True)
allow_unused=True) -> \ngradients = [tensor.grad for tensor in parts.values()]
    a part that heard one loss is said to hear all later ones: .backward() adds to .grad, and what an earlier run
    left there, or zeros written over it, was counted again
matrix = torch.randn(32, 6), {} -> matrix, sums = torch.randn(32, 6), {}, {}
gradients = -> loss = sums[name] = sums.get(name, 0) + loss\ngradients =
    what a part heard under one trick is said of the next tricks too: .backward() adds to .grad, which was not
    cleared between them, or cleared to zeros that were counted
losses = { -> losses = {"reconstruction": F.mse_loss(decoder(given), images),
x = encoder(images) -> encoder.weight.grad = codebook.grad = decoder.weight.grad = None\nx = encoder(images)
gradients = torch.autograd.grad(loss, list(parts.values()), retain_graph=True, -> loss.backward(retain_graph=True)
allow_unused=True) -> \ngradients = [tensor.grad for tensor in parts.values()]
    what a part heard of one loss is said of the next losses too: .backward() adds to .grad, which was not cleared
    between them, or cleared to zeros that were counted
gradient is not None and bool(gradient.any()) -> True
    all 27 are True: either the sum of the losses was sent back, or a gradient was counted because it is there,
    though all of it is zero
gradient is not None and bool(gradient.any()) -> int(gradient is not None and bool(gradient.any()))
    the answers are numbers, 0 and 1; wanted are the two words of Python for no and yes
"""


def picture(axes, answer):
    """The 27 cells, one row for each trick and loss, one column for each part."""
    from course_lib.lesson import plots  # here, as a check must not wait for matplotlib

    matrix = answer()
    rows = [f"{loss}/{trick}" for trick in TRICKS for loss in LOSSES]
    cells = [[float(matrix.get(f"{row}/{part}", "nan")) for part in PARTS] for row in rows]
    colours = [plots.BACKWARD if heard == 1 else plots.PALE for row in cells for heard in row]  # nan: no such name
    plots.draw_cells(axes, cells, colours, digits=0, rows=rows, columns=PARTS)
    axes.set_aspect("auto")
    axes.tick_params(labelsize=8)
    for below in (2.5, 5.5):
        axes.axhline(below, color=plots.INK, linewidth=1)


EXERCISE = exercise(
    functools.cache(gradient_matrix),  # nothing goes in, so once is enough
    lesson="05_three_losses",
    points=2,
    place=3,
    draw=draw,
    wrong=WRONG,
    view=one_loss,
    picture=picture,
    hints=(
        "What does the decoder get under each of the three names, and which two losses are none of its business? Then "
        "send one loss back, alone: how do you see, at the encoder's weight, whether anything arrived?",
        "The reconstruction is measured on what the decoder makes of `given`; the two other losses are made of x and "
        "q under every trick. torch.autograd.grad(loss, tensors, allow_unused=True) gives fresh gradients, None for a "
        "tensor that is not in the graph. With .backward(), .grad has to be None again before each run.",
        "given = one of (q - x).detach() + x, q, q.detach(); gradients = torch.autograd.grad(loss, "
        "list(parts.values()), retain_graph=..., allow_unused=...); a part hears the loss where its gradient is not "
        "None and has an element that is not zero",
    ),
)
