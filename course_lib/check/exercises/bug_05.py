"""Exercise 15: a stack of residual layers."""

import torch.nn.functional as F
from torch import Generator, nn

from course_lib.check.author import Call, exercise, normal


class bug_05(nn.Module):
    """A stack of residual layers, each with weights of its own: (B, C, H, W) -> (B, C, H, W).

    A layer adds to its input what its branch makes of it: ReLU, 3x3 convolution to `hidden` channels, ReLU, 1x1
    convolution back. One more ReLU follows the stack.
    """

    def __init__(self, channels, hidden, layers):
        super().__init__()
        ### BEGIN SOLUTION
        self.branches = nn.ModuleList([self.branch(channels, hidden) for _ in range(layers)])
        ### END SOLUTION

    def branch(self, channels, hidden):
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, hidden, kernel_size=3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, kernel_size=1, bias=False),
        )

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return F.relu(x)


def draw(generator: Generator) -> list[Call]:
    def call(batch, channels, hidden, layers, size, part="values", **more):
        args = (normal(generator, batch, channels, *size),)
        build = {"channels": channels, "hidden": hidden, "layers": layers}
        return Call(args, ("x",), part=part, build=build, differentiate=(0,), **more)

    one, many = call(1, 2, 1, 1, (3, 1), part="odd sizes"), call(2, 1, 3, 4, (2, 3), part="odd sizes", elsewhere=True)
    return [call(2, 3, 2, 2, (3, 4)), one, many]


WRONG = r"""
hidden) for _ in range(layers)] -> hidden)] * layers  # zoo 14, planted
    the program does what it did. Count the parameters of a stack of one layer and of a stack of three
nn.ModuleList([ -> [
range(layers)]) -> range(layers)]
    the layers are separate now, and stand in a plain list: parameters() does not look into it, so an optimiser would
    get none of them
range(layers)]) -> range(layers)])\nfor branch in self.branches:\n    branch[1] = self.branches[0][1]  # zoo 14
    the 1x1 convolutions are separate, the 3x3 convolution is still one object in all layers
range(layers) -> range(layers + 1)
    there is one layer more than was asked for: does the first one count twice?
in self.branches: -> in [nn.Sequential(*self.branches)]:
    x is added once, around the whole stack; each layer adds its own input to what it computes
"""

EXERCISE = exercise(
    bug_05,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Change one weight of the first layer. Does the second layer change too? Python's `is` can tell.",
        "[layer] * 3 is a list of three names for one object. To have three objects, three have to be made.",
        "a list with one call of self.branch for each layer: [... for _ in range(layers)], inside nn.ModuleList",
    ),
    allowance=(1e-3, 1e-4),
)
