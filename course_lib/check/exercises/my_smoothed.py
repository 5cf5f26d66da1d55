"""Lesson 06: counts that no division by zero can reach."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise


def my_smoothed(cluster_size, eps):
    """(K,) counts -> (K,): every count raised by eps, then all scaled alike, back to the total that they had."""
    ### BEGIN SOLUTION
    raised = cluster_size + eps  # (K,)
    return raised * (cluster_size.sum() / raised.sum())  # (K,)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(k, eps, part="values", empty=0, dtype=torch.float32, **more):
        counts = 0.5 + 4 * torch.rand(k, generator=generator, dtype=torch.float64)
        counts[:empty] = 0.0
        return Call((counts.to(dtype), eps), ("cluster_size", "eps"), ("smoothed",), part, **more)

    return [
        call(3, 1.0),
        call(5, 0.3, part="empty counts", empty=2),
        call(4, 1e-5, part="empty counts", empty=1),
        call(1, 0.5, part="odd sizes"),
        call(6, 0.2, part="dtypes", empty=1, dtype=torch.float64, elsewhere=True),
    ]


WRONG = r"""
return raised
    each count grew by eps, and so did the total, K times: scale all of them back to the total that they had
raised = cluster_size + eps -> raised = cluster_size.clamp_min(eps)
    only counts below eps were raised; smoothing raises every count by eps
raised = cluster_size + eps -> raised = cluster_size + 1e-5
    the argument eps has no part in this: a fixed number takes its place
raised = cluster_size + eps -> raised = cluster_size.add_(eps)
    += wrote into the counts that were handed in, so no total from before is left to scale back to: raise a copy, and
    take the total from the counts as they came
raised = cluster_size + eps -> n = cluster_size.sum()\nraised = cluster_size.add_(eps)
(cluster_size.sum() / -> (n /
    the result is right, and the counts that were handed in were changed: cluster_size + eps makes new ones
return raised / raised.sum()
    these are shares that add up to 1; smoothed counts add up to the total of the counts
cluster_size.sum() / raised.sum() -> raised.sum() / cluster_size.sum()
    the scale is upside down: the raised counts add up to too much, so the factor is below 1
raised.sum() -> (cluster_size.sum() + eps)
    each of the K counts grew by eps, so their total grew by K eps, not by one
return raised * -> return cluster_size *
    the counts were scaled without being raised, so an empty one is still 0
cluster_size.sum() / raised.sum() -> len(cluster_size) / raised.sum()
    these add up to K; the total that they had is the sum of the counts
"""

EXERCISE = exercise(
    my_smoothed,
    lesson="06_ema_updates",
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Raise every count by eps. By how much is the total too large now?",
        "One factor for all of them brings it back: the total before, divided by the total after.",
        "raised = cluster_size + eps; return raised * (... / raised.sum())",
    ),
)
