"""Write build/launch/: lessons and exercises for Colab and Kaggle. `make launch COURSE_URL=https://...` calls it.

    python tools/launch.py https://github.com/someone/course build/launch

These services open one notebook and know nothing of the repository around it. So each copy begins with a cell that
brings the course along, and its links to other files lead to the repository. The committed notebooks know no address;
the copies are made for one, and pushed to a branch `launch`, to which the site's buttons lead (site/launch.py).
"""

import json
import posixpath
import re
import shutil
import sys
import textwrap
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent
KEPT = ("torch", "torchvision", "numpy")  # the service's own, made for its GPU and loaded by its kernel
BROUGHT = (
    "vector-quantize-pytorch", "einops", "matplotlib", "scikit-learn", "umap-learn", "tqdm", "anywidget", "safetensors",
    "babel", "pooch", "requests",
)  # fmt: skip
CELL = '''\
# Run this cell first. It brings the course to Colab or Kaggle, into the folder course/, and leaves their PyTorch as it
# is. On Kaggle it needs Settings > Internet. Where the course is installed already, it does nothing.
import importlib.util
import os
import subprocess
import sys
from importlib.metadata import version

if importlib.util.find_spec("course_lib") is None:
    course = os.path.abspath("course")
    if not os.path.exists(course):
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{url}", course], check=True)
    kept = os.path.join(course, ".git", "kept.txt")
    with open(kept, "w") as file:
        file.writelines(f"{{name}}=={{version(name)}}\\n" for name in {kept})
    wanted = """
{wanted}
    """.split()
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--constraint", kept, *wanted], check=True)
    sys.path.insert(0, course)
    os.environ["PYTHONPATH"] = os.pathsep.join([course, os.environ.get("PYTHONPATH", "")])  # for what a cell starts
    os.chdir(os.path.join(course, "{folder}"))'''


def main(arguments: list[str]) -> None:
    url, out = arguments[0].rstrip("/"), Path(arguments[1])
    shutil.rmtree(out, ignore_errors=True)
    for folder in ("notebooks", "exercises"):
        for path in sorted((PROJECT / folder).glob("[0-9][0-9]_*.ipynb")):
            place = out / folder / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(launched(json.loads(path.read_text(encoding="utf-8")), url, folder), indent=1)
            place.write_text(text + "\n", encoding="utf-8")
    print(f"{out} is written: push it as the branch `launch` of {url}")


def launched(notebook: dict, url: str, folder: str) -> dict:
    """The notebook that brings the course from `url`, for somebody who has nothing else."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            # with a dot in the file's name, so that no index in code and no formula is taken for a link
            source = re.sub(r"\]\(([^)#:\s]+\.\w+)([#)])", lambda link: _absolute(link, url, folder), source)
            cell["source"] = source.splitlines(keepends=True)
    wanted = textwrap.fill(
        " ".join(requirements()), width=100, initial_indent=8 * " ", subsequent_indent=8 * " ", break_on_hyphens=False
    )
    code = CELL.format(url=url, folder=folder, kept=KEPT, wanted=wanted)
    first = {
        "cell_type": "code", "id": "bring-the-course", "metadata": {}, "source": code.splitlines(keepends=True),
        "execution_count": None, "outputs": [],
    }  # fmt: skip
    return notebook | {"cells": [first, *notebook["cells"]]}


def _absolute(link: re.Match, url: str, folder: str) -> str:
    return f"]({url}/blob/HEAD/{posixpath.normpath(posixpath.join(folder, link[1]))}{link[2]}"


def requirements() -> list[str]:
    """What the lessons need besides, in the versions of pyproject.toml."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {requirement.name: str(requirement) for requirement in map(Requirement, project["dependencies"])}
    return [named[name] for name in BROUGHT]


if __name__ == "__main__":
    main(sys.argv[1:])
