"""What an answer may import of the course: what earlier exercises had one write, and what needs nothing else."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from course_lib.check.exercises import EXERCISES

COURSE = Path(__file__).resolve().parent.parent
MODULES = ("guards", "ranks", "search", "quantize")
NOT_BEFORE = {"search": "nearest_codes"}  # a module that would answer for whoever has not answered this yet


@functools.cache
def given(lesson: str) -> dict[str, str]:
    """Sources of the modules, by name, as far as answers of this lesson may use them. What a function needs and is not
    given takes the function along."""
    later = {exercise.name for exercise in EXERCISES.values() if exercise.lesson >= lesson}
    withheld = {name for name, answer in NOT_BEFORE.items() if answer in later}
    return {name: _without(later | withheld, name) for name in MODULES if name not in withheld}


def _without(lost: set[str], module: str) -> str:
    """The module's source without these names, without classes, without what needs either, and without inner functions
    of which nothing is left that uses them: they may be half of an answer."""
    tree = ast.parse((COURSE / f"{module}.py").read_text(encoding="utf-8"))
    parts = {name: node for node in _one_name_each(tree.body) for name in _names_of(node)}
    kept = {name for name, node in parts.items() if not isinstance(node, ast.ClassDef) and name not in lost}
    needs = {
        name: {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & parts.keys() for name, node in parts.items()
    }
    while unusable := {name for name in kept if not needs[name] <= kept}:
        kept -= unusable
    used = {name for name in kept if not name.startswith("_")}
    while more := set().union(*(needs[name] for name in used)) - used:
        used |= more
    return "\n\n".join(map(ast.unparse, dict.fromkeys(node for name, node in parts.items() if name in used)))


def _one_name_each(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """`from course_lib import guards, search` as two lines: one of them may be withheld."""
    for node in body:
        if isinstance(node, ast.ImportFrom):
            yield from (ast.ImportFrom(node.module, [alias], node.level) for alias in node.names)
        else:
            yield node


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
