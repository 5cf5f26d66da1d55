"""Exercise 10: an error that can be compared between data sets."""

import torch
from torch import Generator
from torch.nn import functional as F

from course_lib.check.author import Call, exercise, normal, number, scattered


def normalized_mse(reconstruction, images, data_variance):
    """Two tensors of one shape, a number -> 0-d, with its gradient.

    The mean squared error over all elements, as a share of `data_variance`.
    """
    ### BEGIN SOLUTION
    return F.mse_loss(reconstruction, images) / data_variance
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    names, gives = ("reconstruction", "images", "data_variance"), ("error",)

    def call(shape, variance, part="values", dtype=torch.float32, **more):
        images, error = 2 + normal(generator, *shape).to(dtype), 0.5 * normal(generator, *shape).to(dtype)
        return Call((images + error, images, variance), names, gives, part, differentiate=(0,), **more)

    def variance():  # of order 1, and not near 1, where dividing, its root, and leaving it out are alike
        return number(generator, 3, 12) / 16

    images = normal(generator, 2, 3, 2, 2)
    perfect = Call((images, images, variance()), names, gives, "perfect")
    strides = scattered(normal(generator, 3, 2, 4, 4)), scattered(normal(generator, 3, 2, 4, 4)), variance()
    return [
        call((2, 1, 2, 3), variance()),
        perfect,
        call((1, 1, 1, 1), variance(), part="odd sizes"),
        *[call((4, 3, 5, 2), variance, part="odd sizes") for variance in (9.5, 0.002)],
        call((3, 7), variance(), part="odd sizes"),
        Call(strides, names, gives, "odd sizes"),
        call((2, 3, 2, 2), variance(), part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


WRONG = r"""
/ data_variance ->
    this is the mean squared error as it is; data_variance has not been used
/ data_variance -> / data_variance**0.5
    divided by the standard deviation: a squared error and a variance are both squares, a standard deviation is not
/ data_variance -> / data_variance**2
    divided by the variance twice, or squared: a variance is a square already
/ data_variance -> * data_variance
    multiplied by the variance; a share of something is a quotient
return data_variance / F.mse_loss(reconstruction, images)
    the ratio is turned round: a better reconstruction has to give a smaller number
/ data_variance -> / images.var()  # lesson 10
    divided by the variance of this batch: another batch would be measured with another scale. data_variance is one
    number for the whole data set
/ data_variance -> / images.square().mean()
    divided by the mean square of the images, which counts their brightness too; data_variance is given
images) -> images, reduction="sum")
    the squared errors were added up: the result grows with the batch. Wanted is their mean over all elements
return (reconstruction - images).square().flatten(1).sum(1).mean() / data_variance  # zoo 20
    the mean was taken over the images alone, within an image the errors were added up; wanted is the mean over all
    elements
return (reconstruction - images).square().flatten(1).mean(1) / data_variance
    one number for each image came; wanted is one for the batch, the mean over all elements
return (F.mse_loss(reconstruction, images) / data_variance).sqrt()
    a root was taken of the ratio: the share is one of variances, which are squares
images) / -> images).sqrt() /
    a root was taken of the error and none of the variance: the two are no longer in the same unit
F.mse_loss -> F.l1_loss
    absolute differences; wanted are squared ones
images) -> images, reduction="none")
    the mean is missing: one number for each pixel came
return F.mse_loss -> return 1 - F.mse_loss
    this is the share that was explained; wanted is the share that was missed, 0 for perfection
images) / -> images).item() /  # zoo 22
    .item() makes a plain number of the error, and a loss has to carry its gradient back to the model
F.mse_loss(reconstruction, -> F.mse_loss(reconstruction.detach(),  # zoo 22
    the number is right, but nothing can be learnt from it: where was the graph cut?
"""

EXERCISE = exercise(
    normalized_mse,
    lesson="10_cifar10_resnet",
    draw=draw,
    wrong=WRONG,
    hints=(
        "A model that always answers with the mean of the data makes a mean squared error of ... what? And which "
        "number should it get here?",
        "The mean of the squared differences over every element of the batch, as F.mse_loss has it, as a share of "
        "data_variance. Both are squares of pixel values, so the quotient has no unit.",
        "the mean squared error, one 0-d tensor with its gradient, over data_variance",
    ),
)
