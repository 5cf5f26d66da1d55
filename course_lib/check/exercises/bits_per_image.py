"""Exercise 01: what an image costs in bits."""

import math

from torch import Generator

from course_lib.check.author import Call, exercise, number

NO_POWERS_OF_2 = [3, 5, 6, 7, 10, 11, 12, 20, 100, 300, 1000]  # log2 of each is far enough from a whole number


def bits_per_image(grid_shape, codebook_size):
    """Shape of the grid of codes, number of codes K -> bits to write one image down: a float, not rounded.

    grid_shape: a tuple of any length: (H, W) for images, (T,) for sound, (T, H, W) for video, () for one single code.
    codebook_size: any whole number from 1 on.
    """
    ### BEGIN SOLUTION
    return math.prod(grid_shape) * math.log2(codebook_size)
    ### END SOLUTION


def power_of_2(generator: Generator) -> int:
    return 2 ** number(generator, 3, 10)


def other_size(generator: Generator) -> int:
    return NO_POWERS_OF_2[number(generator, 0, len(NO_POWERS_OF_2) - 1)]


def sides(generator: Generator, count: int) -> tuple[int, ...]:
    return tuple(number(generator, 4, 9) for _ in range(count))


def draw(generator: Generator) -> list[Call]:
    def call(grid_shape, codebook_size, part="values"):
        return Call((grid_shape, codebook_size), ("grid_shape", "codebook_size"), ("bits",), part)

    axes, sizes = "any number of axes", "any codebook size"
    return [
        call((number(generator, 2, 3), *sides(generator, 1)), power_of_2(generator)),
        call(sides(generator, 1), power_of_2(generator), axes),
        call(sides(generator, 3), power_of_2(generator), axes),
        call((number(generator, 60, 90), 16, 16), 1024, axes),
        call((), power_of_2(generator), axes),
        call(sides(generator, 2), other_size(generator), sizes),
        call(sides(generator, 1), other_size(generator), sizes),
        call((4,), 5, sizes),  # 9.29 bits, and ...
        call((5,), 6, sizes),  # ... 12.92: what rounds to the nearest goes down and up, and so it does for one code
        call(sides(generator, 2), 2, sizes),
        call(sides(generator, 2), 1, sizes),
    ]


WRONG = r"""
math.log2(codebook_size) -> codebook_size
    a choice among K codes was counted as K bits; each further bit doubles what it can tell apart
math.log2 -> math.log
    the logarithm is the natural one, so this counts nats; bits need base 2
math.prod -> sum
    the lengths of the axes were added up; a grid of 4 by 5 has 20 places, not 9
height, width = grid_shape; return height * width * math.log2(codebook_size)
    this takes a grid of height and width alone: codes of a sound have one axis, of a video three
math.prod(grid_shape) -> grid_shape[0] * math.prod(grid_shape[1:])
    a grid without axes, (), is one place with one code; there is no first axis to begin with
math.log2(codebook_size) -> math.log2(codebook_size) if grid_shape else 0
    an empty shape, (), is one place with one code, not none: the product of no lengths is 1
math.log2(codebook_size) -> max(1, math.log2(codebook_size))
    a code was given one bit at least; with K = 1 there is nothing to tell apart, which costs 0 bits
math.log2(codebook_size) -> math.ceil(math.log2(codebook_size))
    each code was rounded up to whole bits; asked for is the price without rounding, a fraction where K is no power
    of 2
math.log2(codebook_size) -> int(math.log2(codebook_size))
    each code was rounded down to whole bits: K codes cannot be told apart with so few where K is no power of 2
math.log2(codebook_size) -> round(math.log2(codebook_size))
    each code was rounded to the nearest whole number of bits; asked for is the price without rounding
return math.ceil(math.prod(grid_shape) * math.log2(codebook_size))
    the sum was rounded up to whole bits; asked for is the price without rounding
return round(math.prod(grid_shape) * math.log2(codebook_size))
    the sum was rounded to the nearest whole number of bits; asked for is the price without rounding
return int(math.prod(grid_shape) * math.log2(codebook_size))
    the sum was rounded down to whole bits; asked for is the price without rounding
math.log2(codebook_size) -> codebook_size.bit_length()
    this counts the binary digits of K itself; the codes run from 0 to K - 1, and the price is not rounded
math.prod(grid_shape) * ->
    these are the bits of one code; an image has one at every place of the grid
return codebook_size ** math.prod(grid_shape)  # lesson 01
    this is how many different pictures there are; the bits say which one of them it is
math.log2(codebook_size) -> math.log2(codebook_size) / 8
    these are bytes: bits were asked for, 8 times as many
math.log2 -> math.log10
    the logarithm is to base 10; a bit tells two things apart
math.prod(grid_shape) -> math.prod(grid_shape[:2])
    the first two axes alone were counted; a video's codes have a third
math.prod(grid_shape) -> math.prod(grid_shape[1:])
    the first axis was left out, as if it were the batch; grid_shape is the shape of one image's codes
"""

EXERCISE = exercise(
    bits_per_image,
    lesson="01_why_discrete",
    draw=draw,
    wrong=WRONG,
    hints=(
        "How many places has the grid, whatever its number of axes, and how many yes-or-no questions does it take to "
        "find one code among K?",
        "The places choose independently, so their prices add up. One choice among K costs the logarithm of K to base "
        "2, which is a fraction where K is no power of 2.",
        "places = the product over grid_shape (math.prod, which gives 1 for an empty one); return places * (bits of "
        "one code)",
    ),
)
