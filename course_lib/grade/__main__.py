"""The command: python -m course_lib.grade SUBMISSIONS --out OUT, and what it does in place of grading."""

import argparse
import os
import sys
from pathlib import Path

from course_lib.grade import sandbox
from course_lib.grade.sandbox import NoSandbox, Sandbox
from course_lib.grade.shards import Shard

PROJECT = Path(__file__).resolve().parent.parent.parent
NOT_TO_BE_READ = ("course_lib", "solutions", "exercises", "notebooks", "tests", "benchmarks", "tools")


def main(arguments: list[str] | None = None) -> int:
    """-> the exit status: 0 once every row is written, 2 where nothing could be begun, 130 where it was stopped."""
    parser = _parser()
    options = parser.parse_args(arguments)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # toys are judged here; and who has used a GPU cannot be forked
    if (alone := _without_submissions(options)) is not None:
        return alone
    if options.submissions is None or (options.out is None and options.replay is None):
        parser.error("wanted SUBMISSIONS --out OUT, or one of the options in place of grading")
    marks = options.out or options.replay.resolve().parent
    hidden = (options.submissions, marks, *(PROJECT / name for name in NOT_TO_BE_READ))
    sandboxes: list[Sandbox] = []
    try:
        sandboxes = sandbox.make(options.sandbox, options.jobs, tuple(path.resolve() for path in hidden))
        for one in sandboxes:  # they load torch while the next line does
            one.launch()
        if options.replay:
            from course_lib.grade import replay

            return replay.run(options, sandboxes)
        from course_lib.grade.command import grade

        return grade(options, sandboxes)
    except NoSandbox as error:
        print(f"nothing was graded: {error}", file=sys.stderr)
        return 2
    finally:
        for one in sandboxes:
            one.close()


def _without_submissions(options) -> int | None:
    """What needs none, and no sandbox: the exit status, or None where nothing of the kind is asked for."""
    if options.about is not None:
        from course_lib.grade import about

        return about.run(options)
    if options.new_exercise or options.try_file or options.hand_out:
        from course_lib.grade import own

        does = own.begin if options.new_exercise else own.try_out if options.try_file else own.hand_out
        return does(options)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.grade",
        description="Grade SUBMISSIONS/<student>/<NN_topic>.ipynb. A run that was broken off goes on where it was.",
    )
    parser.add_argument(
        "submissions", type=Path, nargs="?", metavar="SUBMISSIONS", help="a folder with a folder for each student"
    )
    parser.add_argument("--out", type=Path, help="folder for gradebook.csv, and the files of each student")
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
        "--shard", type=Shard.from_text, metavar="2/8", help="grade this part alone; without it, all parts become marks"
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
    _add_what_is_no_grading(parser)
    return parser


def _add_what_is_no_grading(parser: argparse.ArgumentParser) -> None:
    instead = parser.add_argument_group("in place of grading").add_mutually_exclusive_group()
    instead.add_argument(
        "--about", nargs="?", const="", metavar="NAME", help="what stands behind a check, or behind all"
    )
    instead.add_argument(
        "--replay", type=Path, metavar="JOURNAL", help="ask SUBMISSIONS anew as OUT/verdicts.jsonl says, and compare"
    )
    instead.add_argument("--new-exercise", metavar="NAME", help="begin an exercise of your own: one file")
    instead.add_argument("--try", type=Path, dest="try_file", metavar="FILE", help="what stands behind its check?")
    instead.add_argument(
        "--hand-out",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="write the notebook for students (several: of one lesson)",
    )
    own = parser.add_argument_group("for an exercise of your own")
    own.add_argument("--lesson", default="90_mine", metavar="NN_TOPIC", help="its notebook's name (%(default)s)")
    own.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="where it is written (here)")
    own.add_argument("--with-check", action="store_true", help="hand out the check too, with the right answer in it")
    own.add_argument("--draws", type=_whole, default=20, help="of inputs, for --try and --about (%(default)s)")


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
