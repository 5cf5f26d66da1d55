"""All exercises by the name of their answer, in the order of the course. Each stands in a file of its own."""

from importlib import import_module
from pkgutil import iter_modules

from course_lib.check.judge import Exercise

_ALL = [import_module(f"{__name__}.{module.name}").EXERCISE for module in iter_modules(__path__)]
_ALL.sort(key=lambda exercise: (exercise.lesson, exercise.place, exercise.name))

EXERCISES: dict[str, Exercise] = {exercise.name: exercise for exercise in _ALL}
