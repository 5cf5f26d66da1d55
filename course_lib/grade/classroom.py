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
from course_lib.grade.sandbox import SLOW_TO_LOAD, NoSandbox, Sandbox

PATIENCE = 3  # answers of one student that may take all their time and not end; the others then get less


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
        self._endless: dict[str, int] = {}  # by student: answers that did not end
        self._fresh: set[tuple[str, str, str]] = set()  # (student, lesson, answer) of those that were asked in this run

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
            again = threading.Thread(target=self._ask_again, args=(sandboxes[0], scales[0]), daemon=True)
            again.start()
            while again.is_alive():
                again.join(0.2)
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

    def _ask_again(self, sandbox: Sandbox, weigh: Weigh) -> None:
        """What did not end in this run, alone this time, and with slow libraries loaded: others may have been in its
        way. Who has more of them than there is patience for keeps what was found of the rest."""
        late = [pair for pair, (_, findings) in self.findings.items() if any(map(_did_not_end, findings))]
        words = "".join(cell["source"] for pair in late for cell in self.findings[pair][0].cells)
        sandbox.modules = tuple({module: None for word, module in SLOW_TO_LOAD.items() if word in words})
        self._endless.clear()
        try:
            for student, lesson in sorted(late):
                notebook, findings = self.findings[student, lesson]
                for index, finding in enumerate(findings):
                    if self._stop.is_set():
                        return
                    in_this_run = (student, lesson, finding.check) in self._fresh
                    if _did_not_end(finding) and in_this_run and not self._is_hurried(student):
                        findings[index] = self._asked(notebook, finding.check, sandbox, weigh, hurried=False)
                    self._count(findings[index])
        except OSError as error:
            self.fault = error
            self._stop.set()
        finally:
            sandbox.close()

    def _is_hurried(self, student: str) -> bool:
        return self._endless.get(student, 0) >= PATIENCE

    def _count(self, finding: Finding) -> None:
        with self._lock:
            slow = finding.verdict != "pass" and finding.seconds >= finding.allowed / 2 > 0
            self._endless[finding.student] = self._endless.get(finding.student, 0) + (slow or _did_not_end(finding))

    def _finding(self, notebook: submissions.Notebook, name: str, sandbox: Sandbox, weigh: Weigh) -> Finding:
        hurried = self._is_hurried(notebook.student)
        seconds, memory = self.examiner.seconds_for(name, hurried), self.examiner.memory
        finding = self.journal.find(notebook.student, name, notebook.digest, seconds, memory)
        if finding is None:
            finding = self._asked(notebook, name, sandbox, weigh, hurried)
        else:
            self.known += 1
        self._count(finding)
        return finding

    def _asked(
        self, notebook: submissions.Notebook, name: str, sandbox: Sandbox, weigh: Weigh, hurried: bool
    ) -> Finding:
        try:
            finding = self.examiner.ask(notebook, name, sandbox, weigh, hurried)
        except NoSandbox as error:
            finding = self.examiner.not_graded(notebook, name, str(error))
        except Exception as error:  # a fault of the grader's costs one verdict, and is told
            traceback.print_exc()
            why = f"the grader itself failed: {type(error).__name__}: {error}"
            finding = self.examiner.not_graded(notebook, name, why)
        with self._lock:
            self.journal.write(finding)
            self.asked += (notebook.student, notebook.lesson, name) not in self._fresh
            self._fresh.add((notebook.student, notebook.lesson, name))
        return finding


def _did_not_end(finding: Finding) -> bool:
    return finding.verdict == "timeout"


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
