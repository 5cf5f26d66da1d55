"""Exercise 15: the end of an encoder."""

from torch import Generator, nn

from course_lib.check.author import Call, exercise, normal


class bug_13(nn.Module):
    """The end of an encoder, a convolution and a residual block: (B, C, H, W) -> (B, hidden, H, W).

    The block adds to its input y what its branch makes of y: ReLU, 3x3 convolution to `narrow` channels, ReLU, 1x1
    convolution back. Numbers below 0 in y pass on the way around the branch.
    """

    def __init__(self, channels, hidden, narrow):
        super().__init__()
        self.enter = nn.Conv2d(channels, hidden, kernel_size=3, padding=1)
        self.branch = nn.Sequential(
            ### BEGIN SOLUTION
            nn.ReLU(),
            ### END SOLUTION
            nn.Conv2d(hidden, narrow, kernel_size=3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, hidden, kernel_size=1, bias=False),
        )

    def forward(self, x):
        y = self.enter(x)  # (B, hidden, H, W)
        return y + self.branch(y)


def draw(generator: Generator) -> list[Call]:
    def call(batch, channels, hidden, narrow, size, part="values", **more):
        args = (normal(generator, batch, channels, *size),)
        build = {"channels": channels, "hidden": hidden, "narrow": narrow}
        return Call(args, ("x",), part=part, build=build, differentiate=(0,), **more)

    odd = [call(1, 1, 3, 2, (1, 5), part="odd sizes"), call(3, 2, 1, 3, (2, 2), part="odd sizes", elsewhere=True)]
    return [call(2, 2, 3, 4, (3, 4)), *odd]


WRONG = r"""
nn.ReLU(), -> nn.ReLU(inplace=True),  # zoo 15, planted
    the program does what it did. In forward, print y.min() before the branch runs and once more after it
nn.ReLU(), ->
    the skip path is right now, and the branch no longer opens with a ReLU: the promise has two
return y -> return y.detach()
    the values are right; the copy for the skip path was cut from the graph, so enter hears of the loss through the
    branch alone
return self.branch(y)
    this is the branch alone; what it makes is to be added to its input
return (y + self.branch(y)).relu()
    negative numbers are still cut off, after the sum now: they are to pass
"""

EXERCISE = exercise(
    bug_13,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Set the weights of the last convolution to 0. What does the program give then, and what should it give?",
        "y + branch(y) uses one tensor twice. If the branch writes into the memory of its input, the other use sees "
        "what was written.",
        "nn.ReLU(...) at the opening of the branch: which argument makes it write into its input?",
    ),
    allowance=(1e-3, 1e-4),
)
