"""Exercise 10: a residual block."""

from torch import Generator, nn

from course_lib.check.author import Call, Observation, exercise, normal, scattered


class ResidualBlock(nn.Module):
    """x + branch(x): (B, channels, H, W) -> the same shape. x itself stays as it was.

    branch: ReLU, 3 x 3 convolution to `residual_channels`, ReLU, 1 x 1 convolution
    back to `channels`; no biases, no normalisation.
    """

    def __init__(self, channels, residual_channels):
        super().__init__()
        ### BEGIN SOLUTION
        self.branch = nn.Sequential(
            nn.ReLU(),  # not in place: x is needed for the sum
            nn.Conv2d(channels, residual_channels, kernel_size=3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(residual_channels, channels, kernel_size=1, bias=False),
        )
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return x + self.branch(x)
        ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(channels, residual_channels, *shape, part="values", **more):
        x = more.pop("x", None)
        x = normal(generator, shape[0], channels, *shape[1:]) if x is None else x
        return Call((x,), ("x",), ("sum",), part, build=(channels, residual_channels), **more)

    return [
        call(4, 2, 1, 3, 3),  # without padding 1 x 1 is left, which still adds up
        call(3, 2, 2, 3, 4, differentiate=(0,)),
        call(2, 5, 2, 4, 3, part="odd sizes"),
        call(3, 3, 1, 1, 1, part="odd sizes", differentiate=(0,)),
        call(1, 1, 2, 1, 5, part="odd sizes"),
        call(4, 2, x=scattered(normal(generator, 5, 4, 2, 2)), part="odd sizes"),
        call(4, 2, 3, 3, 3, part="in eval mode", training=False),
        call(2, 3, 1, 2, 2, part="devices", elsewhere=True),
    ]


def without_numbers_of_its_own(call: Call, observation: Observation) -> Observation:
    """A block in which no parameter is found keeps its random weights: its numbers say nothing."""
    return {"parameters": "none"} if observation.get("parameters") == "none" else observation


WRONG = r"""
self.branch(x) -> self.branch(x.relu_())  # zoo 15
    the ReLU that opens the branch works in place: it overwrites x before the sum, and the skip path carries relu(x)
x + self.branch(x) -> x.relu() + self.branch(x)  # zoo 15
    the sum has relu(x) where x should be: what is below zero is lost on the skip path
x += self.branch(x)\nreturn x
    the result is right, but it was added into x itself: += changes the tensor that the caller handed over
return self.branch(x)
    this is the branch alone: what makes the block residual is the sum with x
return (x + self.branch(x)).relu()
    an activation follows the sum: after it no block can pass on anything below zero
padding=1, bias=False -> padding=1
kernel_size=1, bias=False -> kernel_size=1
    the convolutions have biases, more parameters than asked for: nn.Conv2d adds one unless told otherwise
padding=1, bias=False -> padding=1
    the 3 x 3 convolution has a bias: nn.Conv2d adds one unless told otherwise, in each layer
kernel_size=1, bias=False -> kernel_size=1
    the 1 x 1 convolution has a bias: nn.Conv2d adds one unless told otherwise, in each layer
padding=1, ->
    the 3 x 3 convolution has no padding: height and width shrink by 2, and the sum with x no longer fits (or, worse,
    is broadcast)
kernel_size=1 -> kernel_size=1, padding=1
    both convolutions are padded; 1 x 1 keeps height and width by itself, and with a padding they grow by 2
padding=1, ->
kernel_size=1 -> kernel_size=1, padding=1
    the padding stands at the 1 x 1 convolution, and adds a border of zeros there; the 3 x 3 one wants it
channels, residual_channels, kernel_size=3 -> residual_channels, channels, kernel_size=3
residual_channels, channels, kernel_size=1 -> channels, residual_channels, kernel_size=1
    a convolution meets another number of channels than it was made for: the first goes from `channels` to
    `residual_channels`, the second back
kernel_size=1 -> kernel_size=3, padding=1
channels, residual_channels, kernel_size=3, padding=1 -> channels, residual_channels, kernel_size=1
    the kernel sizes are swapped: 3 x 3 comes first and looks around, 1 x 1 comes second and goes back to `channels`
kernel_size=1 -> kernel_size=3, padding=1
    both convolutions are 3 x 3; the second, which only goes back to `channels`, is 1 x 1
nn.Conv2d(residual_channels, channels, kernel_size=1, bias=False), ->
channels, residual_channels, kernel_size=3 -> channels, channels, kernel_size=3
self.branch(x) -> self.branch[:2](x)
    the branch has one convolution; the 1 x 1 one is missing, and `residual_channels` with it
channels, residual_channels, kernel_size=3 -> channels, channels, kernel_size=3
residual_channels, channels, kernel_size=1 -> channels, channels, kernel_size=1
    the branch is `channels` wide throughout; between its two convolutions it has `residual_channels`
self.branch(x) -> self.branch[1:](x)
    the branch begins with a convolution; a ReLU opens it
self.branch(x) -> self.branch[3](self.branch[:2](x))
    no ReLU between the convolutions: two linear maps in a row are one linear map
self.branch(x) -> self.branch[3](self.branch[1:3](x)).relu()
    here each ReLU follows its convolution; in this block each comes before it
kernel_size=1, bias=False), -> kernel_size=1, bias=False),\nnn.ReLU(),
    the branch ends in a ReLU: it could only ever add, never take away
padding=1, bias=False), -> padding=1, bias=False),\nnn.BatchNorm2d(residual_channels),
kernel_size=1, bias=False), -> kernel_size=1, bias=False),\nnn.BatchNorm2d(channels),
    batch normalisation was added: the published block has none
padding=1, bias=False), -> padding=1, bias=False),\nnn.BatchNorm2d(residual_channels),
    batch normalisation was added between the convolutions: the published block has none
nn.Sequential( -> nn.Sequential(\n    nn.BatchNorm2d(channels),
padding=1, bias=False), -> padding=1, bias=False),\nnn.BatchNorm2d(residual_channels),
    batch normalisation was added before each ReLU: the published block has none
nn.Sequential( -> list([
kernel_size=1, bias=False), -> kernel_size=1, bias=False)]
self.branch(x) -> nn.Sequential(*self.branch)(x)
    no parameter is found, so none would be trained: nn.Module sees the layers that __init__ puts on self. Those made
    in forward are new at each call, and into a plain Python list it does not look
return x + self.branch[3](nn.functional.leaky_relu(self.branch[1](nn.functional.leaky_relu(x))))
    the activation lets a little of what is below zero through, as LeakyReLU does; the published block has another
return x + self.branch[3](nn.functional.gelu(self.branch[1](nn.functional.gelu(x))))
    the activation is GELU, or one as smooth as it; the published block has another
return x - self.branch(x)
    the branch was taken away from x; a residual block adds it
padding=1, -> padding=2, dilation=2,
    the 3 x 3 convolution is dilated: it looks at every second place, and not at the neighbours
return x.detach() + self.branch(x)
    the values are right, and the skip path is cut: the gradient is to come back by x itself too, not by the branch
    alone
"""

EXERCISE = exercise(
    ResidualBlock,
    lesson="10_cifar10_resnet",
    draw=draw,
    wrong=WRONG,
    view=without_numbers_of_its_own,
    hints=(
        "Four layers stand on the branch, none on the skip path. Which of the four could change x itself, so that the "
        "sum gets another x than came in?",
        "ReLU, 3 x 3 convolution to residual_channels (with a padding that keeps height and width), ReLU, 1 x 1 "
        "convolution back to channels; no biases. nn.Sequential registers the layers. forward adds what the branch "
        "gives to x, and nothing is changed in place.",
        "self.branch = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, ..., 3, padding=..., bias=False), nn.ReLU(), "
        "nn.Conv2d(..., channels, 1, bias=False)); and forward returns x + what the branch makes of x",
    ),
)
