"""course_lib.data: what is read, downloaded or made, and every way in which that can go wrong.

Servers run on 127.0.0.1 and serve tiny data sets; the real data sets are compared where COURSE_DATA holds them.
"""

import dataclasses
import gzip
import hashlib
import http.server
import io
import logging
import os
import pickle
import shutil
import socket
import struct
import tempfile
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pooch
import pytest
import torch
import torch.nn.functional as F
from torchvision.datasets import CIFAR10, MNIST

from course_lib import data
from course_lib.data import fetch

REAL = Path(os.environ.get("COURSE_DATA") or "nowhere")
RAW = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
KEYS = ("x_train", "y_train", "x_test", "y_test")
DENIED = PermissionError(13, "Permission denied")  # raised in place of a closed folder: the tests may run as root


def real(path):
    return pytest.mark.skipif(not (REAL / path).exists(), reason=f"COURSE_DATA with {path} is not there")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No settings of the caller, no network: the mirrors are a port on which nobody listens."""
    for name in ("COURSE_DATA", "COURSE_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")


# --- Tiny valid data sets ---------------------------------------------------------------------------------------------


def tiny(shape, seed=0):
    """Five training and three test images with labels, in the order train, train_labels, test, test_labels."""
    draw = np.random.default_rng(seed)
    train, test = (draw.integers(0, 256, (count, *shape), dtype=np.uint8) for count in (5, 3))
    return [train, np.array([3, 1, 4, 1, 9]), test, np.array([0, 9, 5])]


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


ARRAYS = {"mnist": tiny((28, 28)), "cifar10": tiny((32, 32, 3))}
RAW_BYTES = {name: idx(array.astype(np.uint8)) for name, array in zip(RAW, ARRAYS["mnist"])}


def write_files(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_raw(root):
    return write_files(root / "MNIST" / "raw", RAW_BYTES)


def write_npz(path, arrays, **changes):
    fields = dict(zip(KEYS, arrays)) | changes
    np.savez(path, **{key: value for key, value in fields.items() if value is not None})


def write_speech(root, **changes):
    fields = {
        "samples": np.arange(2000, dtype=np.int16),
        "offsets": np.array([0, 500, 1300, 2000]),
        "digit": np.array([7, 0, 9], np.uint8),
        "speaker": np.array([1, 0, 1], np.uint8),
        "take": np.array([0, 1, 49], np.uint8),
        "speakers": np.array(["ada", "bo"]),
        "rate": 8000,
    }
    np.savez(root / "fsdd.npz", **{key: value for key, value in (fields | changes).items() if value is not None})


def write_recordings(root, channels=1, width=2, rate=8000):
    """Three recordings as a clone of the data set has them; `rate` is that of one of them."""
    folder = write_files(root / "free-spoken-digit-dataset" / "recordings", {})
    for name, samples in (("7_bo_10", [1, -2, 300]), ("7_bo_9", [5]), ("0_ada_0", [-32768, 32767])):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((channels, width, rate if name == "7_bo_9" else 8000, 0, "NONE", None))
            file.writeframes(struct.pack(f"<{len(samples)}h", *samples) * channels)
    return folder


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def batches(monkeypatch):
    """CIFAR-10's files, their checksums given to torchvision. An image is a row of 1,024 reds, 1,024 greens, blues."""

    def batch(images, labels):
        return pickle.dumps({"data": images.transpose(0, 3, 1, 2).reshape(-1, 3072), "labels": labels.tolist()})

    train, train_labels, test, test_labels = ARRAYS["cifar10"]
    files = {f"data_batch_{i + 1}": batch(train[i : i + 1], train_labels[i : i + 1]) for i in range(5)}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(content)] for name, content in files.items()])
    files |= {"test_batch": batch(test, test_labels), "batches.meta": pickle.dumps({"label_names": list("abcdefghij")})}
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(files["batches.meta"])})
    return files


def same(dataset, arrays):
    parts = (dataset.train, dataset.train_labels, dataset.test, dataset.test_labels)
    assert [part.dtype for part in parts] == [torch.uint8, torch.int64] * 2
    for part, array in zip(parts, arrays):
        np.testing.assert_array_equal(part.numpy(), array)
    return True


# --- What is in the folder --------------------------------------------------------------------------------------------


@real("MNIST/raw")
def test_real_mnist_is_the_bytes_of_its_files():
    dataset, arrays = data.load("mnist", REAL), []
    for name, shape in zip(RAW, ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))):
        arrays.append(np.fromfile(REAL / "MNIST" / "raw" / name, np.uint8)[4 + 4 * len(shape) :].reshape(shape))
    assert same(dataset, arrays) and (dataset.name, dataset.source) == ("mnist", "local")
    assert dataset.train.float().mean().item() / 255 == pytest.approx(0.1307, abs=1e-4)


@real("cifar10.npz")
def test_real_cifar10_is_the_arrays_of_its_file():
    dataset = data.load("cifar10", REAL)
    with np.load(REAL / "cifar10.npz") as arrays:
        assert same(dataset, [arrays[key] for key in KEYS])
    assert dataset.train.shape == (50000, 32, 32, 3) and dataset.source == "local"


@real("fsdd.npz")
def test_real_speech_is_the_arrays_of_its_file():
    speech = data.load_speech(REAL)
    with np.load(REAL / "fsdd.npz") as arrays:
        for key in ("samples", "offsets", "digit", "speaker", "take"):
            np.testing.assert_array_equal(getattr(speech, key).numpy(), arrays[key])
        np.testing.assert_array_equal(speech.recording(-1).numpy(), arrays["samples"][arrays["offsets"][-2] :])
        assert speech.speakers == tuple(arrays["speakers"].tolist()) and speech.rate == int(arrays["rate"]) == 8000
    assert repr(speech) == "Speech(name='fsdd', source='local', 3000 recordings, 6 speakers, 21.9 min at 8000 Hz)"


def test_torchvisions_mnist_layout(tmp_path, capsys):
    write_raw(tmp_path)
    write_npz(tmp_path / "mnist.npz", tiny((28, 28), seed=1))  # the layout comes before the file
    dataset = data.load("MNIST", tmp_path)
    assert same(dataset, ARRAYS["mnist"]) and (dataset.name, dataset.source) == ("mnist", "local")
    assert capsys.readouterr().out == ""
    assert repr(dataset) == "Dataset(name='mnist', source='local', train=(5, 28, 28), test=(3, 28, 28))"
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.train = None


@pytest.mark.parametrize("packed", [RAW, RAW[:1], RAW[1:3]])
def test_mnist_may_be_gzipped(tmp_path, packed):
    raw = write_raw(tmp_path)
    for name in packed:
        (raw / f"{name}.gz").write_bytes(gzip.compress((raw / name).read_bytes()))
        (raw / name).unlink()
    before = sorted(raw.iterdir())
    assert same(data.load("mnist", tmp_path), ARRAYS["mnist"])
    assert sorted(raw.iterdir()) == before  # looking changes nothing


def test_torchvisions_cifar10_layout(tmp_path, batches):
    write_files(tmp_path / "cifar-10-batches-py", batches)
    dataset = data.load("cifar10", tmp_path)
    assert same(dataset, ARRAYS["cifar10"]) and dataset.source == "local" and dataset.train.is_contiguous()


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("label_type", [np.uint8, np.int32, np.int64, ">i4"])
def test_npz(tmp_path, name, label_type):
    arrays = [array.astype(label_type) if array.ndim == 1 else array for array in ARRAYS[name]]
    write_npz(tmp_path / f"{name}.npz", arrays)
    dataset = data.load(name, tmp_path)
    assert same(dataset, arrays) and (dataset.name, dataset.source) == (name, "local")


def test_where_it_looks(tmp_path, monkeypatch):
    """root, then $COURSE_DATA, then data/; relative ones from the project's root, ~ from home, never from here."""
    sets = {place: tiny((28, 28), seed) for seed, place in enumerate(("data", "env", "arg", "home/arg", "here/arg"))}
    for place, arrays in sets.items():
        (tmp_path / place).mkdir(parents=True)
        write_npz(tmp_path / place / "mnist.npz", arrays)
    (tmp_path / "pyproject.toml").touch()
    assert Path(__file__).resolve().parent.parent == data.PROJECT
    monkeypatch.setattr(data, "PROJECT", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    assert same(data.load("mnist"), sets["data"])
    for setting, place in (("", "data"), ("env", "env"), (str(tmp_path / "env"), "env")):
        monkeypatch.setenv("COURSE_DATA", setting)
        assert same(data.load("mnist"), sets[place])
    for root, place in (("arg", "arg"), (Path("here/../arg"), "arg"), ("~/arg", "home/arg")):
        assert same(data.load("mnist", root), sets[place])
    (tmp_path / "pyproject.toml").unlink()  # installed without its project: from where the caller is
    assert same(data.load("mnist", "arg"), sets["here/arg"])


@pytest.mark.parametrize("name", ["cifar", "", "mnist.npz", None, 3])
def test_unknown_name(name):
    with pytest.raises(ValueError, match="'mnist', 'cifar10'"):
        data.load(name)


def test_speech(tmp_path, capsys):
    write_speech(tmp_path)
    speech = data.load_speech(tmp_path)
    assert (speech.name, speech.source) == ("fsdd", "local")
    assert (speech.rate, speech.speakers, len(speech)) == (8000, ("ada", "bo"), 3)
    assert speech.samples.dtype == torch.int16
    assert all(part.dtype == torch.int64 for part in (speech.offsets, speech.digit, speech.speaker, speech.take))
    assert (speech.digit.tolist(), speech.speaker.tolist(), speech.take.tolist()) == ([7, 0, 9], [1, 0, 1], [0, 1, 49])
    for i, (start, end) in enumerate([(0, 500), (500, 1300), (1300, 2000)]):
        assert speech.recording(i).tolist() == list(range(start, end)) == speech.recording(i - 3).tolist()
    for i in (3, -4):
        with pytest.raises(IndexError):
            speech.recording(i)
    assert capsys.readouterr().out == "" and "tensor" not in repr(speech)


def test_recordings_of_a_clone(tmp_path, capsys):
    write_recordings(tmp_path)
    speech = data.load_speech(tmp_path)
    assert (speech.name, speech.source, speech.rate, speech.speakers) == ("fsdd", "local", 8000, ("ada", "bo"))
    assert (speech.digit.tolist(), speech.speaker.tolist(), speech.take.tolist()) == ([0, 7, 7], [0, 1, 1], [0, 9, 10])
    assert [speech.recording(i).tolist() for i in range(3)] == [[-32768, 32767], [5], [1, -2, 300]]
    assert speech.samples.dtype == torch.int16 and capsys.readouterr().out == ""
    write_speech(tmp_path)  # a file beside it comes first
    assert len(data.load_speech(tmp_path).samples) == 2000


# --- What is in the folder but wrong: an error that names it, and never the sample ------------------------------------


def refused(name, root, capsys, *words):
    with pytest.raises(data.DataError) as caught:
        data.load_speech(root) if name == "speech" else data.load(name, root)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert capsys.readouterr().out == ""
    return message


RAW_FAULTS = {
    "cut short": (RAW[0], lambda content: content[:-9]),
    "too long": (RAW[0], lambda content: content + b"aa"),
    "header alone": (RAW[2], lambda content: content[:10]),
    "empty": (RAW[0], lambda content: b""),
    "wrong magic": (RAW[2], lambda content: b"\x1f\x8b\x08\x00" + content[4:]),
    "unknown type": (RAW[0], lambda content: b"\0\0\x0a\x03" + content[4:]),
    "signed": (RAW[0], lambda content: b"\0\0\x09\x03" + content[4:]),
    "other shape": (RAW[0], lambda content: idx(np.zeros((5, 14, 14), np.uint8))),
    "no images": (RAW[2], lambda content: idx(np.zeros((0, 28, 28), np.uint8))),
    "labels are images": (RAW[1], lambda content: RAW_BYTES[RAW[0]]),
    "images are labels": (RAW[0], lambda content: RAW_BYTES[RAW[1]]),
    "a label short": (RAW[1], lambda content: idx(np.zeros(4, np.uint8))),
    "labels cut short": (RAW[3], lambda content: content[:-1]),
    "label 10": (RAW[3], lambda content: idx(np.array([0, 10, 1], np.uint8))),
    "packed, cut short": (f"{RAW[0]}.gz", lambda content: content[:-20]),
    "packed, flipped": (f"{RAW[0]}.gz", lambda content: content[:60] + bytes([content[60] ^ 255]) + content[61:]),
    "packed, empty": (f"{RAW[0]}.gz", lambda content: b""),
    "packed, text": (f"{RAW[0]}.gz", lambda content: b"<html>"),
}


@pytest.mark.parametrize("fault", RAW_FAULTS)
def test_corrupt_mnist(tmp_path, offline, capsys, fault):
    name, spoil = RAW_FAULTS[fault]
    path = write_raw(tmp_path) / name
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
        path.with_suffix("").unlink()
    path.write_bytes(spoil(path.read_bytes()))
    write_npz(tmp_path / "mnist.npz", ARRAYS["mnist"])  # a sound file elsewhere is no excuse
    refused("mnist", tmp_path, capsys, str(path), "call again")


@pytest.mark.parametrize("missing", [RAW[:1], RAW[1:], (RAW[0], RAW[3])])
def test_a_part_of_mnist(tmp_path, capsys, missing):
    raw = write_raw(tmp_path)
    for name in missing:
        (raw / name).unlink()
    message = refused("mnist", tmp_path, capsys, str(raw), "move the folder away", *missing)
    assert not any(name in message for name in set(RAW) - set(missing))


@pytest.mark.parametrize("place", ["MNIST/raw/train-images-idx3-ubyte", "mnist.npz"])
@pytest.mark.parametrize("what", ["folder", pytest.param("dangling link", marks=pytest.mark.posix)])
def test_no_file_where_a_file_should_be(tmp_path, offline, capsys, place, what):
    path = tmp_path / place
    if path.parent != tmp_path:
        (write_raw(tmp_path) / RAW[0]).unlink()
    path.mkdir() if what == "folder" else path.symlink_to(tmp_path / "unplugged")
    refused("mnist", tmp_path, capsys, str(path))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("place", ["", "MNIST", "MNIST/raw", "cifar-10-batches-py"])
def test_a_file_where_a_folder_should_be(tmp_path, offline, capsys, name, place):
    path = tmp_path / "root" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    if place in ("", "cifar-10-batches-py" if name == "cifar10" else "MNIST", "MNIST/raw" if name == "mnist" else ""):
        refused(name, tmp_path / "root", capsys, str(path))
    else:
        assert data.load(name, tmp_path / "root").source == "sample"


@pytest.mark.parametrize("name", ["mnist", "cifar10", "speech"])
def test_a_folder_that_may_not_be_entered(tmp_path, offline, capsys, monkeypatch, name):
    monkeypatch.setattr(Path, "lstat", mock.Mock(side_effect=DENIED))
    refused(name, tmp_path, capsys, str(tmp_path), "Permission denied")


@pytest.mark.parametrize("bad", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("how", ["flipped", "missing", "folder"])
def test_corrupt_cifar10(tmp_path, batches, offline, capsys, bad, how):
    folder = write_files(tmp_path / "cifar-10-batches-py", batches)
    write_npz(tmp_path / "cifar10.npz", ARRAYS["cifar10"])
    (folder / bad).unlink()
    if how == "folder":
        (folder / bad).mkdir()
    elif how == "flipped":
        (folder / bad).write_bytes(batches[bad][:-30] + bytes([batches[bad][-30] ^ 1]) + batches[bad][-29:])
    message = refused("cifar10", tmp_path, capsys, str(folder), bad, "call again")
    assert sum(name in message for name in batches) == 1


def test_an_unreadable_batch(tmp_path, batches, offline, capsys, monkeypatch):
    folder = write_files(tmp_path / "cifar-10-batches-py", batches)
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", mock.Mock(side_effect=DENIED))
    refused("cifar10", tmp_path, capsys, str(folder), "Permission denied")


def test_a_pickle_with_a_wrong_checksum_never_runs(tmp_path, batches, capsys):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    write_files(tmp_path / "cifar-10-batches-py", batches | {"data_batch_1": pickle.dumps(Trap())})
    refused("cifar10", tmp_path, capsys, "data_batch_1")
    assert not (tmp_path / "sprung").exists()


ARRAY_FAULTS = [
    ("y_test", lambda a: None, "no y_test"),
    ("x_train", lambda a: a.astype(np.float32), "float32", "uint8"),
    ("x_train", lambda a: a.astype(np.int64), "int64", "uint8"),
    ("x_test", lambda a: a.reshape(len(a), -1), "(3, ", "(N, "),
    ("x_test", lambda a: a[..., None], "(N, "),
    ("x_test", lambda a: a[:0], "(0, ", "N > 0"),
    ("x_test", lambda a: np.uint8(7), "uint8 ()"),
    ("y_train", lambda a: a[:4], "(4,)", "5"),
    ("y_train", lambda a: a[:, None], "(5, 1)"),
    ("y_train", lambda a: a.astype(float), "float64"),
    ("y_train", lambda a: np.eye(10)[a], "(5, 10)"),
    ("y_test", lambda a: a + 1, "1 to 10", "0 to 9"),
    ("y_test", lambda a: a - 1, "-1 to 8", "0 to 9"),
    ("y_test", lambda a: a.astype(object), "pickle"),
]


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("key, change, words", [(key, change, words) for key, change, *words in ARRAY_FAULTS])
def test_wrong_arrays(tmp_path, offline, capsys, name, key, change, words):
    arrays = dict(zip(KEYS, ARRAYS[name]))
    write_npz(tmp_path / f"{name}.npz", ARRAYS[name], **{key: change(arrays[key])})
    refused(name, tmp_path, capsys, str(tmp_path / f"{name}.npz"), "call again", *words)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


NPZ_FAULTS = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "flipped bit": lambda content: content[:2000] + bytes([content[2000] ^ 1]) + content[2001:],
    "text": lambda content: b"hello",
    "pickle": lambda content: pickle.dumps([1, 2]),
    "npy": lambda content: npy(np.arange(9)),
}


@pytest.mark.parametrize("name, file", [("mnist", "mnist.npz"), ("speech", "fsdd.npz")])
@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_corrupt_npz(tmp_path, offline, capsys, name, file, fault):
    write_npz(tmp_path / "mnist.npz", ARRAYS["mnist"])
    write_speech(tmp_path)
    (tmp_path / file).write_bytes(NPZ_FAULTS[fault]((tmp_path / file).read_bytes()))
    message = refused(name, tmp_path, capsys, str(tmp_path / file), "call again")
    assert "unsafely" not in message  # numpy's advice on pickles is not for learners


SPEECH_FAULTS = {
    "samples": [None, np.zeros(2000, np.float32), np.zeros(2000, int), np.zeros((2, 1000), "i2"), np.zeros(0, "i2")],
    "offsets": [
        *([0, 500, 1300, 2001], [1, 500, 1300, 2000], [0, 1300, 500, 2000], [0, 500, 500, 2000], [0], [0, 1000, 2000]),
        *([0.0, 500, 1300, 2000], np.zeros(0, int), [[0, 500, 1300, 2000]]),
    ],
    "digit": [[7, 0, 10], [7, 0], [7.0, 0, 9]],
    "speaker": [[0, 1, 2], [0, 1, -1]],
    "take": [None, [0, 1, -1]],
    "speakers": [None, [1, 2], [b"ada", b"bo"], np.array(["ada", "bo"], object)],
    "rate": [None, 0, 8000.0, [8000]],
}


@pytest.mark.parametrize("key, value", [(key, value) for key, values in SPEECH_FAULTS.items() for value in values])
def test_wrong_speech(tmp_path, capsys, key, value):
    write_speech(tmp_path, **{key: value if value is None else np.asarray(value)})
    refused("speech", tmp_path, capsys, str(tmp_path / "fsdd.npz"), "call again")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"rate": 16000}, ["another sampling rate", "7_bo_9"]),
        ({"width": 1}, ["8 bits", ".wav"]),
        ({"channels": 2}, ["2 channels", ".wav"]),
    ],
)
def test_recordings_of_another_kind(tmp_path, capsys, change, words):
    write_recordings(tmp_path, **change)
    refused("speech", tmp_path, capsys, "call again", *words)


def test_recordings_that_are_broken_are_named(tmp_path, capsys):
    folder = write_recordings(tmp_path)
    sound = (folder / "7_bo_9.wav").read_bytes()
    for broken in (b"", b"RIFF", sound[:30], sound[:-1], sound[:-2], b"x" * 100):
        (folder / "7_bo_9.wav").write_bytes(broken)
        refused("speech", tmp_path, capsys, str(folder / "7_bo_9.wav"), "call again")
    (folder / "7_bo_9.wav").rename(folder / "seven.wav")
    refused("speech", tmp_path, capsys, str(folder), "digit_speaker_take.wav")
    for path in folder.glob("*.wav"):
        path.unlink()
    refused("speech", tmp_path, capsys, str(folder), "no WAV file")


# --- Downloading ------------------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """`mode` of the server: good, half (then closes), stall (half, then silence), silent."""

    def do_GET(self):
        server, name = self.server, self.path.strip("/")
        server.requests.append(name)
        if server.mode == "silent":
            return server.release.wait(20)
        if name not in server.files:
            return self.send_error(404)
        content = server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if server.mode == "good":
            return self.wfile.write(content)
        self.wfile.write(content[: len(content) // 2])
        if server.mode == "stall" and server.requests.count(name) > 1:  # the first only asks whether somebody is there
            server.halfway.set()
            server.release.wait(20)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Starts a server of files (name -> content) that writes down what is asked for."""
    monkeypatch.setattr(fetch, "TIMEOUT", 5)
    servers = []

    def start(files):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.files, server.mode, server.requests = files, "good", []
        server.halfway, server.release = threading.Event(), threading.Event()
        server.address = f"http://127.0.0.1:{server.server_port}/"
        server.handle_error = lambda *args: None  # clients that hang up are part of the game
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.release.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def impatient(serve, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.5)


@pytest.fixture
def mnist_server(serve, monkeypatch):
    files = {f"{name}.gz": gzip.compress(content) for name, content in RAW_BYTES.items()}
    server = serve(files)
    monkeypatch.setattr(MNIST, "mirrors", [server.address])
    monkeypatch.setattr(MNIST, "resources", [(name, md5(content)) for name, content in files.items()])
    return server


@pytest.fixture
def cifar10_server(serve, batches, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cifar10")
    write_files(folder / "cifar-10-batches-py", batches)
    archive = Path(shutil.make_archive(folder / "archive", "gztar", folder, "cifar-10-batches-py")).read_bytes()
    server = serve({"cifar-10-python.tar.gz": archive})
    monkeypatch.setattr(CIFAR10, "url", server.address + "cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    return server


@pytest.fixture(params=ARRAYS)
def remote(request):
    """(name, its server)."""
    return request.param, request.getfixturevalue(f"{request.param}_server")


def one_line(capsys, *words):
    out = capsys.readouterr().out
    assert out.endswith("\n") and out.count("\n") == 1 and all(word in out for word in words), out
    assert str(Path(tempfile.gettempdir())) not in out and str(Path.home()) not in out


def test_download(tmp_path, remote, capsys, monkeypatch):
    name, server = remote
    root = tmp_path / "new" / "folder"
    handler, log = logging.Handler(), []
    handler.emit = log.append
    monkeypatch.setattr(pooch.get_logger(), "handlers", [handler])
    dataset = data.load(name, root)
    assert same(dataset, ARRAYS[name]) and dataset.source == "download"
    streams = capsys.readouterr()
    assert streams.out.count("\n") == 1 and "Downloading" in streams.out and "MB" in streams.out
    assert str(tmp_path) not in streams.out + streams.err and not log  # lessons are shared with their outputs
    assert [path.name for path in root.iterdir()] == [{"mnist": "MNIST", "cifar10": "cifar-10-batches-py"}[name]]
    count = len(server.requests)
    again = data.load(name, root)
    assert same(again, ARRAYS[name]) and again.source == "local" and len(server.requests) == count
    assert capsys.readouterr().out == ""
    torchvisions = {"mnist": MNIST, "cifar10": CIFAR10}[name](root)  # it takes what was downloaded for its own
    np.testing.assert_array_equal(torchvisions.data, ARRAYS[name][0])


def test_an_npz_is_not_downloaded_over(tmp_path, remote):
    name, server = remote
    write_npz(tmp_path / f"{name}.npz", ARRAYS[name])
    assert data.load(name, tmp_path).source == "local" and not server.requests


def test_an_empty_folder_is_no_data(tmp_path, mnist_server):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)  # as torchvision leaves it when it finds no network
    assert data.load("mnist", tmp_path).source == "download"
    assert data.load("mnist", tmp_path).source == "local"


def test_a_folder_of_other_files_is_left_alone(tmp_path, mnist_server):
    raw = write_files(tmp_path / "MNIST" / "raw", {"notes.txt": b"mine"})
    with pytest.raises(data.DataError, match="nothing of it was kept"):
        data.load("mnist", tmp_path)
    assert [path.name for path in raw.iterdir()] == ["notes.txt"] and len(list(tmp_path.iterdir())) == 1


def test_another_process_may_finish_first(tmp_path, mnist_server, monkeypatch):
    replace = os.replace

    def overtaken(source, target):
        shutil.copytree(source, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", overtaken)
    assert same(data.load("mnist", tmp_path), ARRAYS["mnist"])
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]
    assert data.load("mnist", tmp_path).source == "local"


@pytest.mark.parametrize("mode", ["half", "wrong"])
def test_a_download_that_is_not_whole_is_an_error_and_leaves_nothing(tmp_path, remote, capsys, monkeypatch, mode):
    name, server = remote
    sound = dict(server.files)
    if mode == "wrong":
        server.files[list(sound)[-1]] = gzip.compress(b"something else")
    else:
        server.mode = mode
    with pytest.raises(data.DataError, match="nothing of it was kept") as caught:
        data.load(name, tmp_path)
    assert str(tmp_path) in str(caught.value) and "COURSE_OFFLINE=1" in str(caught.value)
    one_line(capsys, "Downloading")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert data.load(name, tmp_path).source == "sample"
    monkeypatch.delenv("COURSE_OFFLINE")
    server.files, server.mode = sound, "good"
    assert data.load(name, tmp_path).source == "download"


def test_a_download_that_falls_silent_gives_the_sample(tmp_path, remote, impatient, capsys):
    name, server = remote
    server.mode = "stall"
    start = time.monotonic()
    assert data.load(name, tmp_path).source == "sample"
    assert time.monotonic() - start < 5
    downloading, sample = capsys.readouterr().out.splitlines()
    assert "Downloading" in downloading and "broke off" in sample and "timed out" in sample
    assert list(tmp_path.iterdir()) == []


def test_what_is_half_there_is_not_taken_for_data(tmp_path, remote, monkeypatch):
    """As others see it meanwhile, and as it stays when the process is killed."""
    name, server = remote
    server.mode = "stall"
    monkeypatch.setattr(fetch, "TIMEOUT", 20)
    with ThreadPoolExecutor() as pool:
        download = pool.submit(data.load, name, tmp_path)
        assert server.halfway.wait(10)
        assert any(path.is_file() for path in tmp_path.rglob("*"))
        monkeypatch.setenv("COURSE_OFFLINE", "1")
        assert data.load(name, tmp_path).source == "sample"
        monkeypatch.delenv("COURSE_OFFLINE")
        server.mode = "good"
        assert same(data.load(name, tmp_path), ARRAYS[name])
        server.release.set()
    assert isinstance(download.exception(), data.DataError)
    assert data.load(name, tmp_path).source == "local"


def test_a_server_that_never_answers_gives_the_sample(tmp_path, remote, impatient, capsys):
    name, server = remote
    server.mode = "silent"
    start = time.monotonic()
    assert data.load(name, tmp_path / "new").source == "sample"
    assert time.monotonic() - start < 4
    one_line(capsys, "no network (timed out)", "embedded sample", "which does not exist yet")
    assert list(tmp_path.iterdir()) == []  # nothing is made where nothing was downloaded


def test_two_silent_mirrors_cost_no_more_than_half_a_minute():
    connecting, silence = fetch.TIMEOUT
    assert 2 * (connecting + silence) <= 30


def test_a_file_that_is_not_there_is_no_network(tmp_path, mnist_server, capsys):
    mnist_server.files = {}
    assert data.load("mnist", tmp_path).source == "sample"
    one_line(capsys, "no network (404", "embedded sample")


def test_a_name_that_cannot_be_looked_up_is_no_network(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", mock.Mock(side_effect=socket.gaierror(-2, "no such name")))
    assert data.load("mnist", tmp_path).source == "sample"
    one_line(capsys, "no network (", "no such name")


def test_nobody_listening_is_no_network(tmp_path, capsys):
    assert data.load("cifar10", tmp_path).source == "sample"
    one_line(capsys, "no network (", "refused", "cifar10.npz")


@pytest.mark.parametrize("first", ["dead", "silent", "lying"])
def test_one_mirror_is_enough(tmp_path, mnist_server, serve, impatient, monkeypatch, first):
    bad = serve(dict.fromkeys(mnist_server.files, gzip.compress(b"sign in to our network")))
    bad.mode = "silent" if first == "silent" else "good"
    address = "http://127.0.0.1:9/" if first == "dead" else bad.address
    monkeypatch.setattr(MNIST, "mirrors", [address, mnist_server.address])
    assert same(data.load("mnist", tmp_path), ARRAYS["mnist"])
    assert first == "lying" or len(bad.requests) <= 1  # it is not waited for again with each file


@pytest.mark.parametrize("setting, tries", [("1", False), ("yes", False), ("0", True), ("", True)])
def test_course_offline(tmp_path, mnist_server, monkeypatch, capsys, setting, tries):
    monkeypatch.setenv("COURSE_OFFLINE", setting)
    assert data.load("mnist", tmp_path).source == ("download" if tries else "sample")
    assert bool(mnist_server.requests) == tries
    one_line(capsys, "Downloading" if tries else "COURSE_OFFLINE is set")


def test_a_folder_that_cannot_be_written(tmp_path, mnist_server, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "mkdtemp", mock.Mock(side_effect=DENIED))
    refused("mnist", tmp_path, capsys, str(tmp_path), "cannot be written", "COURSE_OFFLINE=1")


def test_a_full_disk(tmp_path, mnist_server, monkeypatch):
    monkeypatch.setattr("pooch.HTTPDownloader.__call__", mock.Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(data.DataError, match="No space left"):
        data.load("mnist", tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- The samples ------------------------------------------------------------------------------------------------------

MISSING = "no/such"  # a folder


@pytest.mark.parametrize("name", ["mnist", "cifar10", "speech"])
def test_samples_are_announced_repeatable_quick_and_draw_no_random_numbers(offline, capsys, name):
    def load():
        return data.load_speech(MISSING) if name == "speech" else data.load(name, MISSING)

    state = torch.get_rng_state()
    first = load()
    assert first.source == "sample"
    one_line(capsys, "no/such/ (which does not exist yet)", "embedded sample")
    start = time.monotonic()
    second = load()
    assert time.monotonic() - start < 1.5  # with scikit-learn imported
    assert torch.equal(torch.get_rng_state(), state)
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_the_line_names_the_place_without_a_path(offline, tmp_path, monkeypatch, capsys):
    data.load("mnist", tmp_path)
    one_line(capsys, "nothing in the folder given as root and COURSE_OFFLINE is set")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    data.load("mnist")
    one_line(capsys, "nothing in $COURSE_DATA and")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "slip"))
    data.load("mnist")
    one_line(capsys, "nothing in $COURSE_DATA (which does not exist yet) and")
    data.load_speech()
    one_line(capsys, "recordings in $COURSE_DATA (which does not exist yet)")
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setattr(data, "PROJECT", tmp_path)
    data.load("mnist")
    one_line(capsys, "nothing in data/ and")


def test_mnist_sample_is_scikit_learns_digits(offline):
    from sklearn.datasets import load_digits

    sample = data.load("mnist", MISSING)
    assert sample.train.shape == (1500, 28, 28) and sample.test.shape == (297, 28, 28)
    assert sample.train.dtype == sample.test.dtype == torch.uint8
    images, labels = torch.cat([sample.train, sample.test]), torch.cat([sample.train_labels, sample.test_labels])

    # Shrunk again, each image is most like one of the originals: that one's label is its own, and all have their turn.
    def standard(rows):
        return F.normalize(rows - rows.mean(1, keepdim=True))

    small = F.adaptive_avg_pool2d(images[:, None, 4:24, 4:24].float(), 8).flatten(1)
    likeness = standard(small) @ standard(torch.from_numpy(load_digits().images).float().flatten(1)).T
    match = likeness.argmax(1)
    assert torch.equal(torch.from_numpy(load_digits().target)[match], labels)
    assert len(match.unique()) > 0.99 * 1797 and likeness.max(1).values.min() > 0.85
    for part in (sample.train_labels, sample.test_labels):  # each class has its share
        assert (part.bincount(minlength=10) - len(part) / 10).abs().max() <= 0.04 * len(part)


def test_mnist_sample_looks_like_mnist(offline):
    images = data.load("mnist", MISSING).train
    box = torch.zeros(28, 28, dtype=torch.bool)
    box[4:24, 4:24] = True
    assert images[:, ~box].eq(0).all()
    assert (images.flatten(1).max(1).values > 200).all()
    scaled = images.float() / 255
    assert scaled.mean().item() == pytest.approx(0.1307, abs=0.02)  # MNIST's own mean ...
    assert scaled.std().item() == pytest.approx(0.3081, abs=0.02)  # ... and deviation
    assert 0.15 < images.gt(0).float().mean() < 0.23  # 0.19: the share of ink


def test_cifar10_sample_is_patches_of_two_photographs_and_the_parts_share_no_pixel(offline):
    from sklearn.datasets import load_sample_image

    sample = data.load("cifar10", MISSING)
    assert sample.train.dtype == sample.test.dtype == torch.uint8
    assert sample.train.shape[1:] == sample.test.shape[1:] == (32, 32, 3)
    assert 2000 <= len(sample.train) <= 3000 and 300 <= len(sample.test) <= 1000
    covered = {part: np.zeros((2, 213, 320), bool) for part in ("train", "test")}
    for label, name in enumerate(("china.jpg", "flower.jpg")):
        photograph = load_sample_image(name)[:426].astype(float)
        half = photograph.reshape(213, 2, 320, 2, 3).mean((1, 3)).round().astype(np.uint8)
        places = {}
        for row in range(213 - 31):
            for column in range(320 - 31):
                places.setdefault(half[row : row + 32, column : column + 32].tobytes(), []).append((row, column))
        for part in ("train", "test"):
            images, labels = getattr(sample, part), getattr(sample, f"{part}_labels")
            assert labels.eq(label).sum() == len(labels) / 2
            spots = [places[image.tobytes()] for image in images[labels == label].numpy()]
            assert sum(len(where) == 1 for where in spots) > 0.95 * len(spots)  # the clear sky repeats itself
            for (row, column), *more in spots:
                if not more:
                    covered[part][label, row : row + 32, column : column + 32] = True
    assert not (covered["train"] & covered["test"]).any()
    assert covered["train"].mean() > 0.6 and covered["test"].mean() > 0.2


def test_speech_sample(offline, tmp_path):
    sample = data.load_speech(MISSING)
    assert 200 <= len(sample) <= 1000 and sample.rate == 8000 and len(sample.speakers) >= 3
    rows = set(zip(sample.digit.tolist(), sample.speaker.tolist(), sample.take.tolist()))
    assert len(rows) == len(sample) == 10 * len(sample.speakers) * (int(sample.take.max()) + 1)
    for i in range(len(sample)):
        recording = sample.recording(i).float()
        assert 1600 <= len(recording) <= 8000 and 8000 < recording.abs().max() < 32767
        assert recording[[0, -1]].abs().max() < 50
    # As strict as for a file: written out and read back it is the same.
    fields = {key: getattr(sample, key) for key in ("samples", "offsets", "digit", "speaker", "take")}
    np.savez(tmp_path / "fsdd.npz", **fields, speakers=np.array(sample.speakers), rate=sample.rate)
    back = data.load_speech(tmp_path)
    assert back.source == "local" and back.speakers == sample.speakers
    assert all(torch.equal(getattr(back, key), value) for key, value in fields.items())


def test_speech_sample_has_the_two_tones_of_each_key(offline):
    sample = data.load_speech(MISSING)
    keys = "941 1336 697 1209 697 1336 697 1477 770 1209 770 1336 770 1477 852 1209 852 1336 852 1477".split()
    for digit in range(10):
        row = ((sample.digit == digit) & (sample.speaker == sample.speakers.index("flute"))).nonzero()[-1].item()
        start = sample.recording(row)[:1024].double() * torch.hann_window(1024, dtype=torch.float64)
        power = torch.fft.rfft(start).abs()[: 1024 * 900 // 8000]  # up to 900 Hz: no harmonics yet
        peaks = [i for i in range(1, len(power) - 1) if power[i - 1] < power[i] >= power[i + 1]]
        peaks = sorted(sorted(peaks, key=lambda i: -power[i])[:2])
        wanted = [int(tone) / 2 for tone in keys[2 * digit : 2 * digit + 2]]
        assert [i * 8000 / 1024 for i in peaks] == pytest.approx(wanted, rel=0.04)
