"""All exercises by the name of their answer, in the order of the course: one file each."""

import re
from importlib import import_module
from pkgutil import iter_modules

from course_lib.check.judge import Exercise

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__) if not re.fullmatch(r"e\d\d|drawing", module.name)]

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in sorted((module.EXERCISE for module in _MODULES), key=lambda one: (one.lesson, one.place, one.name))
}
