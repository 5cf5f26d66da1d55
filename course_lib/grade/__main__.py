"""The command: python -m course_lib.grade SUBMISSIONS --out OUT"""

import argparse
import os
import sys
from pathlib import Path

from course_lib.grade import sandbox
from course_lib.grade.sandbox import NoSandbox, Sandbox

PROJECT = Path(__file__).resolve().parent.parent.parent
NOT_TO_BE_READ = ("course_lib", "solutions", "exercises", "notebooks", "tests", "benchmarks", "tools")


def main(arguments: list[str] | None = None) -> int:
    """-> the exit status: 0 once every row is written, 2 where nothing could be begun, 130 where it was stopped."""
    options = _parser().parse_args(arguments)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # toys are judged here; and who has used a GPU cannot be forked
    hidden = (options.submissions, options.out, *(PROJECT / name for name in NOT_TO_BE_READ))
    sandboxes: list[Sandbox] = []
    try:
        sandboxes = sandbox.make(options.sandbox, options.jobs, tuple(path.resolve() for path in hidden))
        for one in sandboxes:  # they load torch while the next line does
            one.launch()
        from course_lib.grade.command import grade

        return grade(options, sandboxes)
    except NoSandbox as error:
        print(f"nothing was graded: {error}", file=sys.stderr)
        return 2
    finally:
        for one in sandboxes:
            one.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.grade",
        description="Grade SUBMISSIONS/<student>/<NN_topic>.ipynb. A run that was broken off goes on where it was.",
    )
    parser.add_argument("submissions", type=Path, metavar="SUBMISSIONS", help="a folder with a folder for each student")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for gradebook.csv, and the files of each student"
    )
    parser.add_argument("--jobs", type=_whole, default=_cores(), help="questions at a time (here: %(default)s)")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="that a question may take (10; 60 if it trains)"
    )
    parser.add_argument("--memory", type=_whole, metavar="MIB", help="that it may take (512)")
    parser.add_argument("--exercise", action="append", metavar="NN", help="only this one; may be given several times")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="points, late work, private exercises (TOML)")
    parser.add_argument(
        "--overrides", type=Path, metavar="FILE", help="marks by hand (OUT/overrides.toml, if it is there)"
    )
    parser.add_argument(
        "--again", action="append", metavar="NAME", default=[], help="ask this student, answer or exercise once more"
    )
    parser.add_argument("--canvas", nargs="?", const="", metavar="EXPORTED", help="write canvas.csv too")
    parser.add_argument("--nbgrader", action="store_true", help="write nbgrader.csv too")
    parser.add_argument(
        "--sandbox",
        choices=sandbox.KINDS,
        default="bubblewrap",
        help="process: where there are no namespaces; holds less",
    )
    return parser


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and a day")
    return value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # all is written and closed; torch would take another second to leave
