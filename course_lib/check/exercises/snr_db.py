"""Exercise 12: how good a reconstructed sound is."""

import math

import torch
from torch import Generator, Tensor

from course_lib.check.author import Call, Observation, exercise, normal, number, scattered


def snr_db(original, reconstruction):
    """Twice (B, *S), at least one axis after the batch -> (B,) signal-to-noise ratios in dB, of the same dtype.

    For each recording 10 log10 of a ratio of two energies: that of the original, over that
    of the difference. An energy is the sum of squares over all axes but the first.
    Infinite where nothing is lost; no original is silent.
    """
    ### BEGIN SOLUTION
    signal = original.flatten(1).square().sum(1)  # (B,)
    noise = (original - reconstruction).flatten(1).square().sum(1)  # (B,)
    return 10 * torch.log10(signal / noise)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(*shape, part="values", dtype=torch.float32, perfect=(), strided=False, **more):
        original = 0.7 + normal(generator, *shape)  # no mean is 0, of the difference neither
        scale = torch.tensor([0.1, 1.0, 3.0, 0.3])[torch.arange(shape[0]) % 4]  # a scale for each recording
        noise = (0.5 + normal(generator, *shape)) * scale.reshape(-1, *[1] * (len(shape) - 1))
        reconstruction = original + noise
        for index in perfect:
            reconstruction[index] = original[index]
        args = original.to(dtype), reconstruction.to(dtype)
        args = tuple(map(scattered, args)) if strided else args
        return Call(args, ("original", "reconstruction"), ("snr",), part, **more)

    strided = call(3, 6, part="odd sizes", strided=True)
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


def without_the_infinite(call: Call, observation: Observation) -> Observation:
    """What stands where nothing is lost is said in words: any small number in a denominator leads to another one."""
    snr, (original, reconstruction) = observation.get("snr"), call.args
    perfect = (original == reconstruction).flatten(1).all(1)
    if not isinstance(snr, Tensor) or snr.shape != perfect.shape or not snr.is_floating_point() or not perfect.any():
        return observation
    there = snr[perfect]
    kinds = {"infinite": there == math.inf, "-infinite": there == -math.inf, "NaN": there.isnan(), "0": there == 0}
    kinds["finite"] = there.isfinite()
    words = next((word for word, holds in kinds.items() if holds.all()), "this and that")
    return observation | {"snr": snr.masked_fill(perfect, 0), "snr of perfect reconstructions": words}


WRONG = r"""
10 * -> 20 *
    20 belongs to a ratio of amplitudes, whose square is that of energies; these are energies already
signal / noise -> signal.sqrt() / noise.sqrt()
    this is half of it: a root was taken, norms for instance, which are amplitudes, and 10 belongs to energies
log10 -> log
    the logarithm is the natural one; decibels need base 10
log10 -> log2
    the logarithm is to base 2, as for bits; decibels need base 10
10 * ->
    this is in bels; a decibel is the tenth part of one
return signal / noise
    this is the ratio of the energies itself; decibels are a logarithm of it
signal / noise -> noise / signal
    the fraction stands upside down: the better the reconstruction, the larger the ratio has to be
signal / noise -> signal.sum() / noise.sum()
    the energies of all recordings were added up, which gives one number for the batch; each recording has its own
signal / noise) -> signal / noise).mean()
    this is the mean over the batch; asked for is a number for each recording, and whoever wants the mean can take it
original.flatten(1).square().sum(1) -> original.square().sum(0)
.flatten(1).square().sum(1) -> .square().sum(0)
    the sums run over the batch, the first axis; they should run over all others
original.flatten(1).square().sum(1) -> original.square().sum(-1)
.flatten(1).square().sum(1) -> .square().sum(-1)
    only the last axis was summed: channels, and whatever axes there are besides the first, belong to the same
    recording
original.flatten(1).square().sum(1) -> original.square().sum(-1)
.flatten(1).square().sum(1) -> .square().sum(-1)
signal / noise) -> signal / noise).reshape(len(original), -1).mean(1)
    each row of the last axis got decibels of its own, and then their mean was taken; the energies are added up before
    the logarithm
signal / noise) -> signal / noise).reshape(-1, *[1] * (original.ndim - 1))
    the axes that were summed are still there, of length 1; wanted is (B,)
reconstruction).flatten(1).square().sum(1) -> reconstruction).flatten(1).var(1, correction=0) * original[0].numel()
    the mean of the difference was taken off, as a variance does: a constant error is an error too
original.flatten(1).square().sum(1) -> original.flatten(1).var(1, correction=0) * original[0].numel()
    the mean of the original was taken off, as a variance does; its energy is that of the numbers as they are
original.flatten(1).square().sum(1) -> original.flatten(1).var(1, correction=0)
.square().sum(1) -> .var(1, correction=0)
    these are variances, above and below: both means were taken off, and with them what is constant in the error
reconstruction).flatten(1).square().sum(1) -> reconstruction).flatten(1).square().mean(1)
    above stands a sum, below a mean: the number of samples is left over in the ratio
signal = original -> signal = reconstruction
    above stands the energy of the reconstruction: a loud and wrong one would look good
(original - reconstruction) -> reconstruction
    below stands the energy of the reconstruction; what is lost is the difference
(original - reconstruction).flatten(1).square().sum(1) -> (signal - reconstruction.flatten(1).square().sum(1)).abs()
    below stands the difference of two energies; wanted is the energy of the difference, sample by sample
original.flatten(1).square().sum(1) -> original.flatten(1).square().amax(1)
.square().sum(1) -> .square().mean(1)
    above stands the square of the largest sample, which makes it the peak ratio, PSNR; wanted is the energy
signal = original.flatten(1).square().sum(1) -> signal = 1
.square().sum(1) -> .square().mean(1)
    this is the peak ratio, PSNR, of something whose largest value is 1: the original's energy is not in it
original.flatten(1).square() -> original.flatten(1).abs()
.square() -> .abs()
    absolute values were added up; an energy is a sum of squares
original.flatten(1).square().sum(1) -> original.flatten(1).sum(1).square()
.square().sum(1) -> .sum(1).square()
    the sum was squared, so that samples of opposite sign cancel; an energy is the sum of the squares
return (10 * torch.log10(original.square() / (original - reconstruction).square())).flatten(1).mean(1)
    each sample got decibels of its own, and then their mean was taken; a recording has one ratio of two sums
return 10 * torch.log10((original.square() / (original - reconstruction).square()).flatten(1).mean(1))
    the ratio was taken sample by sample and then averaged: where the error passes zero, it explodes
/ noise -> / (noise + 1e-8)
    a small number in the denominator caps what is perfect: where nothing is lost, the ratio is infinite
return torch.where(noise > 0, 10 * torch.log10(signal / noise), 0)
    a perfect reconstruction got 0, which is the value of one that is as loud as its own error
return torch.tensor((10 * torch.log10(signal / noise)).tolist())  # zoo 6
    the numbers went through a list and came back as float32 on the CPU, whatever the recordings are
"""

EXERCISE = exercise(
    snr_db,
    lesson="12_sound_and_video",
    draw=draw,
    view=without_the_infinite,
    wrong=WRONG,
    hints=(
        "What is the energy of one recording, whatever axes it has, and whose energy stands below?",
        "Energy: the sum of squares over all axes but the first. Above that of the original, below that of original "
        "minus reconstruction. Of their ratio, ten times the logarithm to base 10; a floating-point division by 0 "
        "gives inf by itself.",
        "signal = original.flatten(1).square().sum(1); noise = the same of the difference; return 10 * "
        "torch.log10(...)",
    ),
)
