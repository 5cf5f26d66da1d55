"""MNIST, CIFAR-10 and spoken digits for the lessons, and a small sample of each for when there is no network.

    from course_lib import data
    mnist = data.load("mnist")        # Dataset(name='mnist', source='local', train=(60000, 28, 28), ...)
    speech = data.load_speech()       # Speech(name='fsdd', source='local', 3000 recordings, ...)

A folder is searched first: the argument `root`, else $COURSE_DATA, else data/ (a relative path starts at the
project's root, wherever the caller runs). What is not there is downloaded; without a network, an embedded sample takes
its place and one printed line says so. COURSE_OFFLINE=1 never tries the network.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from course_lib.data import fetch, formats, samples
from course_lib.data.formats import DataError

__all__ = ["DataError", "Dataset", "Speech", "load", "load_speech"]
PROJECT = Path(__file__).resolve().parents[2]
given: dict[str, str] = {}  # what was loaded so far, name -> source: who runs a lesson says with which data


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images with their labels, as `load` gives them.

    Attributes:
        train: (N, 28, 28) for MNIST, (N, 32, 32, 3) for CIFAR-10 (height, width, RGB); uint8, 0 to 255.
        train_labels: (N,) int64, 0 to 9.
        test, test_labels: the same for the M test images.
        name: "mnist" or "cifar10".
        source: "local" (it was in the folder), "download" or "sample" (embedded, not the real data set).
    """

    train: torch.Tensor
    train_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor
    name: str
    source: str

    def __repr__(self) -> str:
        return (
            f"Dataset(name={self.name!r}, source={self.source!r}, "
            f"train={tuple(self.train.shape)}, test={tuple(self.test.shape)})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Speech:
    """R recordings of spoken digits, stored end to end, as `load_speech` gives them.

    Attributes:
        samples: (T,) int16, all recordings one after the other.
        offsets: (R + 1,) int64; recording i is samples[offsets[i]:offsets[i + 1]].
        digit: (R,) int64, 0 to 9, the digit that is spoken.
        speaker: (R,) int64, positions in `speakers`.
        take: (R,) int64, which of a speaker's recordings of a digit this one is.
        speakers: the names.
        rate: samples per second (Hz).
        name: "fsdd".
        source: "local" or "sample".
    """

    samples: torch.Tensor
    offsets: torch.Tensor
    digit: torch.Tensor
    speaker: torch.Tensor
    take: torch.Tensor
    speakers: tuple[str, ...]
    rate: int
    name: str
    source: str

    def __len__(self) -> int:
        return len(self.digit)

    def recording(self, i: int) -> torch.Tensor:
        """Recording i, (length,) int16; i < 0 counts from the end. IndexError where there is none."""
        i = range(len(self))[i]
        return self.samples[self.offsets[i] : self.offsets[i + 1]]

    def __repr__(self) -> str:
        minutes = len(self.samples) / self.rate / 60
        return (
            f"Speech(name={self.name!r}, source={self.source!r}, {len(self)} recordings, "
            f"{len(self.speakers)} speakers, {minutes:.1f} min at {self.rate} Hz)"
        )


_SAMPLES = {"mnist": samples.mnist, "cifar10": samples.cifar10}


def load(name: str, root: str | os.PathLike | None = None) -> Dataset:
    """Load "mnist" or "cifar10": from the folder, else by download, else the embedded sample.

    In the folder, torchvision's own layout is looked for (MNIST/raw/*-ubyte, or their .gz; cifar-10-batches-py/), then
    mnist.npz or cifar10.npz with the arrays x_train, y_train, x_test, y_test: images in uint8, labels (N,) in any
    integer type. There may be fewer images than in the full data set. A download is unpacked beside its place, and
    moved there only when it is whole and its checksums are right. The samples are 1,797 real digits, enlarged from
    8x8, and patches of two photographs, whose label says from which of the two a patch is.

    Args:
        name: "mnist" or "cifar10", in any case.
        root: the folder to search and to download into.

    Raises:
        ValueError: an unknown name.
        DataError (a ValueError): a file is there but incomplete, corrupt or of the wrong shape or type, a download's
            checksum is wrong, or the folder cannot be written. Never a reason to give the sample instead.
    """
    key = str(name).lower()
    if key not in _SAMPLES:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(map(repr, _SAMPLES))} (and load_speech())")
    folder, shown = _folder(root)
    parts, source = formats.read_images(key, folder), "local"
    if parts is None:
        try:
            fetch.download(key, folder, shown)
            parts, source = formats.read_images(key, folder), "download"
        except fetch.NoNetwork as reason:
            parts, source = _SAMPLES[key](), "sample"
            print(
                f"{key.upper()}: nothing in {shown} and {reason}, so this is the embedded sample ({len(parts[0])} + "
                f"{len(parts[2])} images). For the real data, call again with a network, or put {key}.npz there."
            )
    given[key] = source
    return Dataset(*parts, name=key, source=source)


def load_speech(root: str | os.PathLike | None = None) -> Speech:
    """Load spoken digits from the folder, else the embedded sample (synthesised tones).

    In the folder, fsdd.npz is looked for, then free-spoken-digit-dataset/recordings/, as a clone of the Free Spoken
    Digit Dataset has it: one WAV file for each recording, 16 bits and mono, named digit_speaker_take.wav. fsdd.npz
    holds the same in the fields of `Speech`: `samples` int16; `offsets`, `digit`, `speaker`, `take` in any integer
    type; `speakers` strings; `rate` one integer. Nothing is downloaded, as torchvision does not have it.

    Args:
        root: the folder to search.

    Raises:
        DataError (a ValueError): what is there is corrupt, incomplete or inconsistent.
    """
    folder, shown = _folder(root)
    fields = formats.read_speech(folder)
    given["fsdd"] = "sample" if fields is None else "local"
    if fields is not None:
        return Speech(**fields, name="fsdd", source="local")
    sample = Speech(**samples.speech(), name="fsdd", source="sample")
    print(
        f"Speech: neither fsdd.npz nor {formats.RECORDINGS} in {shown}, so this is the embedded sample ({len(sample)} "
        "recordings of synthesised tones). For real speech, clone the Free Spoken Digit Dataset there: see "
        "help(load_speech)."
    )
    return sample


def _folder(root: str | os.PathLike | None) -> tuple[Path, str]:
    """The folder to search, and a name for it without an absolute path, since lessons are shared with their outputs."""
    chosen = Path(root or os.environ.get("COURSE_DATA") or "data").expanduser()
    folder = (PROJECT if (PROJECT / "pyproject.toml").is_file() else Path.cwd()) / chosen
    if root:
        shown = "the folder given as root" if chosen.is_absolute() else f"{chosen}/"
    elif os.environ.get("COURSE_DATA"):
        shown = "$COURSE_DATA"
    else:
        return folder, "data/"
    return folder, shown if formats.exists(folder) else f"{shown} (which does not exist yet)"  # perhaps a slip
