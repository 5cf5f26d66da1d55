"""Exercise 05: the loss that only the encoder hears."""

from course_lib.check.author import exercise
from course_lib.check.exercises.codebook_loss import IN_BOTH, draw


def commitment_loss(latents, quantized):
    """(B, D, *S), the same -> 0-d: the mean over all elements of (x - q)^2. Its gradient reaches `latents` alone."""
    ### BEGIN SOLUTION
    return (latents - quantized.detach()).square().mean()
    ### END SOLUTION


WRONG = r"""
latents - quantized.detach() -> latents.detach() - quantized  # zoo 12
    the value is right, and the gradient reaches quantized in place of latents: that is the codebook loss
.detach() ->  # zoo 12
    the value is right, and both sides hear it: the codes would be pulled with the weight that is meant for the
    encoder. Whose gradient has to be stopped?
latents - -> latents.detach() -  # zoo 12
    the value is right, and nobody hears it: either both sides are detached, or x is on both sides and cancels, as it
    does against the straight-through value. Which of the two sides is to walk?
return -> return 0.25 *  # zoo 10
    this is a quarter of the commitment loss: the weight beta is applied outside, where the losses are added up
return (latents - quantized.detach()).square().mean() + (latents.detach() - quantized).square().mean()
    this is both losses in one: the part that pulls quantized to latents is the codebook loss
"""

EXERCISE = exercise(
    commitment_loss,
    lesson="05_three_losses",
    draw=draw,
    wrong=WRONG + IN_BOTH,
    hints=(
        "Its value is that of the codebook loss. What, then, can be different about it?",
        "Here the encoder commits itself: latents walk, codes stand still. The stop-gradient is on the other side.",
        "the codebook loss with its two arguments exchanged, or the same line with the other one behind .detach()",
    ),
)
