"""Version, authors and licence stand in several files, as each service reads its own."""

import json
import re
import tomllib
from pathlib import Path

import yaml

PROJECT = Path(__file__).parent.parent


def read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def test_they_say_the_same():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    citation, zenodo = yaml.safe_load(read("CITATION.cff")), json.loads(read(".zenodo.json"))
    version, date = re.search(r"^## \[(\d\S*)\] - (\S+)$", read("CHANGELOG.md"), re.MULTILINE).groups()
    assert project["version"] == citation["version"] == zenodo["version"] == version
    assert citation["date-released"] == date
    assert project["license"] == citation["license"] == zenodo["license"] == "MIT"
    (author,), (creator,) = citation["authors"], zenodo["creators"]
    assert author == creator and author["name"].lower() in read("LICENSE").lower()
    for one, other in (("title", "title"), ("keywords", "keywords")):
        assert citation[one] == zenodo[other]
    assert zenodo["description"] == f"<p>{citation['abstract']}</p>"
