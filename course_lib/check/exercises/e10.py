"""Exercise 10: a residual block, and an error that can be compared between data sets."""

import torch
from torch import Generator, nn
from torch.nn import functional as F

from course_lib import models, recipes
from course_lib.check.exercises.drawing import normal, number, scattered
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call

# ----------------------------------------------------------------------------------------------------------------------
# ResidualBlock


def draw_block(generator: Generator) -> list[Call]:
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


def without_numbers_of_its_own(call: Call, seen: Observation) -> Observation:
    """A block in which no parameter is found keeps its random weights: its numbers say nothing."""
    return {"parameters": "none"} if seen.get("parameters") == "none" else seen


class Block(nn.Module):
    """Right; the mistakes below change one thing in it."""

    def __init__(self, channels, residual_channels):
        super().__init__()
        self.branch = nn.Sequential(*self.layers(channels, residual_channels))

    def layers(self, channels, hidden):
        return [
            nn.ReLU(),
            nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
        ]

    def forward(self, x):
        return x + self.branch(x)


class InPlaceReLU(Block):
    def layers(self, channels, hidden):
        return [nn.ReLU(inplace=True), *super().layers(channels, hidden)[1:]]


class SkipAfterReLU(Block):
    def forward(self, x):
        x = F.relu(x)
        return x + self.branch(x)


class SummedInPlace(Block):
    def forward(self, x):
        x += self.branch(x)
        return x


class NoSkip(Block):
    def forward(self, x):
        return self.branch(x)


class ActivatedAfterTheSum(Block):
    def forward(self, x):
        return F.relu(x + self.branch(x))


class WithBias(Block):
    def layers(self, channels, hidden):
        return [nn.ReLU(), nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)]


class BiasInTheFirst(Block):
    def layers(self, channels, hidden):
        return [nn.ReLU(), nn.Conv2d(channels, hidden, 3, padding=1), *super().layers(channels, hidden)[2:]]


class BiasInTheSecond(Block):
    def layers(self, channels, hidden):
        return [*super().layers(channels, hidden)[:3], nn.Conv2d(hidden, channels, 1)]


class WithoutPadding(Block):
    def layers(self, channels, hidden):
        first = nn.Conv2d(channels, hidden, 3, bias=False)
        return [nn.ReLU(), first, nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)]


class PaddedTwice(Block):
    def layers(self, channels, hidden):
        return [*super().layers(channels, hidden)[:3], nn.Conv2d(hidden, channels, 1, padding=1, bias=False)]


class PaddingInTheSecond(Block):
    def layers(self, channels, hidden):
        first = nn.Conv2d(channels, hidden, 3, bias=False)
        return [nn.ReLU(), first, nn.ReLU(), nn.Conv2d(hidden, channels, 1, padding=1, bias=False)]


class ChannelsSwapped(Block):
    def layers(self, channels, hidden):
        return super().layers(hidden, channels)


class KernelsSwapped(Block):
    def layers(self, channels, hidden):
        first = nn.Conv2d(channels, hidden, 1, bias=False)
        return [nn.ReLU(), first, nn.ReLU(), nn.Conv2d(hidden, channels, 3, padding=1, bias=False)]


class TwiceThreeByThree(Block):
    def layers(self, channels, hidden):
        return [*super().layers(channels, hidden)[:3], nn.Conv2d(hidden, channels, 3, padding=1, bias=False)]


class OneConvolution(Block):
    def layers(self, channels, hidden):
        return [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False)]


class FullWidth(Block):
    def layers(self, channels, hidden):
        return super().layers(channels, channels)


class FirstReLUMissing(Block):
    def layers(self, channels, hidden):
        return super().layers(channels, hidden)[1:]


class SecondReLUMissing(Block):
    def layers(self, channels, hidden):
        first, second, _, last = super().layers(channels, hidden)
        return [first, second, last]


class ReLUAfterConvolution(Block):
    def layers(self, channels, hidden):
        first, second, third, last = super().layers(channels, hidden)
        return [second, first, last, third]


class BranchActivated(Block):
    def layers(self, channels, hidden):
        return [*super().layers(channels, hidden), nn.ReLU()]


class Normalised(Block):
    def layers(self, channels, hidden):
        first, second, third, last = super().layers(channels, hidden)
        return [first, second, nn.BatchNorm2d(hidden), third, last, nn.BatchNorm2d(channels)]


class NormalisedBetween(Block):
    def layers(self, channels, hidden):
        first, second, third, last = super().layers(channels, hidden)
        return [first, second, nn.BatchNorm2d(hidden), third, last]


class NormalisedBeforeEach(Block):
    def layers(self, channels, hidden):
        first, second, third, last = super().layers(channels, hidden)
        return [nn.BatchNorm2d(channels), first, second, nn.BatchNorm2d(hidden), third, last]


class InAPlainList(Block):
    def __init__(self, channels, residual_channels):
        nn.Module.__init__(self)
        self.branch = self.layers(channels, residual_channels)

    def forward(self, x):
        h = x
        for layer in self.branch:
            h = layer(h)
        return x + h


BLOCK = Exercise(
    name="ResidualBlock",
    lesson="10_cifar10_resnet",
    reference=models.ResidualBlock,
    draw=draw_block,
    view=without_numbers_of_its_own,
    mistakes=(
        Mistake(
            InPlaceReLU,
            "the ReLU that opens the branch works in place: it overwrites x before the sum, and the skip path "
            "carries relu(x)",
            "zoo 15",
        ),
        Mistake(
            SkipAfterReLU,
            "the sum has relu(x) where x should be: what is below zero is lost on the skip path",
            "zoo 15",
        ),
        Mistake(
            SummedInPlace,
            "the result is right, but it was added into x itself: += changes the tensor that the caller handed over",
            "common",
        ),
        Mistake(NoSkip, "this is the branch alone: what makes the block residual is the sum with x", "common"),
        Mistake(
            ActivatedAfterTheSum,
            "an activation follows the sum: after it no block can pass on anything below zero",
            "common",
        ),
        Mistake(
            WithBias,
            "the convolutions have biases, more parameters than asked for: nn.Conv2d adds one unless told otherwise",
            "common",
        ),
        Mistake(
            BiasInTheFirst,
            "the 3 x 3 convolution has a bias: nn.Conv2d adds one unless told otherwise, in each layer",
            "common",
        ),
        Mistake(
            BiasInTheSecond,
            "the 1 x 1 convolution has a bias: nn.Conv2d adds one unless told otherwise, in each layer",
            "common",
        ),
        Mistake(
            WithoutPadding,
            "the 3 x 3 convolution has no padding: height and width shrink by 2, and the sum with x no longer "
            "fits (or, worse, is broadcast)",
            "common",
        ),
        Mistake(
            PaddedTwice,
            "both convolutions are padded; 1 x 1 keeps height and width by itself, and with a padding they grow by 2",
            "common",
        ),
        Mistake(
            PaddingInTheSecond,
            "the padding stands at the 1 x 1 convolution, and adds a border of zeros there; the 3 x 3 one wants it",
            "common",
        ),
        Mistake(
            ChannelsSwapped,
            "a convolution meets another number of channels than it was made for: the first goes from `channels` to "
            "`residual_channels`, the second back",
            "common",
        ),
        Mistake(
            KernelsSwapped,
            "the kernel sizes are swapped: 3 x 3 comes first and looks around, 1 x 1 comes second and goes back"
            " to `channels`",
            "common",
        ),
        Mistake(
            TwiceThreeByThree,
            "both convolutions are 3 x 3; the second, which only goes back to `channels`, is 1 x 1",
            "common",
        ),
        Mistake(
            OneConvolution,
            "the branch has one convolution; the 1 x 1 one is missing, and `residual_channels` with it",
            "common",
        ),
        Mistake(
            FullWidth,
            "the branch is `channels` wide throughout; between its two convolutions it has `residual_channels`",
            "common",
        ),
        Mistake(FirstReLUMissing, "the branch begins with a convolution; a ReLU opens it", "common"),
        Mistake(
            SecondReLUMissing, "no ReLU between the convolutions: two linear maps in a row are one linear map", "common"
        ),
        Mistake(
            ReLUAfterConvolution, "here each ReLU follows its convolution; in this block each comes before it", "common"
        ),
        Mistake(BranchActivated, "the branch ends in a ReLU: it could only ever add, never take away", "common"),
        Mistake(Normalised, "batch normalisation was added: the published block has none", "common"),
        Mistake(
            NormalisedBetween,
            "batch normalisation was added between the convolutions: the published block has none",
            "common",
        ),
        Mistake(
            NormalisedBeforeEach,
            "batch normalisation was added before each ReLU: the published block has none",
            "common",
        ),
        Mistake(
            InAPlainList,
            "the layers stand in a plain Python list, which nn.Module does not look into: no parameter is "
            "found, so none would be trained",
            "common",
        ),
    ),
    hints=(
        "Four layers stand on the branch, none on the skip path. Which of the four could change x itself, so that the"
        " sum gets another x than came in?",
        "ReLU, 3 x 3 convolution to residual_channels (with a padding that keeps height and width), ReLU, 1 x 1 "
        "convolution back to channels; no biases. nn.Sequential registers the layers. forward adds what the branch "
        "gives to x, and nothing is changed in place.",
        "self.branch = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, ..., 3, padding=..., bias=False), nn.ReLU(), "
        "nn.Conv2d(..., channels, 1, bias=False)); and forward returns x + what the branch makes of x",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# normalized_mse


def draw_error(generator: Generator) -> list[Call]:
    def call(shape, variance, part="values", dtype=torch.float32, **more):
        images, error = 2 + normal(generator, *shape).to(dtype), 0.5 * normal(generator, *shape).to(dtype)
        args = images + error, images, variance
        return Call(args, ("reconstruction", "images", "data_variance"), ("error",), part, differentiate=(0,), **more)

    def variance():  # of order 1, and not near 1, where dividing, its root, and leaving it out are alike
        return number(generator, 3, 12) / 16

    images = normal(generator, 2, 3, 2, 2)
    perfect = Call((images, images, variance()), ("reconstruction", "images", "data_variance"), ("error",), "perfect")
    strides = scattered(normal(generator, 3, 2, 4, 4)), scattered(normal(generator, 3, 2, 4, 4)), variance()
    return [
        call((2, 1, 2, 3), variance()),
        perfect,
        call((1, 1, 1, 1), variance(), part="odd sizes"),
        call((4, 3, 5, 2), 9.5, part="odd sizes"),
        call((3, 7), variance(), part="odd sizes"),
        Call(strides, ("reconstruction", "images", "data_variance"), ("error",), "odd sizes"),
        call((2, 3, 2, 2), variance(), part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def not_normalized(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction, images)


def divided_by_deviation(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction, images) / data_variance**0.5


def divided_by_squared_variance(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction, images) / data_variance**2


def multiplied(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction, images) * data_variance


def ratio_reversed(reconstruction, images, data_variance):
    return data_variance / F.mse_loss(reconstruction, images)


def variance_of_the_batch(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction, images) / images.var()


def squares_of_the_images(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction, images) / images.square().mean()


def summed(reconstruction, images, data_variance):
    return (reconstruction - images).square().sum() / data_variance


def summed_over_an_image(reconstruction, images, data_variance):
    return (reconstruction - images).square().flatten(1).sum(1).mean() / data_variance


def one_for_each_image(reconstruction, images, data_variance):
    return (reconstruction - images).square().flatten(1).mean(1) / data_variance


def root_taken(reconstruction, images, data_variance):
    return (F.mse_loss(reconstruction, images) / data_variance).sqrt()


def root_over_variance(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction, images).sqrt() / data_variance


def absolute_differences(reconstruction, images, data_variance):
    return F.l1_loss(reconstruction, images) / data_variance


def not_averaged(reconstruction, images, data_variance):
    return (reconstruction - images).square() / data_variance


def share_explained(reconstruction, images, data_variance):
    return 1 - F.mse_loss(reconstruction, images) / data_variance


def plain_number(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction, images).item() / data_variance


def without_gradient(reconstruction, images, data_variance):
    return F.mse_loss(reconstruction.detach(), images) / data_variance


ERROR = Exercise(
    name="normalized_mse",
    lesson="10_cifar10_resnet",
    reference=recipes.normalized_mse,
    draw=draw_error,
    mistakes=(
        Mistake(not_normalized, "this is the mean squared error as it is; data_variance has not been used", "common"),
        Mistake(
            divided_by_deviation,
            "divided by the standard deviation: a squared error and a variance are both squares, a standard "
            "deviation is not",
            "common",
        ),
        Mistake(
            divided_by_squared_variance,
            "divided by the variance twice, or squared: a variance is a square already",
            "common",
        ),
        Mistake(multiplied, "multiplied by the variance; a share of something is a quotient", "common"),
        Mistake(
            ratio_reversed, "the ratio is turned round: a better reconstruction has to give a smaller number", "common"
        ),
        Mistake(
            variance_of_the_batch,
            "divided by the variance of this batch: another batch would be measured with another scale. "
            "data_variance is one number for the whole data set",
            "lesson 10",
        ),
        Mistake(
            squares_of_the_images,
            "divided by the mean square of the images, which counts their brightness too; data_variance is given",
            "common",
        ),
        Mistake(
            summed,
            "the squared errors were added up: the result grows with the batch. Wanted is their mean over all elements",
            "common",
        ),
        Mistake(
            summed_over_an_image,
            "the mean was taken over the images alone, within an image the errors were added up; wanted is the "
            "mean over all elements",
            "zoo 20",
        ),
        Mistake(
            one_for_each_image,
            "one number for each image came; wanted is one for the batch, the mean over all elements",
            "common",
        ),
        Mistake(
            root_taken, "a root was taken of the ratio: the share is one of variances, which are squares", "common"
        ),
        Mistake(
            root_over_variance,
            "a root was taken of the error and none of the variance: the two are no longer in the same unit",
            "common",
        ),
        Mistake(absolute_differences, "absolute differences; wanted are squared ones", "common"),
        Mistake(not_averaged, "the mean is missing: one number for each pixel came", "common"),
        Mistake(
            share_explained,
            "this is the share that was explained; wanted is the share that was missed, 0 for perfection",
            "common",
        ),
        Mistake(
            plain_number,
            ".item() makes a plain number of the error, and a loss has to carry its gradient back to the model",
            "zoo 22",
        ),
        Mistake(
            without_gradient,
            "the number is right, but nothing can be learnt from it: where was the graph cut?",
            "zoo 22",
        ),
    ),
    hints=(
        "A model that always answers with the mean of the data makes a mean squared error of ... what? And which "
        "number should it get here?",
        "The mean of the squared differences over every element of the batch, as F.mse_loss has it, as a share of "
        "data_variance. Both are squares of pixel values, so the quotient has no unit.",
        "the mean squared error, one 0-d tensor with its gradient, over data_variance",
    ),
)

EXERCISES = [BLOCK, ERROR]
