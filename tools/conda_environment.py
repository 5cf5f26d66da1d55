"""Print environment.yml: the pins of requirements.lock as conda's pip section. `make lock` calls it.

conda hands the whole pip section to pip as one requirements file, and pip refuses an editable project in a file that
holds hashes. So the pins and their markers go in without them; requirements.lock remains the one with hashes.
"""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent

HEADER = """\
# Generated from requirements.lock by `make lock`; do not edit. Use: conda env create -f environment.yml
name: vq-course
channels:
  - conda-forge
dependencies:
  - python{python}
  - pip
  - pip:
"""


def main() -> None:
    python = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    lock = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^(\S+==.*?) \\$", lock, flags=re.MULTILINE)
    print(HEADER.format(python=python), *(f"      - {pin}\n" for pin in [*pins, "-e ."]), sep="", end="")


if __name__ == "__main__":
    main()
