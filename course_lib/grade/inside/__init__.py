"""What runs in the sandbox, beside a stranger's code. It knows the question and nothing of what would be right.

    server    waits with torch loaded, and forks a process for each question
    limits    what such a process takes from itself before it reads the question
    answer    runs the answer and packs what `course_lib.check.observe` wrote down of it
    program   finds the lines of a notebook that make an answer
    wire      what goes in and what comes out, as bytes

A sandbox holds copies of these files, of `check/observe.py` and of `check/elsewhere.py`, under the same names, and
nothing else of the course. They import torch, each other, and nothing more.
"""
