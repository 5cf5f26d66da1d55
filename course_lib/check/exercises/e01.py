"""Exercise 01: what an image costs in bits, and how much smaller that is than the image."""

import math

from torch import Generator

from course_lib.check.exercises.drawing import number
from course_lib.check.judge import Exercise, Mistake
from course_lib.check.observe import Call

NO_POWERS_OF_2 = [3, 5, 6, 7, 10, 11, 12, 20, 100, 300, 1000]  # log2 of each is far enough from a whole number


def bits_per_image(grid_shape: tuple[int, ...], codebook_size: int) -> float:
    """Shape of the grid of codes, K -> bits, not rounded: the number of places times log2 K, as in lesson 01."""
    return math.prod(grid_shape) * math.log2(codebook_size)


def compression_ratio(image_shape: tuple[int, ...], grid_shape: tuple[int, ...], codebook_size: int) -> float:
    """Shape of a uint8 image, shape of its grid of codes, K -> bits of the image over bits of the codes."""
    return 8 * math.prod(image_shape) / bits_per_image(grid_shape, codebook_size)


def power_of_2(generator: Generator) -> int:
    return 2 ** number(generator, 3, 10)


def other_size(generator: Generator) -> int:
    return NO_POWERS_OF_2[number(generator, 0, len(NO_POWERS_OF_2) - 1)]


# ----------------------------------------------------------------------------------------------------------------------
# bits_per_image


def draw_bits(generator: Generator) -> list[Call]:
    def call(grid_shape, codebook_size, part="values"):
        return Call((grid_shape, codebook_size), ("grid_shape", "codebook_size"), ("bits",), part)

    def side() -> int:
        return number(generator, 4, 9)

    axes, sizes = "any number of axes", "any codebook size"
    return [
        call((number(generator, 2, 3), side()), power_of_2(generator)),
        call((side(),), power_of_2(generator), axes),
        call((side(), side(), side()), power_of_2(generator), axes),
        call((number(generator, 60, 90), 16, 16), 1024, axes),
        call((), power_of_2(generator), axes),
        call((side(), side()), other_size(generator), sizes),
        call((side(),), other_size(generator), sizes),
        call((4,), 5, sizes),  # 9.29 bits, and ...
        call((5,), 6, sizes),  # ... 12.92: what rounds to the nearest goes down and up, and so it does for one code
        call((side(), side()), 2, sizes),
        call((side(), side()), 1, sizes),
    ]


def codebook_size_for_its_logarithm(grid_shape, codebook_size):
    return math.prod(grid_shape) * codebook_size


def nats(grid_shape, codebook_size):
    return math.prod(grid_shape) * math.log(codebook_size)


def axes_added(grid_shape, codebook_size):
    return sum(grid_shape) * math.log2(codebook_size)


def two_axes_only(grid_shape, codebook_size):
    height, width = grid_shape
    return height * width * math.log2(codebook_size)


def a_first_axis_expected(grid_shape, codebook_size):
    places = grid_shape[0]
    for length in grid_shape[1:]:
        places *= length
    return places * math.log2(codebook_size)


def rounded_up(grid_shape, codebook_size):
    return math.prod(grid_shape) * math.ceil(math.log2(codebook_size))


def rounded_down(grid_shape, codebook_size):
    return math.prod(grid_shape) * int(math.log2(codebook_size))


def rounded_to_nearest(grid_shape, codebook_size):
    return math.prod(grid_shape) * round(math.log2(codebook_size))


def rounded_in_the_end(grid_shape, codebook_size):
    return math.ceil(math.prod(grid_shape) * math.log2(codebook_size))


def rounded_to_nearest_in_the_end(grid_shape, codebook_size):
    return round(math.prod(grid_shape) * math.log2(codebook_size))


def rounded_down_in_the_end(grid_shape, codebook_size):
    return int(math.prod(grid_shape) * math.log2(codebook_size))


def no_place_without_axes(grid_shape, codebook_size):
    return math.prod(grid_shape) * math.log2(codebook_size) if grid_shape else 0


def floor_of_1(grid_shape, codebook_size):
    return math.prod(grid_shape) * max(1, math.log2(codebook_size))


def digits_of_the_size(grid_shape, codebook_size):
    return math.prod(grid_shape) * codebook_size.bit_length()


def one_code(grid_shape, codebook_size):
    return math.log2(codebook_size)


def pictures_counted(grid_shape, codebook_size):
    return codebook_size ** math.prod(grid_shape)


def bytes_not_bits(grid_shape, codebook_size):
    return math.prod(grid_shape) * math.log2(codebook_size) / 8


BITS = Exercise(
    name="bits_per_image",
    lesson="01_why_discrete",
    reference=bits_per_image,
    draw=draw_bits,
    mistakes=(
        Mistake(
            codebook_size_for_its_logarithm,
            "a choice among K codes was counted as K bits; each further bit doubles what it can tell apart",
            "common",
        ),
        Mistake(nats, "the logarithm is the natural one, so this counts nats; bits need base 2", "common"),
        Mistake(axes_added, "the lengths of the axes were added up; a grid of 4 by 5 has 20 places, not 9", "common"),
        Mistake(
            two_axes_only,
            "this takes a grid of height and width alone: codes of a sound have one axis, of a video three",
            "common",
        ),
        Mistake(
            a_first_axis_expected,
            "a grid without axes, (), is one place with one code; there is no first axis to begin with",
            "common",
        ),
        Mistake(
            no_place_without_axes,
            "an empty shape, (), is one place with one code, not none: the product of no lengths is 1",
            "common",
        ),
        Mistake(
            floor_of_1,
            "a code was given one bit at least; with K = 1 there is nothing to tell apart, which costs 0 bits",
            "common",
        ),
        Mistake(
            rounded_up,
            "each code was rounded up to whole bits; asked for is the price without rounding, a fraction where K is "
            "no power of 2",
            "common",
        ),
        Mistake(
            rounded_down,
            "each code was rounded down to whole bits: K codes cannot be told apart with so few where K is no power "
            "of 2",
            "common",
        ),
        Mistake(
            rounded_to_nearest,
            "each code was rounded to the nearest whole number of bits; asked for is the price without rounding",
            "common",
        ),
        Mistake(
            rounded_in_the_end,
            "the sum was rounded up to whole bits; asked for is the price without rounding",
            "common",
        ),
        Mistake(
            rounded_to_nearest_in_the_end,
            "the sum was rounded to the nearest whole number of bits; asked for is the price without rounding",
            "common",
        ),
        Mistake(
            rounded_down_in_the_end,
            "the sum was rounded down to whole bits; asked for is the price without rounding",
            "common",
        ),
        Mistake(
            digits_of_the_size,
            "this counts the binary digits of K itself; the codes run from 0 to K - 1, and the price is not rounded",
            "common",
        ),
        Mistake(one_code, "these are the bits of one code; an image has one at every place of the grid", "common"),
        Mistake(
            pictures_counted,
            "this is how many different pictures there are; the bits say which one of them it is",
            "lesson 01",
        ),
        Mistake(bytes_not_bits, "these are bytes: bits were asked for, 8 times as many", "common"),
    ),
    hints=(
        "How many places has the grid, whatever its number of axes, and how many yes-or-no questions does it take "
        "to find one code among K?",
        "The places choose independently, so their prices add up. One choice among K costs the logarithm of K to "
        "base 2, which is a fraction where K is no power of 2.",
        "places = the product over grid_shape (math.prod, which gives 1 for an empty one); return places * (bits of "
        "one code)",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# compression_ratio


def draw_ratio(generator: Generator) -> list[Call]:
    def call(image_shape, grid_shape, codebook_size, part="values"):
        args = image_shape, grid_shape, codebook_size
        return Call(args, ("image_shape", "grid_shape", "codebook_size"), ("ratio",), part)

    def side() -> int:
        return number(generator, 4, 9)

    shapes, sizes = "any shape", "any codebook size"
    height, width = number(generator, 20, 30), number(generator, 31, 40)
    return [
        call((28, 28), (number(generator, 2, 3), side()), power_of_2(generator)),
        call((height, width, 3), (side(), side()), power_of_2(generator), shapes),
        call((number(generator, 20, 30), height, width, 3), (side(), side(), side()), power_of_2(generator), shapes),
        call((height, width), (side(),), power_of_2(generator), shapes),
        call((height, width, 3), (), power_of_2(generator), shapes),
        call((4, 5), (4, 5), 1024, shapes),  # the codes cost more than the image
        call((28, 28), (side(), side()), other_size(generator), sizes),
        call((height, width, 3), (side(), side()), other_size(generator), sizes),
    ]


def upside_down(image_shape, grid_shape, codebook_size):
    return bits_per_image(grid_shape, codebook_size) / (8 * math.prod(image_shape))


def values_for_bits(image_shape, grid_shape, codebook_size):
    return math.prod(image_shape) / bits_per_image(grid_shape, codebook_size)


def colours_left_out(image_shape, grid_shape, codebook_size):
    return 8 * image_shape[0] * image_shape[1] / bits_per_image(grid_shape, codebook_size)


def grey_images_only(image_shape, grid_shape, codebook_size):
    height, width = image_shape
    return 8 * height * width / bits_per_image(grid_shape, codebook_size)


def colours_counted_twice(image_shape, grid_shape, codebook_size):
    return 24 * math.prod(image_shape) / bits_per_image(grid_shape, codebook_size)


def numbers_of_32_bits(image_shape, grid_shape, codebook_size):
    return 32 * math.prod(image_shape) / bits_per_image(grid_shape, codebook_size)


def numbers_over_numbers(image_shape, grid_shape, codebook_size):
    return math.prod(image_shape) / math.prod(grid_shape)


def values_256_for_bits(image_shape, grid_shape, codebook_size):
    return 256 * math.prod(image_shape) / bits_per_image(grid_shape, codebook_size)


def whole_division(image_shape, grid_shape, codebook_size):
    return 8 * math.prod(image_shape) // bits_per_image(grid_shape, codebook_size)


def share_saved(image_shape, grid_shape, codebook_size):
    return 1 - bits_per_image(grid_shape, codebook_size) / (8 * math.prod(image_shape))


def codes_rounded_up(image_shape, grid_shape, codebook_size):
    return 8 * math.prod(image_shape) / rounded_up(grid_shape, codebook_size)


def one_code_for_all(image_shape, grid_shape, codebook_size):
    return 8 * math.prod(image_shape) / math.log2(codebook_size)


def kept_above_1(image_shape, grid_shape, codebook_size):
    return max(1.0, compression_ratio(image_shape, grid_shape, codebook_size))


def values_8_for_bits(image_shape, grid_shape, codebook_size):
    return bits_per_image(image_shape, 8) / bits_per_image(grid_shape, codebook_size)


RATIO = Exercise(
    name="compression_ratio",
    lesson="01_why_discrete",
    reference=compression_ratio,
    draw=draw_ratio,
    mistakes=(
        Mistake(
            values_8_for_bits,
            "8 was taken as the number of values, 3 bits each; a uint8 has 256 values, 8 bits",
            "common",
        ),
        Mistake(
            upside_down,
            "the fraction stands upside down: the bits of the image go above, those of the codes below",
            "common",
        ),
        Mistake(
            values_for_bits,
            "above stands the number of values of the image, not of its bits: what does one uint8 take?",
            "common",
        ),
        Mistake(
            colours_left_out,
            "only the first two axes of the image were counted: colours, and the frames of a video, cost bits too",
            "common",
        ),
        Mistake(
            grey_images_only,
            "this takes images of height and width alone: colours and video add axes to image_shape",
            "common",
        ),
        Mistake(
            colours_counted_twice,
            "24 bits is a pixel with its three colours; image_shape counts the colours already, where there are any",
            "common",
        ),
        Mistake(numbers_of_32_bits, "32 bits is the price of a float32; the images are uint8", "common"),
        Mistake(
            numbers_over_numbers,
            "this counts numbers over numbers, so a code costs as much as a pixel's value: it does for K = 256 alone",
            "lesson 01",
        ),
        Mistake(
            values_256_for_bits, "256 is how many values a uint8 can have; how many bits tell them apart?", "common"
        ),
        Mistake(whole_division, "the fraction was cut to a whole number: // drops what / keeps", "common"),
        Mistake(
            share_saved, "this is the share that is saved; asked for is how many times smaller the codes are", "common"
        ),
        Mistake(kept_above_1, "the ratio was kept from falling below 1; codes can cost more than the image", "common"),
        Mistake(
            codes_rounded_up,
            "each code was rounded up to whole bits; asked for is the ratio without rounding",
            "common",
        ),
        Mistake(
            one_code_for_all, "below stand the bits of one code; the image has one at every place of the grid", "common"
        ),
    ),
    hints=(
        "Two prices, both in bits: which is the larger one as a rule, and which of the two does bits_per_image give "
        "you?",
        "An uncompressed image of uint8 spends the same number of bits on every value of every axis, colours and "
        "frames included. The ratio says how many times the price of the codes fits into that.",
        "image_bits = (bits of one uint8) * (the product over image_shape); return image_bits / (the bits of the "
        "codes)",
    ),
)

EXERCISES = [BITS, RATIO]
