"""MNIST, CIFAR-10 and spoken digits for the lessons, and a small sample of each for when there is no network.

    from course_lib import data
    mnist = data.load("mnist")        # Dataset(name='mnist', source='local', train=(60000, 28, 28), ...)
    speech = data.load_speech()       # Speech(name='fsdd', source='local', 3000 recordings, ...)

A folder is searched first: the argument `root`, else $COURSE_DATA, else data/ (a relative path starts at the
project's root, wherever the caller runs). What is not there is downloaded; without a network, an embedded sample takes
its place and one printed line says so. COURSE_OFFLINE=1 never tries the network.
"""

import itertools
import os
import re
import shutil
import socket
import tempfile
import threading
import time
import wave
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import torch
import torch.nn.functional as F

# torchvision and scikit-learn take seconds to import and most calls need one of them at most, so each function that
# needs one imports it.

_PATIENCE = 10  # seconds that a silent network is waited for; urllib by itself waits for ever
_RECORDINGS = "free-spoken-digit-dataset/recordings"
_STAGING = ".course-download-"  # how the name of an unfinished download's folder begins
_REMEDY = "Put a sound copy in its place, or move it away and call again."


class DataError(ValueError):
    """Data that is there but cannot be used, or cannot be stored. The message names the file and says what to do."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images with their labels, as `load` gives them.

    Attributes:
        train: (N, 28, 28) for MNIST, (N, 32, 32, 3) for CIFAR-10 (height, width, RGB); uint8, 0 to 255.
        train_labels: (N,) int64, 0 to 9.
        test, test_labels: the same for the M test images.
        name: "mnist" or "cifar10".
        source: "local" (found in the folder), "download" or "sample" (embedded, not the real data set).
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


def load(name: str, root: str | os.PathLike | None = None) -> Dataset:
    """Load "mnist" or "cifar10": from the folder, else by download, else the embedded sample.

    In the folder, torchvision's own layout is looked for (MNIST/raw/*-ubyte, or their .gz; cifar-10-batches-py/), then
    mnist.npz or cifar10.npz with the arrays x_train, y_train, x_test, y_test: images in uint8, labels (N,) in any
    integer type. There may be fewer images than in the full data set. A download is unpacked beside its place, and
    moved there only when it is whole and torchvision has verified its checksums. The samples are 1,797 real digits,
    enlarged from 8x8, and patches of two photographs, whose label says from which of the two a patch is.

    Args:
        name: "mnist" or "cifar10", in any case.
        root: the folder to search and to download into.

    Raises:
        ValueError: an unknown name.
        DataError (a ValueError): a file is there but incomplete, corrupt or of the wrong shape or type, a download's
            checksum is wrong, or the folder cannot be written. Never a reason to give the sample instead.
    """
    kind = _KINDS.get(str(name).lower())
    if kind is None:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(map(repr, _KINDS))} (and load_speech())")
    folder, shown = _folder(root)
    _sweep(folder)
    npz = folder / f"{kind.name}.npz"
    parts, source = kind.read(folder), "local"
    if parts is None and _there(npz):
        parts = _read_npz(npz, ("x_train", "y_train", "x_test", "y_test"))
    if parts is None:
        parts, why = _download(kind, folder, shown)
        source = "download"
    if parts is not None:
        return Dataset(*_checked(parts, kind.shape), name=kind.name, source=source)
    sample = Dataset(*kind.sample(), name=kind.name, source="sample")
    print(
        f"{kind.title}: nothing in {shown} and {why}, so this is the embedded sample ({len(sample.train)} + "
        f"{len(sample.test)} images). For the real data, call again with a network, or put {npz.name} there."
    )
    return sample


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
    path, recordings = folder / "fsdd.npz", folder / _RECORDINGS
    if _there(path):
        return _checked_speech(path)
    if _there(recordings):
        return _read_recordings(recordings)
    sample = _speech_sample()
    print(
        f"Speech: neither fsdd.npz nor {_RECORDINGS} in {shown}, so this is the embedded sample ({len(sample)} "
        "recordings of synthesised tones). For real speech, clone the Free Spoken Digit Dataset there: see "
        "help(load_speech)."
    )
    return sample


# --- Looking in the folder -------------------------------------------------------------------------------------------

_Parts = list[tuple[object, np.ndarray]]  # (where from, array): train images, train labels, test images, test labels


def _folder(root: str | os.PathLike | None) -> tuple[Path, str]:
    """The folder to search, and a name for it without an absolute path, since lessons are shared with their outputs."""
    chosen = Path(root or os.environ.get("COURSE_DATA") or "data").expanduser()
    project = Path(__file__).resolve().parent.parent
    folder = (project if (project / "pyproject.toml").is_file() else Path.cwd()) / chosen
    if root:
        shown = "the folder given as root" if chosen.is_absolute() else f"{chosen}/"
    elif os.environ.get("COURSE_DATA"):
        shown = "$COURSE_DATA"
    else:
        return folder, "data/"
    return folder, shown if _there(folder) else f"{shown} (which does not exist yet)"  # perhaps a slip of the pen


def _there(path: Path) -> bool:
    """Whether anything has this name: also a dangling link, which is not the same as no file."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:  # a file where a folder should be, or a folder that may not be entered
        raise DataError(f"{path} cannot be looked up: {error}. Mend that, or name another folder as root.") from error
    return True


def _read_mnist(folder: Path) -> _Parts | None:
    """MNIST in torchvision's layout; None where none of its four files is there."""
    raw = folder / "MNIST" / "raw"
    if not _there(raw):
        return None
    from torchvision.datasets import MNIST

    names = [archive.removesuffix(".gz") for archive, _ in MNIST.resources]  # in the order of _Parts
    found = [next((path for path in (raw / name, raw / f"{name}.gz") if _there(path)), None) for name in names]
    if not any(found):
        return None
    if missing := [name for name, path in zip(names, found) if path is None]:
        raise DataError(
            f"{raw} holds only a part of MNIST; missing: {', '.join(missing)}. "
            "Add what is missing, or move the folder away and call again to download all of it."
        )
    return [(path, _read_idx(path)) for path in found]


def _read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file, or in the .gz of one (torchvision's reader takes the unpacked file alone)."""
    from torchvision.datasets.mnist import read_image_file, read_label_file
    from torchvision.datasets.utils import extract_archive

    read = read_image_file if "images" in path.name else read_label_file
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return read(extract_archive(path, scratch) if path.suffix == ".gz" else path).numpy()
    except Exception as error:  # the reader asserts, or fails somewhere in its arithmetic, and never names the file
        raise DataError(f"{path} is corrupt or cut short ({type(error).__name__}: {error}). {_REMEDY}") from error


def _read_cifar10(folder: Path) -> _Parts | None:
    """CIFAR-10 in torchvision's layout; None where none of its files is there."""
    batches = folder / "cifar-10-batches-py"
    if not _there(batches):
        return None
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    meta = (CIFAR10.meta["filename"], CIFAR10.meta["md5"])
    try:
        # The batches are pickles, which run code when they are read: a wrong checksum must stop them here.
        bad = [
            name
            for name, md5 in (*CIFAR10.train_list, *CIFAR10.test_list, meta)
            if not check_integrity(batches / name, md5)
        ]
        if bad:
            raise RuntimeError(f"missing, or with a wrong checksum: {', '.join(bad)}")
        splits = [CIFAR10(folder, train=train) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{batches} cannot be used; {error}. Move the folder away and call again to download all of it."
        ) from error
    return [(batches, np.ascontiguousarray(part)) for split in splits for part in (split.data, split.targets)]


def _read_npz(path: Path, keys: tuple[str, ...]) -> _Parts:
    """The arrays of an npz file, in the order of `keys`. Pickled objects are refused."""
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("not an npz archive")
        with np.load(path, allow_pickle=False) as archive:
            if missing := [key for key in keys if key not in archive]:
                raise ValueError(f"no {', '.join(missing)}; it holds {', '.join(archive) or 'nothing'}")
            return [(f"{path}, {key}", np.asarray(archive[key])) for key in keys]
    except Exception as error:  # zlib, zipfile and numpy each have their own
        raise DataError(f"{path} cannot be used ({type(error).__name__}: {error}). {_REMEDY}") from error


def _need(right: bool, where: object, came: object, wanted: str) -> None:
    if not right:
        raise DataError(f"{where}: {came}, where {wanted} is wanted. {_REMEDY}")


def _need_integers(where: object, array: np.ndarray, count: int, below: int) -> torch.Tensor:
    """(count,) int64, after checking that this is what `array` holds, each in [0, below)."""
    _need(
        array.dtype.kind in "iu" and array.shape == (count,),
        where,
        f"{array.dtype} {array.shape}",
        f"one integer for each of {count}",
    )
    _need(
        bool((array >= 0).all() and (array < below).all()),
        where,
        f"numbers from {array.min()} to {array.max()}",
        f"0 to {below - 1}",
    )
    return torch.from_numpy(array.astype(np.int64))


def _checked(parts: _Parts, shape: tuple[int, ...]) -> list[torch.Tensor]:
    """The four parts as tensors, in the order of `Dataset`'s fields."""
    tensors = []
    for (where, images), (label_where, labels) in zip(parts[::2], parts[1::2]):
        _need(
            images.dtype == np.uint8 and images.shape[1:] == shape and len(images) > 0,
            where,
            f"{images.dtype} {images.shape}",
            f"uint8 (N, {', '.join(map(str, shape))}) with N > 0",
        )
        tensors += [torch.from_numpy(images), _need_integers(label_where, labels, len(images), 10)]
    return tensors


def _checked_speech(path: Path) -> Speech:
    keys = ("samples", "offsets", "digit", "speaker", "take", "speakers", "rate")
    parts = dict(zip(keys, _read_npz(path, keys)))
    for key, kinds, axes in (("samples", "i", 1), ("offsets", "iu", 1), ("speakers", "U", 1), ("rate", "iu", 0)):
        where, array = parts[key]
        _need(
            array.dtype.kind in kinds and array.ndim == axes and array.size > 0,
            where,
            f"{array.dtype} {array.shape}",
            f"{'strings' if kinds == 'U' else 'integers'} with {axes} axes",
        )
    samples, offsets, speakers, rate = (parts[key][1] for key in ("samples", "offsets", "speakers", "rate"))
    _need(samples.dtype == np.int16, parts["samples"][0], samples.dtype, "int16")
    _need(rate > 0, parts["rate"][0], rate, "a positive number")
    offsets = offsets.astype(np.int64)
    _need(
        len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == len(samples) and bool((np.diff(offsets) > 0).all()),
        parts["offsets"][0],
        f"{len(offsets)} numbers from {offsets[0]} to {offsets[-1]}",
        f"an increasing sequence from 0 to {len(samples)}",
    )
    digit, speaker, take = (
        _need_integers(*parts[key], len(offsets) - 1, below)
        for key, below in (("digit", 10), ("speaker", len(speakers)), ("take", 2**31))
    )
    return Speech(
        torch.from_numpy(samples),
        torch.from_numpy(offsets),
        digit,
        speaker,
        take,
        tuple(map(str, speakers)),
        int(rate),
        name="fsdd",
        source="local",
    )


def _read_recordings(folder: Path) -> Speech:
    """A folder of WAV files named digit_speaker_take.wav, in the order of digit, speaker and take."""
    found = [(re.fullmatch(r"(\d)_([^_]+)_(\d+)", path.stem), path) for path in sorted(folder.glob("*.wav"))]
    odd = [path.name for match, path in found if not match]
    if odd or not found:
        raise DataError(
            f"{folder} holds {f'{odd[0]!r}' if odd else 'no WAV file'}, where files named "
            f"digit_speaker_take.wav, as 7_jackson_0.wav, are wanted. {_REMEDY}"
        )
    rows = sorted((int(match[1]), match[2], int(match[3]), path) for match, path in found)
    digit, speaker, take, paths = zip(*rows)
    waves, rates = zip(*(_read_wave(path) for path in paths))
    other = next((path for path, rate in zip(paths, rates) if rate != rates[0]), None)
    if other is not None:
        raise DataError(f"{other} has another sampling rate than {paths[0].name} ({rates[0]} Hz). {_REMEDY}")
    speakers = tuple(sorted(set(speaker)))
    offsets = torch.tensor([0, *map(len, waves)]).cumsum(0)  # (R + 1,)
    return Speech(
        torch.from_numpy(np.concatenate(waves)),
        offsets,
        torch.tensor(digit),
        torch.tensor([speakers.index(name) for name in speaker]),
        torch.tensor(take),
        speakers,
        rates[0],
        name="fsdd",
        source="local",
    )


def _read_wave(path: Path) -> tuple[np.ndarray, int]:
    """The samples (length,) int16 of a WAV file, and its rate in Hz."""
    try:
        with wave.open(str(path)) as file:
            kind, count = (8 * file.getsampwidth(), file.getnchannels()), file.getnframes()
            samples = np.frombuffer(file.readframes(count), "<i2").astype(np.int16)
    except Exception as error:  # wave.Error, EOFError, struct's and numpy's
        raise DataError(f"{path} is corrupt or cut short ({type(error).__name__}: {error}). {_REMEDY}") from error
    _need(kind == (16, 1), path, f"{kind[0]} bits and {kind[1]} channels", "16 bits and one channel")
    _need(0 < len(samples) == count, path, f"{len(samples)} samples", f"{count or 'some'} samples")
    return samples, file.getframerate()


# --- Downloading -----------------------------------------------------------------------------------------------------


def _sweep(folder: Path) -> None:
    """Remove what a killed download left: a staging folder in which nothing was written for ten minutes."""
    with suppress(OSError):  # another process may be sweeping too, or the folder may not be ours to change
        for left in folder.glob(f"{_STAGING}*"):
            if max(path.stat().st_mtime for path in (left, *left.rglob("*"))) < time.time() - 600:
                shutil.rmtree(left, ignore_errors=True)


def _unreachable(urls: list[str]) -> str | None:
    """None where one of the addresses answers; else why none did, after _PATIENCE seconds at most."""
    reasons = {}

    def ask(url: str) -> None:
        try:
            urlopen(url, timeout=_PATIENCE).close()
            reasons[url] = None
        except Exception as error:
            reasons[url] = str(getattr(error, "reason", error)) or repr(error)  # a URLError wraps its reason

    # In threads, as a socket's time-out bounds neither the look-up of a name nor a host with many addresses.
    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    end = time.monotonic() + _PATIENCE
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    answers = [*reasons.values(), f"no answer in {_PATIENCE} s"]
    return None if None in answers else answers[0]


def _download(kind: "_Kind", folder: Path, shown: str) -> tuple[_Parts | None, str]:
    """Download into the folder, whole or not at all: (parts, ""), or (None, why there is no network)."""
    if os.environ.get("COURSE_OFFLINE", "0") not in ("", "0"):
        return None, "COURSE_OFFLINE is set"
    from torchvision import datasets

    remote = getattr(datasets, kind.title)
    urls = [mirror + remote.resources[0][0] for mirror in remote.mirrors] if kind.name == "mnist" else [remote.url]
    if reason := _unreachable(urls):
        return None, f"no network ({reason})"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = tempfile.TemporaryDirectory(dir=folder, prefix=_STAGING, ignore_cleanup_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written, so {kind.title} cannot be downloaded: {error}. Name another "
            "folder as root or in COURSE_DATA, or set COURSE_OFFLINE=1 for the embedded sample."
        ) from error
    print(f"Downloading {kind.title} ({kind.size}) into {shown} ...", flush=True)
    before = socket.getdefaulttimeout()
    with staging as temporary:
        try:
            socket.setdefaulttimeout(_PATIENCE)  # for all sockets, as torchvision's downloads have and offer none
            remote(temporary, train=False, download=True)
            parts = kind.read(Path(temporary))
            target = folder / kind.layout
            target.parent.mkdir(exist_ok=True)
            with suppress(OSError):
                target.rmdir()  # torchvision leaves an empty folder behind when it finds no network
            try:
                os.replace(Path(temporary) / kind.layout, target)  # one step: a reader sees all of it or nothing
            except OSError:
                if kind.read(folder) is None:
                    raise  # else another process has finished the same download first, which is as good
        except (URLError, TimeoutError, ConnectionError) as error:
            return None, f"the download broke off ({error})"
        except (RuntimeError, OSError, HTTPException) as error:
            raise DataError(
                f"the download of {kind.title} into {folder} failed and nothing of it was kept: {error} "
                "Call again, or set COURSE_OFFLINE=1 to go on with the embedded sample."
            ) from error
        finally:
            socket.setdefaulttimeout(before)
    return parts, ""


# --- The embedded samples --------------------------------------------------------------------------------------------


def _mnist_sample() -> list[torch.Tensor]:
    """scikit-learn's 1,797 handwritten digits, 8x8 with values 0 to 16, drawn the way MNIST draws: 20x20 amid 28x28."""
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


def _cifar10_sample() -> list[torch.Tensor]:
    """32x32 patches of scikit-learn's two photographs at half size, five pixels apart; label 0 is china, 1 is flower.

    The test patches come from a strip across both photographs, the training patches from above and below it.
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


_KEYPAD = (
    (941, 1336),
    (697, 1209),
    (697, 1336),
    (697, 1477),
    (770, 1209),  # the two tones of a telephone's
    (770, 1336),
    (770, 1477),
    (852, 1209),
    (852, 1336),
    (852, 1477),
)  # keys 0 to 9, in Hz
_TIMBRES = {
    "flute": (1, 0.2, 0.05),
    "clarinet": (1, 0, 0.6, 0, 0.3),
    "horn": (1, 0.8, 0.5, 0.2),
    "oboe": (0.4, 1, 0.8, 0.5, 0.4),
}  # loudness of each harmonic


def _speech_sample() -> Speech:
    """Ten digits by four timbres in eight takes: a telephone's chords, which rise for even digits and fall for odd."""
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
    offsets = np.cumsum([0, *map(len, pieces)])  # (R + 1,)
    digit, speaker, take = torch.from_numpy(rows).T.contiguous()  # (R,) each
    return Speech(
        torch.from_numpy(np.concatenate(pieces)),
        torch.from_numpy(offsets),
        digit,
        speaker,
        take,
        tuple(_TIMBRES),
        rate,
        name="fsdd",
        source="sample",
    )


@dataclass(frozen=True)
class _Kind:
    """What `load` has to know about a data set."""

    name: str
    title: str  # also the name of torchvision's class
    size: str  # of the download
    shape: tuple[int, ...]  # of one image
    layout: str  # where torchvision puts its files, below the folder
    read: Callable[[Path], _Parts | None]
    sample: Callable[[], list[torch.Tensor]]


_KINDS = {
    kind.name: kind
    for kind in (
        _Kind("mnist", "MNIST", "11 MB", (28, 28), "MNIST/raw", _read_mnist, _mnist_sample),
        _Kind("cifar10", "CIFAR10", "170 MB", (32, 32, 3), "cifar-10-batches-py", _read_cifar10, _cifar10_sample),
    )
}
