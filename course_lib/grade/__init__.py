"""Grades notebooks that nobody trusts: `python -m course_lib.grade SUBMISSIONS --out OUT`.

    grading       a class from the first question to the last row
    submissions   finds the notebooks, reads them, runs nothing
    questions     asks an answer in a sandbox, compares what came with the reference, and says what it was
    sandbox       a process that cannot reach anything: `container` builds it, `zygote` waits in it, `inside` is the
                  part that runs beside the student's code; `wire` is what goes in and what comes out
    journal       every verdict at once, so that a grader that was killed goes on where it was
    settings      points, late work, an instructor's own exercises: one small file
    reports       the gradebook, and what students and other systems get

Answers cross the boundary, never verdicts. The student's code sends back tensors, numbers and words; the reference, the
comparison and the score exist in the grader alone. docs/instructors.md says what that stops and what it does not.
"""
