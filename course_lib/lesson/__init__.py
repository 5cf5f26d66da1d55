"""What a lesson shows: figures, what became of a prediction, `diagnose`. It knows nothing of checks and grading."""


def __getattr__(name: str):
    if name == "diagnose":  # not imported before it is asked for: widgets and figures need none of it
        from course_lib.lesson.symptoms import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
