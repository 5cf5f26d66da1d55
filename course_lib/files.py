"""Files that are written beside the old one and then take its place: a reader finds the old or the new, and whole."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def write(path: Path, content: str | bytes) -> None:
    """Puts `content` into the file `path`, all of it or nothing. Text becomes UTF-8, its line ends as they are."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file, open for writing bytes, that takes the place of `path` at the end of the `with` block.

    Its folder must exist. After an error in the block, `path` is as it was and nothing is left beside it. A killed
    process leaves `.NAME-xxxxxxxx.part`. The new file has the old one's permissions, or those of any new file.

        with files.replacing(Path("checkpoint.pt")) as file:
            torch.save(state, file)
    """
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")  # another process may be writing the same file
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # on the disk before the name points to it, in case the power goes
        with suppress(FileNotFoundError):
            shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
