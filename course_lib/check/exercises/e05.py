"""Exercise 05: two losses of one value, and who hears which loss."""

import functools

import torch
from torch import Generator
from torch.nn import functional as F

from course_lib import quantize
from course_lib.check.exercises.drawing import SPATIAL, normal, number, scattered
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call

# ----------------------------------------------------------------------------------------------------------------------
# codebook_loss and commitment_loss: one is the other with its arguments exchanged, so they share draws and mistakes


def draw_loss(generator: Generator) -> list[Call]:
    def call(*shape, part="values", dtype=torch.float32, **more):
        latents, quantized = (normal(generator, *shape).to(dtype) for _ in range(2))
        args = latents, scattered(quantized)  # as unflattening leaves it in memory
        return Call(args, ("latents", "quantized"), ("loss",), part, differentiate=(0, 1), **more)

    odd = [call(2, 3, *spatial, part="odd sizes") for spatial in SPATIAL[1:]]
    wide = call(4, 2, dtype=torch.float64, part="dtypes", elsewhere=True)
    return [call(2, 3), *odd, call(1, 1, part="odd sizes"), wide]


# As answers to codebook_loss: `latents` stay, `quantized` moves.


def total(latents, quantized):
    return F.mse_loss(quantized, latents.detach(), reduction="sum")


def squared_norm(latents, quantized):
    return (quantized - latents.detach()).square().sum(1).mean()


def divided_by_batch(latents, quantized):
    return (quantized - latents.detach()).square().sum() / len(latents)


def other_side_detached(latents, quantized):
    return F.mse_loss(quantized.detach(), latents)


def nothing_detached(latents, quantized):
    return F.mse_loss(quantized, latents)


def both_detached(latents, quantized):
    return F.mse_loss(quantized.detach(), latents.detach())


def weighted(latents, quantized):
    return 0.25 * F.mse_loss(quantized, latents.detach())


def root_taken(latents, quantized):
    return F.mse_loss(quantized, latents.detach()).sqrt()


def length(latents, quantized):
    return (quantized - latents.detach()).norm()


def absolute_differences(latents, quantized):
    return F.l1_loss(quantized, latents.detach())


def not_averaged(latents, quantized):
    return (quantized - latents.detach()).square()


def not_squared(latents, quantized):
    return (quantized - latents.detach()).mean()


def plain_number(latents, quantized):
    return F.mse_loss(quantized, latents.detach()).item()


def exchanged(answer):
    """The same mistake, made in commitment_loss: there `quantized` stays, `latents` move."""

    @functools.wraps(answer)
    def answer_with_arguments_exchanged(latents, quantized):
        return answer(quantized, latents)

    return answer_with_arguments_exchanged


IN_BOTH = (
    Mistake(
        total,
        "the squares are added up and not averaged: a mean over all elements does not grow with the batch",
        "zoo 20",
    ),
    Mistake(
        squared_norm,
        "the squares over the D axis were added up, as in the paper's squared norm; the mean over all elements is "
        "smaller by the factor D",
        "zoo 20",
    ),
    Mistake(
        divided_by_batch,
        "the sum was divided by B alone; a mean over all elements divides by how many there are, D and *S included",
        "zoo 20",
    ),
    Mistake(root_taken, "a root was taken: wanted is the mean squared error itself", "common"),
    Mistake(
        length,
        "this is the length of the whole difference, the root of the sum of squares; wanted is the mean of the squares",
        "common",
    ),
    Mistake(absolute_differences, "absolute differences were averaged; wanted are their squares", "common"),
    Mistake(not_averaged, "these are the squares, one for each element; wanted is one number, their mean", "common"),
    Mistake(
        plain_number,
        "the value is right, but .item() makes a plain number of it, and a loss has to carry its gradient back",
        "zoo 22",
    ),
    Mistake(not_squared, "differences were averaged without a square: those of opposite sign cancel", "mutation"),
)

OF_CODEBOOK_LOSS = (
    Mistake(
        other_side_detached,
        "the value is right, and the gradient reaches latents in place of quantized: that is the commitment loss",
        "zoo 12",
    ),
    Mistake(
        nothing_detached,
        "the value is right, and both sides hear it: the encoder would be pulled to the codes as well. Whose gradient "
        "has to be stopped?",
        "zoo 12",
    ),
    Mistake(both_detached, "the value is right, and nobody hears it: both sides are detached", "zoo 12"),
    Mistake(
        weighted,
        "this is a quarter of the codebook loss: the weight beta is applied outside, and to the commitment loss",
        "zoo 10",
    ),
)

OF_COMMITMENT_LOSS = (
    Mistake(
        other_side_detached,
        "the value is right, and the gradient reaches quantized in place of latents: that is the codebook loss",
        "zoo 12",
    ),
    Mistake(
        nothing_detached,
        "the value is right, and both sides hear it: the codes would be pulled with the weight that is meant for the "
        "encoder. Whose gradient has to be stopped?",
        "zoo 12",
    ),
    Mistake(both_detached, "the value is right, and nobody hears it: both sides are detached", "zoo 12"),
    Mistake(
        weighted,
        "this is a quarter of the commitment loss: the weight beta is applied outside, where the losses are added up",
        "zoo 10",
    ),
)

CODEBOOK_LOSS = Exercise(
    name="codebook_loss",
    lesson="05_three_losses",
    reference=quantize.codebook_loss,
    draw=draw_loss,
    mistakes=OF_CODEBOOK_LOSS + IN_BOTH,
    hints=(
        "When this loss is small, the codes lie where their latents are. Which of the two shall walk there, and which "
        "shall stand still?",
        "The value is the mean squared error of the two tensors. A tensor behind .detach() counts as a constant for "
        "autograd: detach the one that stands still.",
        "difference = quantized - (the side that stands still).detach(); then square, then the mean over everything",
    ),
)

COMMITMENT_LOSS = Exercise(
    name="commitment_loss",
    lesson="05_three_losses",
    reference=quantize.commitment_loss,
    draw=draw_loss,
    mistakes=tuple(
        Mistake(exchanged(mistake.answer), mistake.message, mistake.origin) for mistake in OF_COMMITMENT_LOSS + IN_BOTH
    ),
    hints=(
        "Its value is that of the codebook loss. What, then, can be different about it?",
        "Here the encoder commits itself: latents walk, codes stand still. The stop-gradient is on the other side.",
        "the codebook loss with its two arguments exchanged, or the same line with the other one behind .detach()",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# gradient_matrix

LOSSES = ("reconstruction", "codebook", "commitment")
TRICKS = ("straight-through", "q", "q.detach()")  # what the decoder is given
PARTS = ("encoder", "codebook", "decoder")
NAMES = tuple(f"{loss}/{trick}/{part}" for loss in LOSSES for trick in TRICKS for part in PARTS)


class Tiny:
    """A model of 18 numbers, each part a single matrix, and the three losses for one thing given to the decoder."""

    def __init__(self):
        generator = Generator().manual_seed(0)
        sizes = {"encoder": (3, 2), "codebook": (4, 2), "decoder": (2, 2)}
        self.parts = {part: normal(generator, *size).requires_grad_() for part, size in sizes.items()}
        self.inputs, self.wanted = normal(generator, 8, 3), normal(generator, 8, 2)

    def run(self, given, losses) -> dict:
        """given(x, q) goes to the decoder; losses(x, q, given) are codebook loss and commitment loss."""
        codebook = self.parts["codebook"]
        x = self.inputs @ self.parts["encoder"]  # (8, 2)
        q = codebook[torch.cdist(x, codebook).argmin(1)]  # (8, 2)
        vq = given(x, q)  # (8, 2)
        reconstruction = F.mse_loss(vq @ self.parts["decoder"], self.wanted)
        return dict(zip(LOSSES, (reconstruction, *losses(x, q, vq))))


def straight_through(x, q):
    return (q - x).detach() + x


def as_it_is(x, q):
    return q


def cut_off(x, q):
    return q.detach()


def right_losses(x, q, vq):
    return F.mse_loss(q, x.detach()), F.mse_loss(x, q.detach())


@functools.cache  # nothing goes in, so once is enough; the mistakes below are measured too
def measure(given=(straight_through, as_it_is, cut_off), losses=right_losses) -> dict:
    """What reaches what, one of `given` for each trick: autograd is asked for each loss and each part anew."""
    tiny, found = Tiny(), {}
    for trick, function in zip(TRICKS, given):
        for loss, value in tiny.run(function, losses).items():
            gradients = [None] * len(PARTS)
            if value.requires_grad:
                gradients = torch.autograd.grad(value, list(tiny.parts.values()), retain_graph=True, allow_unused=True)
            for part, gradient in zip(PARTS, gradients):
                found[f"{loss}/{trick}/{part}"] = gradient is not None and bool(gradient.any())
    return found


def gradient_matrix():
    return measure()


def keep_heard(order):
    """The matrix where .grad is never cleared, or set to zeros that count: what was heard once stays heard."""
    found, heard = {}, set()
    for loss, trick in order:
        heard |= {part for part in PARTS if measure()[f"{loss}/{trick}/{part}"]}
        found |= {f"{loss}/{trick}/{part}": part in heard for part in PARTS}
    return found


def trick_without_detach():
    return measure((as_it_is, as_it_is, cut_off))


def half_detached(x, q):
    return x + (q - x.detach())


def trick_detached_too_little():
    return measure((half_detached, as_it_is, cut_off))


def trick_ignored():
    return measure((as_it_is, as_it_is, as_it_is))


def bare_q_taken_for_detached():
    return measure((straight_through, cut_off, cut_off))


def detached_q_taken_for_bare():
    return measure((straight_through, as_it_is, as_it_is))


def swapped(x, q, vq):
    return F.mse_loss(q.detach(), x), F.mse_loss(x.detach(), q)


def stops_swapped():
    return measure(losses=swapped)


def without_stops(x, q, vq):
    return F.mse_loss(q, x), F.mse_loss(x, q)


def losses_without_stops():
    return measure(losses=without_stops)


def of_straight_through(x, q, vq):
    return right_losses(x, straight_through(x, q), vq)


def losses_of_straight_through():
    return measure(losses=of_straight_through)


def of_what_is_given(x, q, vq):
    return right_losses(x, vq, vq)


def losses_of_what_is_given():
    return measure(losses=of_what_is_given)


def nothing_left_to_send_back():
    tiny = Tiny()
    value = tiny.run(cut_off, of_what_is_given)["codebook"]
    return torch.autograd.grad(value, list(tiny.parts.values()), allow_unused=True)  # raises


def straight_through_always():
    return measure((straight_through, straight_through, straight_through))


def loss_and_trick_swapped():
    names = {name: "/".join([name.split("/")[1], name.split("/")[0], name.split("/")[2]]) for name in NAMES}
    return {names[name]: heard for name, heard in measure().items()}


def kept_from_run_to_run():
    return keep_heard([(loss, trick) for trick in TRICKS for loss in LOSSES])


def kept_from_trick_to_trick():
    return {name: heard for loss in LOSSES for name, heard in keep_heard([(loss, trick) for trick in TRICKS]).items()}


def kept_from_loss_to_loss():
    return {name: heard for trick in TRICKS for name, heard in keep_heard([(loss, trick) for loss in LOSSES]).items()}


def everything_heard():
    return dict.fromkeys(NAMES, True)


def draw_matrix(generator: Generator) -> list[Call]:
    """Three runs, one for each loss that is looked at: the mark of one does not depend on the others."""
    parts = "codebook", "commitment", "reconstruction"
    return [Call((), (), part=f"the {part} loss", seed=number(generator, 0, 10**6)) for part in parts]


def one_loss(call: Call, seen: Observation) -> Observation:
    """Of the 27 answers the nine of the call's loss; what has another name stays, to be refused."""
    loss = call.part.split()[1]
    return {name: value for name, value in seen.items() if name not in NAMES or name.startswith(f"{loss}/")}


def picture(axes, answer):
    """The 27 cells, one row for each trick and loss, one column for each part."""
    from course_lib.lesson import plots  # here, as a check must not wait for matplotlib

    found = answer()
    rows = [(trick, loss) for trick in TRICKS for loss in LOSSES]
    cells = [[float(found.get(f"{loss}/{trick}/{part}", "nan")) for part in PARTS] for trick, loss in rows]
    colours = [plots.BACKWARD if heard == 1 else plots.PALE for row in cells for heard in row]  # nan: no such name
    names = [f"{loss}/{trick}" for trick, loss in rows]
    plots.draw_cells(axes, cells, colours, digits=0, rows=names, columns=PARTS)
    axes.set_aspect("auto")
    axes.tick_params(labelsize=8)
    for below in (2.5, 5.5):
        axes.axhline(below, color=plots.INK, linewidth=1)


MATRIX = Exercise(
    name="gradient_matrix",
    points=2,
    lesson="05_three_losses",
    reference=gradient_matrix,
    draw=draw_matrix,
    view=one_loss,
    picture=picture,
    mistakes=(
        Mistake(
            stops_swapped,
            "codebook loss and commitment loss have changed places: the first is to reach the codebook alone, the "
            "second the encoder alone. Are your two functions right, and called with the latents first?",
            "zoo 12",
        ),
        Mistake(
            losses_without_stops,
            "codebook loss and commitment loss reach encoder and codebook both: each wants one of them stopped",
            "zoo 12",
        ),
        Mistake(
            losses_of_straight_through,
            "the two losses were computed from the straight-through tensor, of which the codebook hears nothing: they "
            "want q itself, as it was looked up",
            "zoo 11",
        ),
        Mistake(
            losses_of_what_is_given,
            "the two losses were computed from what the decoder is given, so that they change with it: they want q "
            "itself, as it was looked up, in all three cases",
            "zoo 11",
        ),
        Mistake(
            nothing_left_to_send_back,
            "everything in one of the losses is detached, as in a codebook loss of the q.detach() that the decoder is "
            "given: the two losses want q itself, as it was looked up",
            "zoo 11",
        ),
        Mistake(
            loss_and_trick_swapped,
            'the names begin with the trick; the loss comes first, then the trick, then the part: "codebook/q/encoder"',
            "common",
        ),
        Mistake(
            straight_through_always,
            "the decoder is given the straight-through tensor in all three cases; in the other two it gets q, and "
            "q.detach()",
            "common",
        ),
        Mistake(
            trick_without_detach,
            "straight-through does here what q alone does: its gradient goes to the codebook and not around it",
            "zoo 21",
        ),
        Mistake(
            trick_detached_too_little,
            "straight-through lets the gradient through to q as well: the whole step from x to q has to be a constant",
            "zoo 21",
        ),
        Mistake(
            trick_ignored,
            "the decoder is given q in all three cases: what was prepared for the other two does not reach it",
            "mutation",
        ),
        Mistake(
            bare_q_taken_for_detached,
            "q and q.detach() are two cases, not one: q was looked up in the codebook, and the look-up has a gradient",
            "zoo 25",
        ),
        Mistake(
            detached_q_taken_for_bare,
            "q and q.detach() are two cases, not one: a detached q has no way back to the codebook",
            "zoo 25",
        ),
        Mistake(
            kept_from_run_to_run,
            "a part that heard one loss is said to hear all later ones: .backward() adds to .grad, and what an earlier "
            "run left there, or zeros written over it, was counted again",
            "common",
        ),
        Mistake(
            kept_from_trick_to_trick,
            "what a part heard under one trick is said of the next tricks too: .backward() adds to .grad, which was "
            "not cleared between them, or cleared to zeros that were counted",
            "common",
        ),
        Mistake(
            kept_from_loss_to_loss,
            "what a part heard of one loss is said of the next losses too: .backward() adds to .grad, which was "
            "not cleared between them, or cleared to zeros that were counted",
            "common",
        ),
        Mistake(
            everything_heard,
            "all 27 are True: either the sum of the losses was sent back, or a gradient was counted because it is "
            "there, though all of it is zero",
            "common",
        ),
    ),
    hints=(
        "What does the decoder get under each of the three names, and which two losses are none of its business? Then "
        "send one loss back, alone: how do you see, at the encoder's weight, whether anything arrived?",
        "The reconstruction is measured on what the decoder makes of `given`; the two other losses are made of x and q "
        "under every trick. torch.autograd.grad(loss, tensors, allow_unused=True) gives fresh gradients, None for a "
        "tensor that is not in the graph. With .backward(), .grad has to be None again before each run.",
        "given = one of (q - x).detach() + x, q, q.detach(); gradients = torch.autograd.grad(loss, "
        "list(parts.values()), retain_graph=..., allow_unused=...); a part hears the loss where its gradient is not "
        "None and has an element that is not zero",
    ),
)

EXERCISES = [CODEBOOK_LOSS, COMMITMENT_LOSS, MATRIX]
