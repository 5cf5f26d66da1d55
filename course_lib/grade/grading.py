"""A class from the first question to the last row."""

import contextlib
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path

import torch
from tqdm import tqdm

from course_lib.grade import reports, settings, submissions
from course_lib.grade.journal import InUse, Journal
from course_lib.grade.questions import MEMORY, Examiner, Finding
from course_lib.grade.sandbox import TRAINING, NoSandbox, Sandbox


def grade(asked, sandboxes: list[Sandbox]) -> int:
    """asked: what the command line said. -> the exit status: 0 once every row is written, 2 where nothing could be
    begun, 130 where it was stopped."""
    torch.set_num_threads(1)  # toys are judged faster so
    try:
        chosen = settings.load(asked.settings)
        lessons = _lessons(chosen, asked.exercise)
        for needed in filter(None, (asked.submissions, asked.canvas)):
            if not Path(needed).exists():
                raise ValueError(f"there is no {needed}")
        canvas = reports.Roster(Path(asked.canvas) if asked.canvas else None) if asked.canvas is not None else None
        students = submissions.students_in(asked.submissions, leave_out=asked.out)
        if not students:
            raise ValueError(
                f"{asked.submissions} holds no student's folder; wanted {asked.submissions}/<student>/<NN_topic>.ipynb"
            )
        submissions.name_unknown_files(students, chosen.lessons())
        lessons = _handed_out(chosen, students) if lessons is None else lessons
        memory = MEMORY if asked.memory is None else asked.memory << 20
        examiner = Examiner(chosen.exercises, seconds=asked.timeout, memory=memory)
        journal = Journal(asked.out, examiner.seed, chosen.fingerprint())
        examiner.seed = journal.seed
    except (ValueError, OSError, InUse) as error:  # BadSettings is a ValueError
        print(f"nothing was graded: {error}", file=sys.stderr)
        return 2
    work = [(student, lesson, chosen.lessons()[lesson]) for student in students for lesson in lessons]
    run = Run(work, examiner, journal, chosen.stamps)
    finished = run.through(sandboxes)
    if run.fault:
        print(f"stopped after {run.done} verdicts: {journal.path} cannot be written: {run.fault}", file=sys.stderr)
        return 1
    if not finished:
        print(
            f"stopped; {journal.path} keeps {run.done} verdicts, and the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    rows = [_row(student, lessons, chosen, run) for student in students]
    journal.close()
    try:
        reports.write_all(asked.out, rows, canvas, asked.nbgrader)
    except OSError as error:
        print(
            f"all is graded, but {asked.out} cannot be written: {error}; the same command tries again", file=sys.stderr
        )
        return 1
    print(_summary(run, asked.out))
    for line in _to_look_at(asked.submissions, rows, canvas):
        print(f"look at: {line}", file=sys.stderr)
    return 0


def _lessons(chosen: settings.Settings, asked: list[str] | None) -> list[str] | None:
    """The lessons that --exercise names, by their whole name or their number; None where it names none."""
    if not asked:
        return None
    there, found = list(chosen.lessons()), []
    for name in asked:
        wanted = name.removesuffix(".ipynb")
        fits = [lesson for lesson in there if lesson == wanted or lesson.split("_")[0] == wanted]
        if not fits:
            raise ValueError(f"there is no exercise {name!r} with points; there are {', '.join(there)}")
        found += fits
    return sorted(set(found))


def _handed_out(chosen: settings.Settings, students: list[submissions.Student]) -> list[str]:
    """What the settings give points, and what anybody handed in."""
    files = {name for student in students for name in student.files}
    found = [lesson for lesson in chosen.lessons() if f"{lesson}.ipynb" in files or lesson in chosen.named]
    if not found:
        wanted = ", ".join(f"{lesson}.ipynb" for lesson in list(chosen.lessons())[:3])
        raise ValueError(f"no folder holds a notebook with the name of an exercise ({wanted}, ...)")
    return found


class Run:
    """The questions of a class, several at a time, each in a sandbox; what is known already is not asked again."""

    def __init__(self, work: list, examiner: Examiner, journal: Journal, stamps: bool):
        self.work, self.examiner, self.journal, self.stamps = work, examiner, journal, stamps
        self.fault: OSError | None = None
        self.trains = any(examiner.trains(check) for *_, checks in work for check in checks)
        self.results: dict[tuple[str, str], tuple[submissions.Notebook, list[Finding]]] = {}
        self.asked = self.reused = 0
        self._lock, self._stop = threading.Lock(), threading.Event()

    @property
    def done(self) -> int:
        return self.journal.taken_over + self.asked

    def through(self, sandboxes: list[Sandbox]) -> bool:
        """False where it was stopped from outside; then everything that was found is in the journal."""
        waiting: queue.SimpleQueue = queue.SimpleQueue()
        for item in self.work:
            waiting.put(item)
        count = sum(len(checks) for *_, checks in self.work)
        bar = tqdm(total=count, desc="grading", unit="answer", disable=None, smoothing=0.05)
        workers = [threading.Thread(target=self._work, args=(waiting, bar, one), daemon=True) for one in sandboxes]
        with _stopped_by_signals(self._stop):
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():
                    worker.join(0.2)
        bar.close()
        return not self._stop.is_set()

    def _work(self, waiting: queue.SimpleQueue, bar: tqdm, sandbox: Sandbox) -> None:
        sandbox.loaded = TRAINING if self.trains else ()
        try:
            while not self._stop.is_set():
                try:
                    student, lesson, checks = waiting.get_nowait()
                except queue.Empty:
                    break
                notebook = submissions.read(student, lesson, self.stamps)
                findings = []
                for check in checks:
                    if self._stop.is_set():
                        return
                    findings.append(self._finding(notebook, check, sandbox))
                    bar.update()
                self.results[student.name, lesson] = notebook, findings
        except OSError as error:  # of the journal: what cannot be kept is not worth finding out
            self.fault = error
            self._stop.set()
        finally:
            sandbox.close()

    def _finding(self, notebook: submissions.Notebook, check: str, sandbox: Sandbox) -> Finding:
        known = self.journal.find(notebook.student, check, notebook.digest, self.examiner.seconds_for(check))
        if known is not None:
            self.reused += 1
        else:
            try:
                known = self.examiner.ask(notebook, check, sandbox)
            except NoSandbox as error:
                known = self.examiner.not_graded(notebook, check, str(error))
            except Exception as error:  # a fault of the grader's costs one verdict, and is told
                traceback.print_exc()
                known = self.examiner.not_graded(
                    notebook, check, f"the grader itself failed: {type(error).__name__}: {error}"
                )
            with self._lock:
                self.journal.write(known)
                self.asked += 1
        return known


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event):
    """Ctrl-C and an orderly end from outside set it; a second one ends the command at once."""

    def handle(number, frame):
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM)]
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before):
            signal.signal(number, old)


def _row(student: submissions.Student, lessons: list[str], chosen: settings.Settings, run: Run) -> reports.Row:
    marks = []
    for lesson in lessons:
        notebook, findings = run.results[student.name, lesson]
        points = {name: chosen.points[name] for name in chosen.lessons()[lesson]}
        lost = chosen.lost_by(student.name, lesson, notebook.handed_in)
        due = chosen.due.get(lesson, chosen.due.get(""))
        marks.append(reports.Mark(lesson, findings, points, lost, notebook.handed_in, chosen.partial_credit, due))
    return reports.Row(student.name, marks, list(dict.fromkeys(student.notes)))


def _to_look_at(folder: Path, rows: list[reports.Row], canvas: reports.Roster | None):
    """What is in the tables too, and must not be overlooked."""
    for row in rows:
        lessons = [mark.lesson for mark in row.marks if not mark.graded]
        if lessons:
            why = next(f.rows[0][1] for m in row.marks for f in m.findings if f.verdict == "not_graded")
            yield f"{submissions.shown(row.student)}, not graded: {', '.join(lessons)} ({why})"
    if unused := submissions.unused_files(folder):
        yield f"nobody's file in {folder}: {', '.join(map(submissions.shown, unused))}"
    if canvas and canvas.lines and canvas.unknown:
        yield f"not in the gradebook exported from Canvas: {', '.join(map(submissions.shown, canvas.unknown))}"


def _summary(run: Run, out: Path) -> str:
    counts: dict[str, int] = {}
    for _, findings in run.results.values():
        for found in findings:
            counts[found.verdict] = counts.get(found.verdict, 0) + 1
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items(), key=lambda item: -item[1]))
    before = f", {run.reused} of them known before" if run.reused else ""
    return f"{len({student for student, _ in run.results})} students, {sum(counts.values())} answers{before}: {verdicts}\n{out / 'gradebook.csv'}"
