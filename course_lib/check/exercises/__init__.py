"""All exercises by the name of their answer, in the order of the course."""

from course_lib.check.exercises import e03, e04
from course_lib.check.judge import Exercise

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise for module in (e03, e04) for exercise in module.EXERCISES
}
