"""Exercise 12: how many latents a convolution leaves of a sound."""

from torch import Generator, Tensor

from course_lib.check.author import Call, Observation, exercise, number


def latent_length(length, kernel, stride, padding):
    """How many latents a Conv1d leaves of `length` samples, as an int.

    `padding` zeros are put in front of the samples and as many behind. Only windows that
    fit as a whole count. All four are whole numbers; length + 2 padding >= kernel.
    """
    ### BEGIN SOLUTION
    return (length + 2 * padding - kernel) // stride + 1
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(*args, part="values"):
        return Call(args, ("length", "kernel", "stride", "padding"), ("latents",), part)

    def samples():
        return number(generator, 40, 60)

    rest = number(generator, 1, 3)  # samples at the end that no kernel reaches
    return [
        call(16, 4, 2, 1),
        call(8 * number(generator, 5, 9), 8, 8, 0),
        call(6 + 4 * number(generator, 5, 9) + rest, 6, 4, 0, part="a rest at the end"),
        call(7 + 5 * number(generator, 5, 9) + 4, 7, 5, 0, part="a rest at the end"),  # which ceil and round count
        call(6 * number(generator, 5, 9) + 1, 5, 6, 0, part="a rest at the end"),
        call(samples(), 7, 1, 3, part="any padding"),
        call(samples(), 5, 3, number(generator, 1, 2), part="any padding"),
        call(samples(), 3, 2, 1, part="any padding"),
        call(samples(), 9, 4, 4, part="any padding"),
        call(samples(), 3, 5, 0, part="odd sizes"),  # a stride beyond the kernel
        call(samples(), 1, 1, 0, part="odd sizes"),
        call(1, 3, 2, 1, part="odd sizes"),
        call(9, 9, 4, 0, part="odd sizes"),  # the kernel fits once
        call(16000 + number(generator, 0, 99), 400, 160, 0, part="odd sizes"),
    ]


def and_its_kind(call: Call, observation: Observation) -> Observation:
    """5.0 equals 5, and is no shape of anything."""
    latents = observation.get("latents")
    if isinstance(latents, Tensor) and latents.numel() == 1:
        return observation | {"a whole number": not latents.is_floating_point()}
    return observation | {"a whole number": isinstance(latents, int)}


WRONG = r"""
// -> /
    the division leaves fractions: where the last step would lead beyond the end, there is no latent, and no part of
    one either
+ 1 -> + 1.0
    the number is right, and it is a float: it is to be the length of an axis, and shapes are made of int
- kernel) -> - kernel + stride - 1)
    a rest at the end was given a latent of its own; where the kernel does not fit as a whole, nothing is computed
return int((length + 2 * padding - kernel) / stride + 0.5) + 1
    the steps were rounded to the nearest whole number; a step that is half possible cannot be made
2 * padding -> padding
    the padding was counted once; Conv1d puts so many zeros in front, and as many behind
+ 2 * padding ->
    the padding was left out: the kernel may also stand on the zeros
+ 2 * padding -> - 2 * padding
    the padding made the sound shorter; the zeros are put on, so there are more samples to stand on
+ 1 ->
    these are the steps that the kernel makes; how many places does somebody visit who makes five steps?
kernel) // stride + 1 -> kernel + 1) // stride
    the 1 was added before the division: it is the place where the kernel starts, and so a latent, not a sample
- kernel -> - kernel + 1
    1 was added twice, to the samples and to the latents; with stride 1 that is one latent too many
- kernel -> - kernel - 1
    1 was taken off beside the kernel: in PyTorch's formula it belongs to dilation * (kernel - 1), where it makes up
    for the other 1
return length // stride  # lesson 12
    this divides by the stride, whatever kernel and padding are: true only where both happen to fit
return (length + stride - 1) // stride
    this is length / stride rounded up, which other libraries call padding 'same'; here the padding is a number
return (length - 1) * stride - 2 * padding + kernel
    this is the length after a ConvTranspose1d, which a decoder has: it makes the sound longer
- kernel ->
    the kernel was left out: it covers several samples, so it cannot start at each of the last ones
- kernel -> + kernel
    the kernel was added to the samples; the wider it is, the fewer places it has
// stride ->
    these are all places where the kernel fits; with a stride, how many of them does it visit?
kernel) // stride -> stride) // kernel
    kernel and stride are swapped: one says how wide the window is, the other how far it moves
return (length + 2 * stride - kernel) // max(1, padding) + 1
    stride and padding are swapped: the order is length, kernel, stride, padding, as in Conv1d
(length + 2 * padding - kernel) // -> length + 2 * padding - kernel //
    only the kernel was divided by the stride: without parentheses, / and // come before + and -
2 * padding -> 2 * (kernel // 2)
    half a kernel was taken for the padding, whatever was handed in: that is a habit, not a rule
return (length + 2 * padding) // kernel
    this lays kernels side by side; the next one starts a stride farther, and may overlap the last
"""


def picture(axes, answer) -> None:
    """Latents against samples, for three convolutions."""
    for (kernel, stride, padding), style in (((3, 1, 1), ":"), ((4, 2, 1), "-"), ((6, 5, 0), "--")):
        lengths = range(6, 31)
        latents = [float(answer(length, kernel, stride, padding)) for length in lengths]
        axes.step(lengths, latents, style, where="post", label=f"kernel {kernel}, stride {stride}, padding {padding}")
    axes.set(xlabel="samples", ylabel="latents")
    axes.legend(loc="upper left")


EXERCISE = exercise(
    latent_length,
    lesson="12_sound_and_video",
    draw=draw,
    view=and_its_kind,
    wrong=WRONG,
    picture=picture,
    hints=(
        "Lay the kernel on the first samples, zeros included. How far can it still move, and how many moves of one "
        "stride is that?",
        "With the zeros there are length + 2 padding samples. The kernel covers some of them at its first place; what "
        "is left is the way that it can go, in whole steps of one stride. The first place counts too.",
        "room = (all samples, zeros on both sides included) - kernel; return room // stride, and the place where it "
        "stood before the first step",
    ),
)
