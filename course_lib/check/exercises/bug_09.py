"""Exercise 15: training and evaluation."""

import torch
import torch.nn.functional as F
from torch import Generator, nn

from course_lib.check.author import Call, exercise, normal, number


class bug_09(nn.Module):
    """An EMA layer: latents (N, D) -> (vq (N, D), codes (N,), codebook (K, D), cluster_size (K,), embed_sum (K, D)).

    vq: the nearest codes, with the gradient of the latents. Then copies of the buffers, as they are after the call.
    In training mode each call moves the buffers, after the look-up. In evaluation mode no call does.
    """

    def __init__(self, dim, codebook_size, decay):
        super().__init__()
        self.decay = decay
        self.register_buffer("codebook", torch.randn(codebook_size, dim))
        self.register_buffer("cluster_size", torch.ones(codebook_size))
        self.register_buffer("embed_sum", self.codebook.clone())

    def forward(self, latents):
        codes = torch.cdist(latents, self.codebook).argmin(dim=1)  # (N,)
        vq = latents + (self.codebook[codes] - latents).detach()  # (N, D)
        ### BEGIN SOLUTION
        if self.training:
            ### END SOLUTION
            chosen = F.one_hot(codes, len(self.codebook)).to(latents.dtype)  # (N, K)
            self.cluster_size.mul_(self.decay).add_(chosen.sum(dim=0), alpha=1 - self.decay)
            self.embed_sum.mul_(self.decay).add_(chosen.T @ latents.detach(), alpha=1 - self.decay)
            self.codebook.copy_(self.embed_sum / self.cluster_size.clamp_min(1e-5).unsqueeze(1))
        return vq, codes, self.codebook.clone(), self.cluster_size.clone(), self.embed_sum.clone()


def draw(generator: Generator) -> list[Call]:
    gives = ("vq", "codes", "codebook", "cluster_size", "embed_sum")

    def call(n, dim, k, decay, training, part="values", differentiate=(0,), **more):
        names = ("training latents" if training else "evaluation latents",)
        build, seed = {"dim": dim, "codebook_size": k, "decay": decay}, number(generator, 0, 10**6)
        settings = {"build": build, "training": training, "differentiate": differentiate, "seed": seed}
        return Call((normal(generator, n, dim),), names, gives, part, **settings, **more)

    return [
        call(6, 2, 4, 0.9, False),
        call(6, 2, 4, 0.9, True, once_more=True),
        call(5, 3, 40, 0.5, True, differentiate=()),  # the last code is hardly ever chosen
        call(1, 1, 3, 0.99, False, "odd sizes", differentiate=()),
        call(5, 2, 3, 0.7, True, "training without gradients", differentiate=(), gradients=False),
        call(7, 2, 1, 0.8, True, "odd sizes", elsewhere=True),
    ]


WRONG = r"""
self.training -> torch.is_grad_enabled()  # zoo 22, planted
    the program does what it did. Put a layer into evaluation mode, call it, and compare its codebook before and after,
    outside of torch.no_grad()
self.training -> self.training and torch.is_grad_enabled()
    evaluation is right now; in training under no_grad the buffers still stand still: what has the gradient switch to
    do with it?
self.training -> True
    training is right, with gradients and without; in evaluation mode the codebook still moves
self.training -> latents.requires_grad
    whether the latents need a gradient says nothing about the mode: a frozen encoder in training gives latents that
    need none, and evaluation may see some that do
self.training -> not self.training
    the condition is turned round: now evaluation moves the codebook and training does not
self.training -> False
    evaluation changes nothing now, and neither does training: the codebook stands still
if self.training -> if True  # zoo 22
self.codebook.copy_ -> if self.training:\n    self.codebook.copy_
    the codebook stays in evaluation, its counts and sums do not: the next training step would show it
return vq, codes, self.codebook, self.cluster_size, self.embed_sum
    the buffers themselves were returned, and the next call writes into them: what was handed out changes with it.
    Copies were asked for
return vq -> vq = latents + (self.codebook[codes] - latents).detach()\nreturn vq  # zoo 13
    the mode is asked now, and the update has moved before the look-up: the vectors no longer are those that the codes
    were chosen from
"""

EXERCISE = exercise(
    bug_09,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "What does layer.eval() change in a module, and does forward look at that?",
        "Two switches are independent: the mode of a module (train, eval) and whether autograd records (no_grad). Many "
        "people use both in evaluation, so that one seems to do the work of the other.",
        "if self....: the attribute that .train() and .eval() set",
    ),
)
