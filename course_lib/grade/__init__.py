"""Grades notebooks that nobody trusts: `python -m course_lib.grade SUBMISSIONS --out OUT`.

    command       the settings, the folder, the class, the tables: what the command does; `__main__` has its options
    classroom     a class from the first question to the last finding, several answers at a time
    submissions   finds the notebooks, reads them, runs nothing
    examiner      asks an answer in a sandbox, compares what came of it with the reference, and says what it was
    given         what an answer may import of the course
    sandbox       a place that cannot reach anything, with `inside` in it; `machine` knows what it needs of this one
    inside/       what runs beside the student's code, and what goes in and comes out
    finding       what is known of one answer
    journal       every finding at once, so that a grader that was killed goes on where it was
    settings      points, late work, an instructor's own exercises: one small file
    marks         what a class got, from the findings and the settings
    replay        asks a journal's answers anew, and compares: --replay
    about         what stands behind the checks: --about
    own           an exercise of an instructor's own: --new-exercise, --try, --hand-out
    overrides     marks that a person gives, and comments
    changes       what was written the last time: a gradebook that a person changed, marks that are others now
    class_report  the class in view: counts, mistakes, what to teach again; `sections` where a lesson treats an answer
    reports       writes what a class gets: `tables`, `pages` (from templates/) and `gradescope`
    service       one student's work where a service starts a container for it: Gradescope, PrairieLearn, Classroom 50
    listing       the code of an answer, as lines of a page
    alike         which answers are alike beyond what a short right answer must be

Answers cross the boundary, never verdicts. The student's code sends back tensors, numbers and words; the reference, the
comparison and the score exist in the grader alone. docs/instructors.md says what that stops and what it does not.
"""
