"""A class, from the first question to the last finding."""

import contextlib
import queue
import signal
import threading
import traceback

from tqdm import tqdm

from course_lib.grade import submissions
from course_lib.grade.examiner import Examiner, Weigh
from course_lib.grade.finding import Finding
from course_lib.grade.journal import Journal
from course_lib.grade.sandbox import NoSandbox, Sandbox


class Classroom:
    """The questions of a class, several at a time, each in a sandbox; what is known already is not asked again.

    work:     (student, lesson, names of the lesson's answers), of everybody.
    findings: by student and lesson, with the notebook that they are about.
    fault:    why the journal cannot be written, where it cannot.
    """

    def __init__(self, work: list, examiner: Examiner, journal: Journal, stamps: bool):
        self.work, self.examiner, self.journal, self.stamps = work, examiner, journal, stamps
        self.findings: dict[tuple[str, str], tuple[submissions.Notebook, list[Finding]]] = {}
        self.fault: OSError | None = None
        self.asked = self.known = 0
        self._lock, self._stop = threading.Lock(), threading.Event()

    @property
    def verdicts(self) -> int:
        """How many the journal keeps."""
        return self.journal.taken_over + self.asked

    def grade(self, sandboxes: list[Sandbox], scales: list[Weigh]) -> bool:
        """False where it was stopped from outside; then every finding is in the journal."""
        waiting: queue.SimpleQueue = queue.SimpleQueue()
        for item in self.work:
            waiting.put(item)
        count = sum(len(names) for *_, names in self.work)
        bar = tqdm(total=count, desc="grading", unit="answer", disable=None, smoothing=0.05)
        workers = [
            threading.Thread(target=self._work, args=(waiting, bar, *pair), daemon=True)
            for pair in zip(sandboxes, scales)
        ]
        with _stopped_by_signals(self._stop):
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():
                    worker.join(0.2)
        bar.close()
        return not self._stop.is_set()

    def _work(self, waiting: queue.SimpleQueue, bar: tqdm, sandbox: Sandbox, weigh: Weigh) -> None:
        try:
            while not self._stop.is_set():
                try:
                    student, lesson, names = waiting.get_nowait()
                except queue.Empty:
                    break
                notebook = submissions.read(student, lesson, self.stamps)
                findings = []
                for name in names:
                    if self._stop.is_set():
                        return
                    findings.append(self._finding(notebook, name, sandbox, weigh))
                    bar.update()
                self.findings[student.name, lesson] = notebook, findings
        except OSError as error:  # of the journal: what cannot be kept is not worth finding out
            self.fault = error
            self._stop.set()
        finally:
            sandbox.close()

    def _finding(self, notebook: submissions.Notebook, name: str, sandbox: Sandbox, weigh: Weigh) -> Finding:
        known = self.journal.find(notebook.student, name, notebook.digest, self.examiner.seconds_for(name))
        if known is not None:
            self.known += 1
            return known
        try:
            finding = self.examiner.ask(notebook, name, sandbox, weigh)
        except NoSandbox as error:
            finding = self.examiner.not_graded(notebook, name, str(error))
        except Exception as error:  # a fault of the grader's costs one verdict, and is told
            traceback.print_exc()
            why = f"the grader itself failed: {type(error).__name__}: {error}"
            finding = self.examiner.not_graded(notebook, name, why)
        with self._lock:
            self.journal.write(finding)
            self.asked += 1
        return finding


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event):
    """Ctrl-C and an orderly end from outside set it; a second one ends the command at once."""

    def handle(number, frame):
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before):
            signal.signal(number, old)
