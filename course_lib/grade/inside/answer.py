"""Runs a student's answer and packs what `observe` wrote down of it."""

import importlib.abc
import importlib.util
import sys

import torch

from course_lib.check.observe import Call, Raised, Seed, raised, run_all
from course_lib.grade.inside import wire
from course_lib.grade.inside.program import places, run


def warm_up() -> None:
    """What the first question would otherwise wait for, in every process anew."""
    torch.set_num_threads(1)
    call = Call((torch.ones(2, 2), torch.ones(2, 2)), ("x", "y"), differentiate=(0, 1), elsewhere=True)
    observation = run_all(lambda x, y: torch.cdist(x, y).square().sum() + (x @ y).argmin(dim=0).sum(), call)
    wire.unpack(wire.pack(observation))


def answer(question: bytes) -> bytes:
    """The reply: a dictionary with "candidates", how many places define the answer; "cell", the number of the one that
    was asked, and "last", of the last of them; and one of "syntax", "raised", "refused" and "runs".

    question is two dictionaries, joined. One of the notebook:
    name:      of the answer.
    cells:     in order: {"number": ..., "source": ..., "tags": [...]}, code alone.
    candidate: which of the places that define the answer; 0 is what counts in the student's own kernel.
    One of the exercise:
    calls:     what to call it with, the fields of a `Call` each; a `Seed` among the arguments is {"number": ...}.
    given:     by name, sources of the course's modules as far as this exercise lets an answer import them.
    """
    notebook, exercise = (wire.unpack(part, most_header=len(part)) for part in wire.split(question))
    there = places(notebook["name"], notebook["cells"])
    calls = [_as_call(fields) for fields in exercise["calls"]]
    torch.set_num_threads(1)
    _hide_the_course(exercise["given"])
    about = {"candidates": len(there)}
    try:
        came = {}
        if notebook["candidate"] < len(there):
            number, program = there[notebook["candidate"]]
            about |= {"cell": number, "last": max(cell for cell, _ in there)}
            came = _reply(notebook["name"], program, calls)
        return wire.pack(about | came)
    except wire.Unacceptable as error:
        return wire.pack(about | {"refused": str(error)})


def _as_call(fields: dict) -> Call:
    args = tuple(Seed(**arg) if type(arg) is dict else arg for arg in fields["args"])
    return Call(**fields | {"args": args})


def _reply(name: str, program, calls: list[Call]) -> dict:
    if isinstance(program, SyntaxError):
        return {"syntax": [program.lineno, str(program.msg), (program.text or "").rstrip()]}
    space, error, failed_imports = run(program)
    files = {line.file for line in program}
    if name not in space:
        return {"raised": _as_list(raised(error, files)), "failed imports": failed_imports} if error else {}
    if not callable(space[name]):
        why = f"{name} is of type {type(space[name]).__name__}, no function or class"  # a value that took its name
        return {"raised": ["TypeError", why, None, ""], "failed imports": failed_imports}
    runs, room = [], wire.MOST_RESULTS
    for call in calls:
        try:
            observations = run_all(space[name], call)
        except MemoryError:
            raise
        except BaseException as error:  # KeyboardInterrupt, or a stranger's own
            return {"raised": _as_list(raised(error, files)), "failed imports": failed_imports}
        for observation in observations.values():
            room -= _size(observation)
            if room < 0:
                raise wire.Unacceptable(f"results of more than {wire.MOST_RESULTS >> 20} MiB")
            if "raised" in observation:
                observation["raised"] = _as_list(observation["raised"])
        runs.append(observations)
        if runs[0]["plain"].get("raised", [""])[0] == "NotImplementedError":
            break  # most likely the stub, which would say the same each time
    return {"runs": runs, "failed imports": failed_imports}


def _as_list(error: Raised) -> list:
    return [error.kind, error.message[:2000], error.line, error.source[:500]]


def _size(observation: dict) -> int:
    """Bytes, about."""
    tensors = [value for value in observation.values() if type(value) is torch.Tensor]
    return 100 * len(observation) + sum(wire.extent(tensor) * tensor.element_size() for tensor in tensors)


class _Given(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The course's modules as far as they are given; of the rest nothing can be imported."""

    def __init__(self, sources: dict[str, str]):
        self.sources = {f"course_lib.{name}": source for name, source in sources.items()} | {"course_lib": ""}

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] != "course_lib":
            return None
        if name not in self.sources:
            raise ModuleNotFoundError(f"{name} is not there when an answer is graded", name=name)
        return importlib.util.spec_from_loader(name, self, is_package=name == "course_lib")

    def exec_module(self, module):
        exec(compile(self.sources[module.__name__], f"<{module.__name__}>", "exec"), vars(module))


def _hide_the_course(given: dict[str, str]) -> None:
    """From now on `import course_lib` is what an answer may have; what runs here already keeps what it has."""
    for name in [name for name in sys.modules if name.split(".")[0] == "course_lib"]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Given(given))
