"""Exercise 12: how many latents a convolution leaves of a sound, and how good a reconstructed sound is."""

import math

import torch
from torch import Generator, Tensor

from course_lib.check.exercises.drawing import normal, number, scattered
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call

# ----------------------------------------------------------------------------------------------------------------------
# latent_length


def latent_length(length, kernel, stride, padding):
    """How many latents a Conv1d leaves of `length` samples: one for each place where its kernel fits."""
    return (length + 2 * padding - kernel) // stride + 1


def draw_length(generator: Generator) -> list[Call]:
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


def and_its_kind(call: Call, seen: Observation) -> Observation:
    """5.0 equals 5, and is no shape of anything."""
    latents = seen.get("latents")
    if isinstance(latents, Tensor) and latents.numel() == 1:
        return seen | {"a whole number": not latents.is_floating_point()}
    return seen | {"a whole number": isinstance(latents, int)}


def not_rounded(length, kernel, stride, padding):
    return (length + 2 * padding - kernel) / stride + 1


def whole_but_a_float(length, kernel, stride, padding):
    return float(latent_length(length, kernel, stride, padding))


def rounded_up(length, kernel, stride, padding):
    return math.ceil((length + 2 * padding - kernel) / stride) + 1


def rounded_to_nearest(length, kernel, stride, padding):
    return math.floor((length + 2 * padding - kernel) / stride + 0.5) + 1


def padded_on_one_side(length, kernel, stride, padding):
    return (length + padding - kernel) // stride + 1


def padding_left_out(length, kernel, stride, padding):
    return (length - kernel) // stride + 1


def padding_taken_off(length, kernel, stride, padding):
    return (length - 2 * padding - kernel) // stride + 1


def steps_for_places(length, kernel, stride, padding):
    return (length + 2 * padding - kernel) // stride


def one_before_the_division(length, kernel, stride, padding):
    return (length + 2 * padding - kernel + 1) // stride


def one_in_both_places(length, kernel, stride, padding):
    return (length + 2 * padding - kernel + 1) // stride + 1


def one_too_many_taken_off(length, kernel, stride, padding):
    return (length + 2 * padding - kernel - 1) // stride + 1


def stride_alone(length, kernel, stride, padding):
    return length // stride


def stride_alone_rounded_up(length, kernel, stride, padding):
    return math.ceil(length / stride)


def way_back(length, kernel, stride, padding):
    return (length - 1) * stride - 2 * padding + kernel


def kernel_left_out(length, kernel, stride, padding):
    return (length + 2 * padding) // stride + 1


def kernel_added(length, kernel, stride, padding):
    return (length + 2 * padding + kernel) // stride + 1


def stride_left_out(length, kernel, stride, padding):
    return length + 2 * padding - kernel + 1


def kernel_and_stride_swapped(length, kernel, stride, padding):
    return (length + 2 * padding - stride) // kernel + 1


def stride_and_padding_swapped(length, kernel, stride, padding):
    return (length + 2 * stride - kernel) // max(1, padding) + 1


def kernel_alone_divided(length, kernel, stride, padding):
    return length + 2 * padding - kernel // stride + 1


def padding_assumed(length, kernel, stride, padding):
    return (length + 2 * (kernel // 2) - kernel) // stride + 1


def kernels_side_by_side(length, kernel, stride, padding):
    return (length + 2 * padding) // kernel


def draw_steps(axes, answer) -> None:
    """Latents against samples, for three convolutions."""
    for (kernel, stride, padding), style in (((3, 1, 1), ":"), ((4, 2, 1), "-"), ((6, 5, 0), "--")):
        lengths = range(6, 31)
        latents = [float(answer(length, kernel, stride, padding)) for length in lengths]
        axes.step(lengths, latents, style, where="post", label=f"kernel {kernel}, stride {stride}, padding {padding}")
    axes.set(xlabel="samples", ylabel="latents")
    axes.legend(loc="upper left")


LENGTH = Exercise(
    name="latent_length",
    lesson="12_sound_and_video",
    reference=latent_length,
    draw=draw_length,
    view=and_its_kind,
    picture=draw_steps,
    mistakes=(
        Mistake(
            not_rounded,
            "the division leaves fractions: where the last step would lead beyond the end, there is no latent, and no "
            "part of one either",
            "common",
        ),
        Mistake(
            whole_but_a_float,
            "the number is right, and it is a float: it is to be the length of an axis, and shapes are made of int",
            "common",
        ),
        Mistake(
            rounded_up,
            "a rest at the end was given a latent of its own; where the kernel does not fit as a whole, nothing is "
            "computed",
            "common",
        ),
        Mistake(
            rounded_to_nearest,
            "the steps were rounded to the nearest whole number; a step that is half possible cannot be made",
            "common",
        ),
        Mistake(
            padded_on_one_side,
            "the padding was counted once; Conv1d puts so many zeros in front, and as many behind",
            "common",
        ),
        Mistake(padding_left_out, "the padding was left out: the kernel may also stand on the zeros", "common"),
        Mistake(
            padding_taken_off,
            "the padding made the sound shorter; the zeros are put on, so there are more samples to stand on",
            "common",
        ),
        Mistake(
            steps_for_places,
            "these are the steps that the kernel makes; how many places does somebody visit who makes five steps?",
            "common",
        ),
        Mistake(
            one_before_the_division,
            "the 1 was added before the division: it is the place where the kernel starts, and so a latent, not a "
            "sample",
            "common",
        ),
        Mistake(
            one_in_both_places,
            "1 was added twice, to the samples and to the latents; with stride 1 that is one latent too many",
            "common",
        ),
        Mistake(
            one_too_many_taken_off,
            "1 was taken off beside the kernel: in PyTorch's formula it belongs to dilation * (kernel - 1), where it "
            "makes up for the other 1",
            "common",
        ),
        Mistake(
            stride_alone,
            "this divides by the stride, whatever kernel and padding are: true only where both happen to fit",
            "lesson 12",
        ),
        Mistake(
            stride_alone_rounded_up,
            "this is length / stride rounded up, which other libraries call padding 'same'; here the padding is a "
            "number",
            "common",
        ),
        Mistake(
            way_back,
            "this is the length after a ConvTranspose1d, which a decoder has: it makes the sound longer",
            "common",
        ),
        Mistake(
            kernel_left_out,
            "the kernel was left out: it covers several samples, so it cannot start at each of the last ones",
            "common",
        ),
        Mistake(
            kernel_added, "the kernel was added to the samples; the wider it is, the fewer places it has", "common"
        ),
        Mistake(
            stride_left_out,
            "these are all places where the kernel fits; with a stride, how many of them does it visit?",
            "common",
        ),
        Mistake(
            kernel_and_stride_swapped,
            "kernel and stride are swapped: one says how wide the window is, the other how far it moves",
            "common",
        ),
        Mistake(
            stride_and_padding_swapped,
            "stride and padding are swapped: the order is length, kernel, stride, padding, as in Conv1d",
            "common",
        ),
        Mistake(
            kernel_alone_divided,
            "only the kernel was divided by the stride: without parentheses, / and // come before + and -",
            "common",
        ),
        Mistake(
            padding_assumed,
            "half a kernel was taken for the padding, whatever was handed in: that is a habit, not a rule",
            "common",
        ),
        Mistake(
            kernels_side_by_side,
            "this lays kernels side by side; the next one starts a stride farther, and may overlap the last",
            "common",
        ),
    ),
    hints=(
        "Lay the kernel on the first samples, zeros included. How far can it still move, and how many moves of one "
        "stride is that?",
        "With the zeros there are length + 2 padding samples. The kernel covers some of them at its first place; what "
        "is left is the way that it can go, in whole steps of one stride. The first place counts too.",
        "room = (all samples, zeros on both sides included) - kernel; return room // stride, and the place where it "
        "stood before the first step",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# snr_db


def snr_db(original, reconstruction):
    """(B, *S), the same -> (B,): 10 log10 of the energy of the original over that of the difference."""
    return 10 * torch.log10(energy(original) / energy(original - reconstruction))


def energy(sound):
    return sound.flatten(1).square().sum(1)  # (B,)


def draw_snr(generator: Generator) -> list[Call]:
    def call(*shape, part="values", dtype=torch.float32, perfect=(), **more):
        original = 0.7 + normal(generator, *shape)  # no mean is 0, of the difference neither
        scale = torch.tensor([0.1, 1.0, 3.0, 0.3])[torch.arange(shape[0]) % 4]  # a scale for each recording
        noise = (0.5 + normal(generator, *shape)) * scale.reshape(-1, *[1] * (len(shape) - 1))
        reconstruction = original + noise
        for index in perfect:
            reconstruction[index] = original[index]
        return Call(
            (original.to(dtype), reconstruction.to(dtype)), ("original", "reconstruction"), ("snr",), part, **more
        )

    strided = call(3, 6, part="odd sizes")
    strided = Call(tuple(map(scattered, strided.args)), strided.names, strided.gives, "odd sizes")
    return [
        call(2, 6),
        call(3, 40),
        call(4, 2, 9, part="any number of axes"),  # two channels
        call(3, 2, 4, 5, part="any number of axes"),
        call(2, 3, 2, 2, 3, part="any number of axes"),
        call(3, 8, part="perfect reconstructions", perfect=(number(generator, 0, 2),)),
        call(2, 2, 5, part="perfect reconstructions", perfect=(0, 1)),
        call(1, 5, part="odd sizes"),
        call(4, 1, part="odd sizes"),
        strided,
        call(2, 7, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def without_the_infinite(call: Call, seen: Observation) -> Observation:
    """What stands where nothing is lost is said in words: any small number in a denominator leads to another one."""
    snr, (original, reconstruction) = seen.get("snr"), call.args
    perfect = (original == reconstruction).flatten(1).all(1)
    if not isinstance(snr, Tensor) or snr.shape != perfect.shape or not snr.is_floating_point() or not perfect.any():
        return seen
    there = snr[perfect]
    kinds = {"infinite": there == math.inf, "-infinite": there == -math.inf, "NaN": there.isnan(), "0": there == 0}
    kinds["finite"] = there.isfinite()
    words = next((word for word, holds in kinds.items() if holds.all()), "this and that")
    return seen | {"snr": snr.masked_fill(perfect, 0), "snr of perfect reconstructions": words}


def energies_times_20(original, reconstruction):
    return 2 * snr_db(original, reconstruction)


def amplitudes_times_10(original, reconstruction):
    return snr_db(original, reconstruction) / 2


def natural_logarithm(original, reconstruction):
    return 10 * torch.log(energy(original) / energy(original - reconstruction))


def logarithm_to_base_2(original, reconstruction):
    return 10 * torch.log2(energy(original) / energy(original - reconstruction))


def bels(original, reconstruction):
    return torch.log10(energy(original) / energy(original - reconstruction))


def no_logarithm(original, reconstruction):
    return energy(original) / energy(original - reconstruction)


def upside_down(original, reconstruction):
    return 10 * torch.log10(energy(original - reconstruction) / energy(original))


def batch_as_one(original, reconstruction):
    return 10 * torch.log10(original.square().sum() / (original - reconstruction).square().sum())


def mean_of_the_batch(original, reconstruction):
    return snr_db(original, reconstruction).mean()


def batch_axis_summed(original, reconstruction):
    return 10 * torch.log10(original.square().sum(0) / (original - reconstruction).square().sum(0))


def last_axis_alone(original, reconstruction):
    return 10 * torch.log10(original.square().sum(-1) / (original - reconstruction).square().sum(-1))


def last_axis_then_averaged(original, reconstruction):
    ratios = original.square().sum(-1) / (original - reconstruction).square().sum(-1)  # (B, *all but the last)
    return (10 * ratios.log10()).reshape(len(original), -1).mean(1)


def axes_kept(original, reconstruction):
    return snr_db(original, reconstruction).reshape(-1, *[1] * (original.ndim - 1))


def mean_of_the_difference_taken_off(original, reconstruction):
    difference = (original - reconstruction).flatten(1)
    return 10 * torch.log10(energy(original) / energy(difference - difference.mean(1, keepdim=True)))


def mean_of_the_original_taken_off(original, reconstruction):
    flat = original.flatten(1)
    return 10 * torch.log10(energy(flat - flat.mean(1, keepdim=True)) / energy(original - reconstruction))


def variances(original, reconstruction):
    difference = original - reconstruction
    return 10 * torch.log10(original.flatten(1).var(1, correction=0) / difference.flatten(1).var(1, correction=0))


def sum_above_mean_below(original, reconstruction):
    return 10 * torch.log10(energy(original) / (original - reconstruction).flatten(1).square().mean(1))


def energy_of_the_reconstruction(original, reconstruction):
    return 10 * torch.log10(energy(reconstruction) / energy(original - reconstruction))


def reconstruction_below(original, reconstruction):
    return 10 * torch.log10(energy(original) / energy(reconstruction))


def roles_swapped_in_the_noise(original, reconstruction):
    return 10 * torch.log10(energy(original) / (energy(original) - energy(reconstruction)).abs())


def peak_of_the_original(original, reconstruction):
    peak = original.flatten(1).abs().amax(1)  # (B,)
    return 10 * torch.log10(peak.square() / (original - reconstruction).flatten(1).square().mean(1))


def peak_of_1(original, reconstruction):
    return -10 * torch.log10((original - reconstruction).flatten(1).square().mean(1))


def absolute_values(original, reconstruction):
    sums = original.flatten(1).abs().sum(1), (original - reconstruction).flatten(1).abs().sum(1)
    return 10 * torch.log10(sums[0] / sums[1])


def sums_squared(original, reconstruction):
    sums = original.flatten(1).sum(1), (original - reconstruction).flatten(1).sum(1)
    return 10 * torch.log10((sums[0] / sums[1]).square())


def sample_by_sample(original, reconstruction):
    ratios = original.square() / (original - reconstruction).square()
    return (10 * ratios.log10()).flatten(1).mean(1)


def ratios_averaged(original, reconstruction):
    return 10 * torch.log10((original.square() / (original - reconstruction).square()).flatten(1).mean(1))


def small_number_below(original, reconstruction):
    return 10 * torch.log10(energy(original) / (energy(original - reconstruction) + 1e-8))


def infinite_made_zero(original, reconstruction):
    snr = snr_db(original, reconstruction)
    return torch.where(snr.isinf(), torch.zeros_like(snr), snr)


def plain_numbers(original, reconstruction):
    return torch.tensor(snr_db(original, reconstruction).tolist())


SNR = Exercise(
    name="snr_db",
    lesson="12_sound_and_video",
    reference=snr_db,
    draw=draw_snr,
    view=without_the_infinite,
    mistakes=(
        Mistake(
            energies_times_20,
            "20 belongs to a ratio of amplitudes, whose square is that of energies; these are energies already",
            "common",
        ),
        Mistake(
            amplitudes_times_10,
            "this is half of it: a root was taken, norms for instance, which are amplitudes, and 10 belongs to "
            "energies",
            "common",
        ),
        Mistake(natural_logarithm, "the logarithm is the natural one; decibels need base 10", "common"),
        Mistake(logarithm_to_base_2, "the logarithm is to base 2, as for bits; decibels need base 10", "common"),
        Mistake(bels, "this is in bels; a decibel is the tenth part of one", "common"),
        Mistake(no_logarithm, "this is the ratio of the energies itself; decibels are a logarithm of it", "common"),
        Mistake(
            upside_down,
            "the fraction stands upside down: the better the reconstruction, the larger the ratio has to be",
            "common",
        ),
        Mistake(
            batch_as_one,
            "the energies of all recordings were added up, which gives one number for the batch; each recording "
            "has its own",
            "common",
        ),
        Mistake(
            mean_of_the_batch,
            "this is the mean over the batch; asked for is a number for each recording, and whoever wants the mean can "
            "take it",
            "common",
        ),
        Mistake(
            batch_axis_summed, "the sums run over the batch, the first axis; they should run over all others", "common"
        ),
        Mistake(
            last_axis_alone,
            "only the last axis was summed: channels, and whatever axes there are besides the first, belong to the "
            "same recording",
            "common",
        ),
        Mistake(
            last_axis_then_averaged,
            "each row of the last axis got decibels of its own, and then their mean was taken; the energies are added "
            "up before the logarithm",
            "common",
        ),
        Mistake(axes_kept, "the axes that were summed are still there, of length 1; wanted is (B,)", "common"),
        Mistake(
            mean_of_the_difference_taken_off,
            "the mean of the difference was taken off, as a variance does: a constant error is an error too",
            "common",
        ),
        Mistake(
            mean_of_the_original_taken_off,
            "the mean of the original was taken off, as a variance does; its energy is that of the numbers as they are",
            "common",
        ),
        Mistake(
            variances,
            "these are variances, above and below: both means were taken off, and with them what is constant in "
            "the error",
            "common",
        ),
        Mistake(
            sum_above_mean_below,
            "above stands a sum, below a mean: the number of samples is left over in the ratio",
            "common",
        ),
        Mistake(
            energy_of_the_reconstruction,
            "above stands the energy of the reconstruction: a loud and wrong one would look good",
            "common",
        ),
        Mistake(
            reconstruction_below,
            "below stands the energy of the reconstruction; what is lost is the difference",
            "common",
        ),
        Mistake(
            roles_swapped_in_the_noise,
            "below stands the difference of two energies; wanted is the energy of the difference, sample by sample",
            "common",
        ),
        Mistake(
            peak_of_the_original,
            "above stands the square of the largest sample, which makes it the peak ratio, PSNR; wanted is the energy",
            "common",
        ),
        Mistake(
            peak_of_1,
            "this is the peak ratio, PSNR, of something whose largest value is 1: the original's energy is not in it",
            "common",
        ),
        Mistake(absolute_values, "absolute values were added up; an energy is a sum of squares", "common"),
        Mistake(
            sums_squared,
            "the sum was squared, so that samples of opposite sign cancel; an energy is the sum of the squares",
            "common",
        ),
        Mistake(
            sample_by_sample,
            "each sample got decibels of its own, and then their mean was taken; a recording has one ratio of two sums",
            "common",
        ),
        Mistake(
            ratios_averaged,
            "the ratio was taken sample by sample and then averaged: where the error passes zero, it explodes",
            "common",
        ),
        Mistake(
            small_number_below,
            "a small number in the denominator caps what is perfect: where nothing is lost, the ratio is infinite",
            "common",
        ),
        Mistake(
            infinite_made_zero,
            "a perfect reconstruction got 0, which is the value of one that is as loud as its own error",
            "common",
        ),
        Mistake(
            plain_numbers,
            "the numbers went through a list and came back as float32 on the CPU, whatever the recordings are",
            "zoo 6",
        ),
    ),
    hints=(
        "What is the energy of one recording, whatever axes it has, and whose energy stands below?",
        "Energy: the sum of squares over all axes but the first. Above that of the original, below that of original "
        "minus reconstruction. Of their ratio, ten times the logarithm to base 10; a floating-point division by 0 "
        "gives inf by itself.",
        "signal = original.flatten(1).square().sum(1); noise = the same of the difference; return 10 * "
        "torch.log10(...)",
    ),
)

EXERCISES = [LENGTH, SNR]
