"""Exercise 04: the gradient goes around the look-up."""

import torch
from torch import Generator

from course_lib import quantize
from course_lib.check.exercises.drawing import SPATIAL, normal
from course_lib.check.judge import Exercise, Mistake
from course_lib.check.observe import Call


def draw(generator: Generator) -> list[Call]:
    def call(*shape, part="values", dtype=torch.float32, **more):
        latents, quantized = (normal(generator, *shape).to(dtype) for _ in range(2))
        return Call((latents, quantized), ("latents", "quantized"), part=part, differentiate=(0, 1), **more)

    plain = call(2, 3)
    odd = [call(2, 3, *spatial, part="odd sizes") for spatial in SPATIAL[1:]]
    return [plain, *odd, call(1, 1, part="odd sizes"), call(4, 2, dtype=torch.float64, part="dtypes", elsewhere=True)]


def nothing_detached(latents, quantized):
    return (quantized - latents) + latents


def quantized_detached(latents, quantized):
    return quantized.detach()


def other_term_detached(latents, quantized):
    return (quantized - latents) + latents.detach()


def roles_swapped(latents, quantized):
    return (latents - quantized).detach() + quantized


def latents_themselves(latents, quantized):
    return latents


def sign_turned(latents, quantized):
    return (latents - quantized).detach() + latents


def difference_forgotten(latents, quantized):
    return quantized.detach() + latents


def only_one_latents_detached(latents, quantized):
    return quantized + (latents - latents.detach())


def written_into_the_latents(latents, quantized):
    latents.data.copy_(quantized)
    return latents


MISTAKES = (
    Mistake(
        nothing_detached,
        "the gradient reaches q: which of the two terms should be detached? As it stands, x cancels out, and what is left is q",
        "zoo 21",
    ),
    Mistake(
        quantized_detached,
        "the values are right, and nobody gets a gradient: either all is detached, or x comes in once with plus and once "
        "with minus. One x must be left that autograd sees",
        "zoo 25",
    ),
    Mistake(
        other_term_detached,
        "the wrong term is detached: the gradient enters through q - x, so q gets it and x gets it with its sign turned",
        "zoo 21",
    ),
    Mistake(roles_swapped, "x and q have changed places: forward gives x, and the gradient goes to q", "common"),
    Mistake(latents_themselves, "this is x: the decoder would see what the encoder gave, not a code", "common"),
    Mistake(sign_turned, "x - q instead of q - x: adding it to x leads to 2 x - q, not to q", "common"),
    Mistake(
        difference_forgotten,
        "this adds x to q: what has to be added to x, so that the sum is q?",
        "common",
    ),
    Mistake(
        only_one_latents_detached,
        "x gets its gradient, and q gets one too: q enters the sum without .detach()",
        "zoo 21",
    ),
    Mistake(
        written_into_the_latents,
        "q was written into the encoder's output itself: who uses x afterwards, the commitment loss for one, finds q there",
        "common",
    ),
)

EXERCISES = [
    Exercise(
        name="straight_through",
        lesson="04_straight_through",
        reference=quantize.straight_through,
        draw=draw,
        mistakes=MISTAKES,
        hints=(
            "Forward you want q; backward you want the gradient that x would get. Which number must be added to x to get q, "
            "and should that number have a gradient?",
            "x + (q - x) is q. Autograd differentiates a sum term by term; a term behind .detach() counts as a constant. So: "
            "the one term that is to pass the gradient stays, the other becomes a constant.",
            "return x + constant, with constant = (what leads from x to q).detach()",
        ),
    )
]
