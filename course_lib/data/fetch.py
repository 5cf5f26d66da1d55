"""Downloads by pooch: whole and with the right checksum, or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from course_lib.data.formats import DataError

# torchvision, pooch and requests take a second or more to import and most calls need none of them, so they are
# imported where they are needed.

TIMEOUT = (3, 10)  # seconds to connect to an address, then of silence; requests by itself waits for ever


class NoNetwork(Exception):
    """Nothing can be downloaded now. The message is half a sentence that says why."""


def download(name: str, folder: Path, shown: str) -> None:
    """Puts "mnist" or "cifar10" into the folder, in torchvision's layout and from torchvision's addresses.

    A mirror that does not answer costs 3 s for each of its addresses, one that falls silent 10 s, besides what the
    system waits for its name servers; then it is the next one's turn. MNIST has two mirrors, CIFAR-10 one address.

    Args:
        shown: what the folder is called in the printed line.

    Raises:
        NoNetwork: no mirror answers, the connection is lost, or COURSE_OFFLINE is set.
        DataError: what arrived is not what it should be, or the folder cannot be written. Nothing is kept.
    """
    if os.environ.get("COURSE_OFFLINE", "0") not in ("", "0"):
        raise NoNetwork("COURSE_OFFLINE is set")
    import requests
    from torchvision.datasets import CIFAR10, MNIST

    if name == "mnist":
        mirrors, archives, size = MNIST.mirrors, MNIST.resources, "11 MB"
        layout = unpack_in = "MNIST/raw"
    else:
        mirrors, archives = [CIFAR10.url.removesuffix(CIFAR10.filename)], [(CIFAR10.filename, CIFAR10.tgz_md5)]
        size, layout, unpack_in = "170 MB", CIFAR10.base_folder, ""
    mirrors = _answering(mirrors, archives[0][0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = tempfile.TemporaryDirectory(dir=folder, prefix=".download-", ignore_cleanup_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written, so {name.upper()} cannot be downloaded: {error}. Name another "
            "folder as root or in COURSE_DATA, or set COURSE_OFFLINE=1 for the embedded sample."
        ) from error
    print(f"Downloading {name.upper()} ({size}) into {shown} ...", flush=True)
    with staging as temporary:
        try:
            _retrieve(mirrors, archives, Path(temporary, unpack_in))
            _move(Path(temporary, layout), folder / layout)
        except (requests.ConnectionError, requests.Timeout, requests.HTTPError) as error:
            raise NoNetwork(f"the download broke off ({_cause(error)})") from error
        except (ValueError, OSError) as error:
            raise DataError(
                f"the download of {name.upper()} into {folder} failed and nothing of it was kept: {_cause(error)}. "
                "Call again, or set COURSE_OFFLINE=1 to go on with the embedded sample."
            ) from error


def _answering(mirrors: list[str], archive: str) -> list[str]:
    """The mirrors from the first that answers on; asked before anything is printed or made."""
    import requests

    reasons = []
    for i, mirror in enumerate(mirrors):
        try:
            with requests.get(mirror + archive, stream=True, timeout=TIMEOUT) as response:
                response.raise_for_status()
            return mirrors[i:]
        except requests.RequestException as error:
            reasons.append(_cause(error))
    raise NoNetwork(f"no network ({reasons[0]})")


def _retrieve(mirrors: list[str], archives: list[tuple[str, str]], folder: Path) -> None:
    """Archives (name, MD5) from the first mirror that gives all of them, each with what it holds beside it."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # its other lines show absolute paths
    errors = []
    for mirror in mirrors:
        downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=TIMEOUT)
        try:
            for archive, md5 in archives:
                tar, name = archive.endswith(".tar.gz"), archive.removesuffix(".gz")
                unpack = pooch.Untar(extract_dir=".") if tar else pooch.Decompress(name=name)
                pooch.retrieve(mirror + archive, f"md5:{md5}", archive, folder, unpack, downloader)
            return
        except (ValueError, requests.RequestException) as error:
            errors.append(error)
    raise errors[0]


def _move(new: Path, target: Path) -> None:
    """In one step, so that a reader sees all of it or nothing."""
    target.parent.mkdir(exist_ok=True)
    with suppress(OSError):
        target.rmdir()  # the empty folder that torchvision leaves without a network; Windows moves nothing onto one
    try:
        os.replace(new, target)
    except OSError:
        if not {path.name for path in new.iterdir()} <= {path.name for path in target.iterdir()}:
            raise  # else another process has finished the same download first, which is as good


def _cause(error: BaseException) -> BaseException:
    """What lies below requests' nested errors: "[Errno 111] Connection refused"."""
    while error.__context__ is not None:
        error = error.__context__
    return error
