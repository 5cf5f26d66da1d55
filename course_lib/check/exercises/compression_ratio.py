"""Exercise 01: how much smaller the codes are than the image."""

import math

from torch import Generator

from course_lib.check.author import Call, exercise, number
from course_lib.check.exercises.bits_per_image import bits_per_image, other_size, power_of_2, sides


def compression_ratio(image_shape, grid_shape, codebook_size):
    """Shape of a uint8 image, shape of its grid of codes, K -> bits of the image over bits of its codes: a float, not
    rounded.

    image_shape: a tuple: (28, 28) grey, (32, 32, 3) with colours, (25, 64, 64, 3) a video with colours.
    grid_shape: as above. codebook_size: from 2 on.
    """
    ### BEGIN SOLUTION
    return 8 * math.prod(image_shape) / bits_per_image(grid_shape, codebook_size)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(image_shape, grid_shape, codebook_size, part="values"):
        args = image_shape, grid_shape, codebook_size
        return Call(args, ("image_shape", "grid_shape", "codebook_size"), ("ratio",), part)

    shapes, sizes = "any shape", "any codebook size"
    height, width = number(generator, 20, 30), number(generator, 31, 40)
    return [
        call((28, 28), (number(generator, 2, 3), *sides(generator, 1)), power_of_2(generator)),
        call((height, width, 3), sides(generator, 2), power_of_2(generator), shapes),
        call((number(generator, 20, 30), height, width, 3), sides(generator, 3), power_of_2(generator), shapes),
        call((height, width), sides(generator, 1), power_of_2(generator), shapes),
        call((height, width, 3), (), power_of_2(generator), shapes),
        call((4, 5), (4, 5), 1024, shapes),  # the codes cost more than the image
        call((number(generator, 1, 4),), (20, *sides(generator, 2)), 1024, shapes),  # below 0.02
        call((28, 28), sides(generator, 2), other_size(generator), sizes),
        call((height, width, 3), sides(generator, 2), other_size(generator), sizes),
    ]


WRONG = r"""
8 * math.prod(image_shape) -> bits_per_image(image_shape, 8)
    8 was taken as the number of values, 3 bits each; a uint8 has 256 values, 8 bits
return bits_per_image(grid_shape, codebook_size) / (8 * math.prod(image_shape))
    the fraction stands upside down: the bits of the image go above, those of the codes below
8 * ->
    above stands the number of values of the image, not of its bits: what does one uint8 take?
math.prod(image_shape) -> image_shape[0] * image_shape[1]
    only the first two axes of the image were counted: colours, and the frames of a video, cost bits too
height, width = image_shape; return 8 * height * width / bits_per_image(grid_shape, codebook_size)
    this takes images of height and width alone: colours and video add axes to image_shape
8 * -> 24 *
    24 bits is a pixel with its three colours; image_shape counts the colours already, where there are any
8 * -> 32 *
    32 bits is the price of a float32; the images are uint8
return math.prod(image_shape) / math.prod(grid_shape)  # lesson 01
    this counts numbers over numbers, so a code costs as much as a pixel's value: it does for K = 256 alone
8 * -> 256 *
    256 is how many values a uint8 can have; how many bits tell them apart?
/ -> //
    the fraction was cut to a whole number: // drops what / keeps
return 1 - bits_per_image(grid_shape, codebook_size) / (8 * math.prod(image_shape))
    this is the share that is saved; asked for is how many times smaller the codes are
return round(8 * math.prod(image_shape) / bits_per_image(grid_shape, codebook_size), 2)
    the ratio was rounded; asked for is the ratio as it is
return max(1, 8 * math.prod(image_shape) / bits_per_image(grid_shape, codebook_size))
    the ratio was kept from falling below 1; codes can cost more than the image
bits_per_image(grid_shape, codebook_size) -> (math.prod(grid_shape) * math.ceil(math.log2(codebook_size)))
    each code was rounded up to whole bits; asked for is the ratio without rounding
bits_per_image(grid_shape, codebook_size) -> math.log2(codebook_size)
    below stand the bits of one code; the image has one at every place of the grid
"""

EXERCISE = exercise(
    compression_ratio,
    lesson="01_why_discrete",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Two prices, both in bits: which is the larger one as a rule, and which of the two does bits_per_image give "
        "you?",
        "An uncompressed image of uint8 spends the same number of bits on every value of every axis, colours and "
        "frames included. The ratio says how many times the price of the codes fits into that.",
        "image_bits = (bits of one uint8) * (the product over image_shape); return image_bits / (the bits of the "
        "codes)",
    ),
)
