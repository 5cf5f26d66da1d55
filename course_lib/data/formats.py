"""What a folder of data may hold, read and checked: torchvision's layouts, npz files, recordings as WAV files."""

import gzip
import re
import struct
import wave
import zipfile
from pathlib import Path

import numpy as np
import torch

RECORDINGS = "free-spoken-digit-dataset/recordings"
_SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}  # of one image
_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_SPEECH = ("samples", "offsets", "digit", "speaker", "take", "speakers", "rate")
_REMEDY = "Put a sound copy in its place, or move it away and call again."

_Parts = list[tuple[object, np.ndarray]]  # (where from, array), for messages and for use


class DataError(ValueError):
    """Data that is there but cannot be used, or cannot be stored. The message names the file and says what to do."""


def exists(path: Path) -> bool:
    """Whether anything has this name: also a dangling link, which is not the same as no file."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:  # a file where a folder should be, or a folder that may not be entered
        raise DataError(f"{path} cannot be looked up: {error}. Mend that, or name another folder as root.") from error
    return True


# --- Images ----------------------------------------------------------------------------------------------------------


def read_images(name: str, folder: Path) -> list[torch.Tensor] | None:
    """Training images, their labels, test images, their labels of "mnist" or "cifar10"; None where there are none.

    Images (N, H, W) or (N, H, W, 3) uint8, labels (N,) int64. `DataError` for what is there but wrong.
    """
    parts = _read_mnist(folder) if name == "mnist" else _read_cifar10(folder)
    if parts is None and exists(folder / f"{name}.npz"):
        parts = _read_npz(folder / f"{name}.npz", ("x_train", "y_train", "x_test", "y_test"))
    if parts is None:
        return None
    shape, tensors = _SHAPES[name], []
    for (where, images), (label_where, labels) in zip(parts[::2], parts[1::2]):
        right = images.dtype == np.uint8 and images.shape[1:] == shape and len(images) > 0
        wanted = f"uint8 (N, {', '.join(map(str, shape))}) with N > 0"
        _need(right, where, f"{images.dtype} {images.shape}", wanted)
        tensors += [torch.from_numpy(images), _integers(label_where, labels, len(images), 10)]
    return tensors


def _read_mnist(folder: Path) -> _Parts | None:
    """MNIST in torchvision's layout, each file as it is or as a .gz; None where none of the four is there."""
    raw = folder / "MNIST/raw"
    paths = [next(filter(exists, (raw / name, raw / f"{name}.gz")), None) for name in _IDX]
    if not any(paths):
        return None
    if missing := [name for name, path in zip(_IDX, paths) if path is None]:
        raise DataError(
            f"{raw} holds only a part of MNIST; missing: {', '.join(missing)}. "
            "Add what is missing, or move the folder away and call again to download all of it."
        )
    return [(path, _read_idx(path)) for path in paths]


def _read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file: two zeros, 8 for uint8, the number of axes, their lengths, the values row by row."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = bytearray(file.read())
        if content[:3] != b"\0\0\x08":
            raise ValueError("not an IDX file of uint8")
        header = struct.Struct(f">4x{content[3]}I")
        return np.frombuffer(content, np.uint8, offset=header.size).reshape(header.unpack_from(content))
    except Exception as error:  # gzip, zlib, struct and numpy each have their own, and none names the file
        raise DataError(f"{path} is corrupt or cut short ({type(error).__name__}: {error}). {_REMEDY}") from error


def _read_cifar10(folder: Path) -> _Parts | None:
    """CIFAR-10 in torchvision's layout; None where none of its files is there."""
    batches = folder / "cifar-10-batches-py"
    if not exists(batches):
        return None
    from torchvision.datasets import CIFAR10  # here, as it takes seconds to import
    from torchvision.datasets.utils import check_integrity

    meta = (CIFAR10.meta["filename"], CIFAR10.meta["md5"])
    try:
        # The batches are pickles, which run code when they are read: a wrong checksum must stop them here.
        checksums = (*CIFAR10.train_list, *CIFAR10.test_list, meta)
        if bad := [name for name, md5 in checksums if not check_integrity(batches / name, md5)]:
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


def _need(right: bool, where: object, what: object, wanted: str) -> None:
    if not right:
        raise DataError(f"{where}: {what}, where {wanted} is wanted. {_REMEDY}")


def _integers(where: object, array: np.ndarray, count: int, below: int) -> torch.Tensor:
    """(count,) int64, after checking that this is what `array` holds, each in [0, below)."""
    right = array.dtype.kind in "iu" and array.shape == (count,)
    _need(right, where, f"{array.dtype} {array.shape}", f"one integer for each of {count}")
    right = bool((array >= 0).all() and (array < below).all())
    _need(right, where, f"numbers from {array.min()} to {array.max()}", f"0 to {below - 1}")
    return torch.from_numpy(array.astype(np.int64))


# --- Speech ----------------------------------------------------------------------------------------------------------


def read_speech(folder: Path) -> dict | None:
    """The fields of `Speech`, but for name and source; None where there is neither fsdd.npz nor a folder of recordings.

    `DataError` for what is there but wrong.
    """
    if exists(folder / "fsdd.npz"):
        return _read_fsdd(folder / "fsdd.npz")
    return _read_recordings(folder / RECORDINGS) if exists(folder / RECORDINGS) else None


def _read_fsdd(path: Path) -> dict:
    parts = dict(zip(_SPEECH, _read_npz(path, _SPEECH)))
    for key, kinds, axes in (("samples", "i", 1), ("offsets", "iu", 1), ("speakers", "U", 1), ("rate", "iu", 0)):
        where, array = parts[key]
        right = array.dtype.kind in kinds and array.ndim == axes and array.size > 0
        wanted = f"{'strings' if kinds == 'U' else 'integers'} with {axes} axes"
        _need(right, where, f"{array.dtype} {array.shape}", wanted)
    samples, offsets, speakers, rate = (parts[key][1] for key in ("samples", "offsets", "speakers", "rate"))
    _need(samples.dtype == np.int16, parts["samples"][0], samples.dtype, "int16")
    _need(rate > 0, parts["rate"][0], rate, "a positive number")
    offsets = offsets.astype(np.int64)
    right = offsets[0] == 0 and offsets[-1] == len(samples) and len(offsets) > 1 and bool((np.diff(offsets) > 0).all())
    what = f"{len(offsets)} numbers from {offsets[0]} to {offsets[-1]}"
    _need(right, parts["offsets"][0], what, f"an increasing sequence from 0 to {len(samples)}")
    limits = {"digit": 10, "speaker": len(speakers), "take": 2**31}
    return {
        "samples": torch.from_numpy(samples),
        "offsets": torch.from_numpy(offsets),
        **{key: _integers(*parts[key], len(offsets) - 1, below) for key, below in limits.items()},
        "speakers": tuple(map(str, speakers)),
        "rate": int(rate),
    }


def _read_recordings(folder: Path) -> dict:
    """A folder of WAV files named digit_speaker_take.wav, in the order of digit, speaker and take."""
    matches = [(re.fullmatch(r"(\d)_([^_]+)_(\d+)", path.stem), path) for path in sorted(folder.glob("*.wav"))]
    odd = [path.name for match, path in matches if not match]
    if odd or not matches:
        raise DataError(
            f"{folder} holds {f'{odd[0]!r}' if odd else 'no WAV file'}, where files named "
            f"digit_speaker_take.wav, as 7_jackson_0.wav, are wanted. {_REMEDY}"
        )
    rows = sorted((int(match[1]), match[2], int(match[3]), path) for match, path in matches)
    digit, speaker, take, paths = zip(*rows)
    waves, rates = zip(*map(_read_wave, paths))
    if other := [path for path, rate in zip(paths, rates) if rate != rates[0]]:
        raise DataError(f"{other[0]} has another sampling rate than {paths[0].name} ({rates[0]} Hz). {_REMEDY}")
    speakers = tuple(sorted(set(speaker)))
    return {
        "samples": torch.from_numpy(np.concatenate(waves)),
        "offsets": torch.tensor([0, *map(len, waves)]).cumsum(0),  # (R + 1,)
        "digit": torch.tensor(digit),
        "speaker": torch.tensor([speakers.index(name) for name in speaker]),
        "take": torch.tensor(take),
        "speakers": speakers,
        "rate": rates[0],
    }


def _read_wave(path: Path) -> tuple[np.ndarray, int]:
    """The samples (length,) int16 of a WAV file, and its rate in Hz."""
    try:
        with wave.open(str(path)) as file:
            bits, channels, count = 8 * file.getsampwidth(), file.getnchannels(), file.getnframes()
            samples = np.frombuffer(file.readframes(count), "<i2").astype(np.int16)
    except Exception as error:  # wave.Error, EOFError, struct's and numpy's
        raise DataError(f"{path} is corrupt or cut short ({type(error).__name__}: {error}). {_REMEDY}") from error
    _need((bits, channels) == (16, 1), path, f"{bits} bits and {channels} channels", "16 bits and one channel")
    _need(0 < len(samples) == count, path, f"{len(samples)} samples", f"{count or 'some'} samples")
    return samples, file.getframerate()
