"""The embedded samples, which need neither files nor a network: handwriting, photographs, chords of a telephone."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F

# scikit-learn takes seconds to import, so each function that needs it imports it.


def mnist() -> list[torch.Tensor]:
    """scikit-learn's 1,797 handwritten digits, 8x8 with values 0 to 16, drawn the way MNIST draws: 20x20 amid 28x28.

    Gives training images (1500, 28, 28) uint8, labels (1500,) int64, test images (297, 28, 28) and labels (297,).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = torch.from_numpy(digits.images / 16).float()[:, None]  # (N, 1, 8, 8)
    large = F.interpolate(small, size=20, mode="bicubic", align_corners=False)  # (N, 1, 20, 20)
    # The gain narrows the blur to an edge about as soft as MNIST's, with its share of ink; the clamp ends the ringing.
    ink = ((large - 0.35) / 0.5).clamp(0, 1)
    images = F.pad((255 * ink).round().byte(), (4, 4, 4, 4)).squeeze(1)  # (N, 28, 28)
    labels = torch.from_numpy(digits.target).long()  # (N,)
    # Every sixth digit of each class is for testing, so both parts have the same mix of classes and of handwriting. The
    # handwriting changes as the file goes on: by nearest neighbour (of the originals) the last 297 are 5 % wrong, a
    # random 297 are 1 %.
    by_class = labels.argsort(stable=True)
    test = by_class[torch.arange(297) * len(labels) // 297].sort().values  # (297,)
    train = torch.ones(len(labels), dtype=torch.bool).index_fill(0, test, False)  # (N,)
    return [images[train], labels[train], images[test], labels[test]]


def cifar10() -> list[torch.Tensor]:
    """32x32 patches of scikit-learn's two photographs at half size, five pixels apart; label 0 is china, 1 is flower.

    The test patches come from a strip across both photographs, the training patches from above and below it. Gives
    training images (N, 32, 32, 3) uint8, labels (N,) int64, and the same of the test patches.
    """
    from sklearn.datasets import load_sample_image

    photographs = np.stack([load_sample_image(name) for name in ("china.jpg", "flower.jpg")])  # (2, 427, 640, 3)
    pixels = torch.from_numpy(photographs).movedim(-1, 1).float()  # (2, 3, 427, 640)
    pixels = F.avg_pool2d(pixels, 2).round().byte()  # (2, 3, 213, 320)

    def patches(*strips: torch.Tensor) -> list[torch.Tensor]:
        tiles = [strip.unfold(2, 32, 5).unfold(3, 32, 5).flatten(2, 3) for strip in strips]  # (2, 3, n, 32, 32)
        images = torch.cat(tiles, dim=2).permute(2, 0, 3, 4, 1)  # (n, 2, 32, 32, 3)
        labels = torch.tensor([0, 1]).repeat(len(images))  # (2 n,)
        return [images.flatten(0, 1).contiguous(), labels]  # (2 n, 32, 32, 3)

    return [*patches(pixels[:, :, :112], pixels[:, :, 168:]), *patches(pixels[:, :, 112:168])]


_KEYPAD = [(941, 1336), *itertools.product((697, 770, 852), (1209, 1336, 1477))]  # two tones of each key, 0 to 9, in Hz
_TIMBRES = {  # loudness of each harmonic
    "flute": (1, 0.2, 0.05),
    "clarinet": (1, 0, 0.6, 0, 0.3),
    "horn": (1, 0.8, 0.5, 0.2),
    "oboe": (0.4, 1, 0.8, 0.5, 0.4),
}


def speech() -> dict:
    """Ten digits by four timbres in eight takes: a telephone's chords, which rise for even digits and fall for odd.

    Gives the fields of `Speech`, but for name and source.
    """
    rate, takes = 8000, 8
    rows = np.array(list(itertools.product(range(10), range(len(_TIMBRES)), range(takes))))  # (R, 3)
    pieces = []
    for digit, speaker, take in rows:
        course = np.linspace(0, 1, 2000 + 300 * take)  # (length,), 0.25 to 0.51 s
        bend = 1 + 0.08 * (course if digit % 2 == 0 else -course)
        phase = 2 * np.pi / rate * bend.cumsum()  # of a tone of 1 Hz
        # An octave below the telephone, so that the fifth harmonic, bent upwards, stays under half the sampling rate.
        tones = sum(
            loudness * np.sin(harmonic * tone / 2 * phase)
            for tone in _KEYPAD[digit]
            for harmonic, loudness in enumerate(list(_TIMBRES.values())[speaker], 1)
        )
        swell = np.sqrt(np.sin(np.pi * course).clip(0))  # silent at both ends: no clicks
        pieces.append((12000 * swell * tones / np.abs(tones).max()).round().astype(np.int16))
    digit, speaker, take = torch.from_numpy(rows).T.contiguous()  # (R,) each
    return {
        "samples": torch.from_numpy(np.concatenate(pieces)),
        "offsets": torch.tensor([0, *map(len, pieces)]).cumsum(0),  # (R + 1,)
        "digit": digit,
        "speaker": speaker,
        "take": take,
        "speakers": tuple(_TIMBRES),
        "rate": rate,
    }
