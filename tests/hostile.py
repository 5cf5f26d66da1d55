"""A class of broken and hostile submissions, each with the verdict that it must get.

Each attacks exercise 04, by its answer `straight_through`. What stands in NOTEBOOKS is a whole file; the rest is
the source of the cell that carries the answer's tag, or several cells with their tags.
"""

import json
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NAME = "straight_through"
LESSON = "04_straight_through"
TAG = f"answer:{NAME}"

RIGHT = "def straight_through(x, q):\n    return x + (q - x).detach()\n"
WRONG = "def straight_through(x, q):\n    return (q - x) + x\n"
STUB = "def straight_through(latents, quantized):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n"


def does(lines: str, then: str = "return (q - x) + x") -> str:
    """An answer that does something first, and then is wrong, unless told otherwise."""
    body = "\n".join(f"    {line}" for line in [*lines.strip("\n").split("\n"), then])
    return f"def straight_through(x, q):\n{body}\n"


WIRE = """import os, sys
frame = sys._getframe()
while "wire" not in frame.f_globals: frame = frame.f_back
wire = frame.f_globals["wire"]"""
WRITE = """for d in range(3, 64):
    left = b
    try:
        while left: left = left[os.write(d, left):]
    except OSError: pass
os._exit(0)"""


def sends(value: str, first: str = WIRE) -> str:
    """An answer that sends these bytes itself, in place of a reply."""
    return does(f"{first}\nb = {value}\n{WRITE}")


# Right answers in notebooks of an unusual kind. A cell in a tuple has the answer's tag.
FAIR = {
    "the import again": [
        "from torch import nn",
        "class Stop(nn.Module):\n    def forward(self, x): return x.detach()",
        ("import torch\nfrom torch import nn\ndef straight_through(x, q): return x + Stop()(q - x)",),
    ],
    "a decorator above": [
        "import torch\n@torch.no_grad()\ndef constant(a): return a.clone()",
        ("import torch\ndef straight_through(x, q): return x + constant(q - x)",),
    ],
    "a name that changes": [
        "k = -1\nMINUS = -k",
        ("k = 7\ndef straight_through(x, q): return x + MINUS * (q - x).detach()",),
    ],
    "annotations": [
        "from __future__ import annotations",
        ("def straight_through(x: Tensor, q: Nowhere) -> Tensor: return x + (q - x).detach()",),
    ],
    "a builtin's name": [
        "def sum(a, b): return a + b",
        ("def straight_through(x, q): return sum(x, (q - x).detach())",),
    ],
    "a list that grows": [
        "PARTS = []\nfor i in range(1): PARTS.append(lambda a: a.detach())",
        ("def straight_through(x, q): return x + PARTS[0](q - x)",),
    ],
    "filled": [
        "KNOWN = {}\nKNOWN.update(constant=lambda a: a.detach())",
        ("def straight_through(x, q): return x + KNOWN['constant'](q - x)",),
    ],
    "setattr": [
        "class Tools: pass\nsetattr(Tools, 'constant', staticmethod(lambda a: a.detach()))",
        ("def straight_through(x, q): return x + Tools.constant(q - x)",),
    ],
    "two imports, one lost": [
        "from course_lib import plots, quantize",
        (
            "import torch\n"
            "def straight_through(x, q): quantize.flatten_latents(torch.zeros(1, 2)); return x + (q - x).detach()",
        ),
    ],
    "cell magic": [("%%time\nimport torch\ndef straight_through(x, q): return x + (q - x).detach()",)],
    "shell": [
        (
            "files = !ls\ntorch.cdist?\n?print\nr = %timeit -o 1 + 1\n"
            "def straight_through(x, q):\n    y = (3\n    % 2)\n    return x + (q - x).detach()",
        )
    ],
    "await": [("import asyncio\nawait asyncio.sleep(0)\ndef straight_through(x, q): return x + (q - x).detach()",)],
    "compiled": [("import torch\n@torch.compile\ndef straight_through(x, q): return x + (q - x).detach()",)],
    "matched": ["match 3:\n    case n: pass", ("def straight_through(x, q): return x + (q - x).detach() * (n - 2)",)],
    "a partial": [
        "import functools\ndef both(sign, x, q): return x + sign * (q - x).detach()",
        ("straight_through = functools.partial(both, 1)",),
    ],
    "a module": [
        "import torch",
        (
            "class ST(torch.nn.Module):\n"
            "    def forward(self, x, q): return x + (q - x).detach()\nstraight_through = ST()",
        ),
    ],
    "the answer improved below": [
        ("def straight_through(x, q): return q",),
        "straight_through_old = straight_through\ndef straight_through(x, q): return x + (q - x).detach()",
    ],
}


# name: (verdict, source of the answer's cell)
CELLS = {
    # right and nearly right ones, so that a grader which refuses everything is seen too
    "right": ("pass", RIGHT),
    "right_as_lambda": ("pass", "straight_through = lambda x, q: x + (q - x).detach()"),
    "right_with_magics": ("pass", "%matplotlib inline\n!pip list\n" + RIGHT),
    "right_after_a_failing_line": ("pass", "print(undefined)\n" + RIGHT + "print(straight_through(a, b))\n"),
    "right_and_then_exit_by_name": ("pass", "import sys\n" + RIGHT + "sys.exit(3)\n"),
    "right_with_a_parameter": (
        "pass",
        "import torch\ndef straight_through(x, q):\n    return torch.nn.Parameter(q) * 0 + x + (q - x).detach()\n",
    ),
    "wrong": ("wrong", WRONG),
    "stub": ("blank", STUB),
    "empty": ("blank", ""),
    "returns_nothing": ("type", "def straight_through(x, q):\n    x + (q - x).detach()\n"),
    "raises": ("raised", does("raise ValueError('=cmd|calc')")),
    "raises_what_is_no_exception": ("raised", does("class Odd(BaseException): pass\nraise Odd('odd')")),
    "error_that_cannot_be_shown": (
        "raised",
        does("class Odd(Exception):\n    def __str__(self): raise Exception\nraise Odd"),
    ),
    "keyboard_interrupt": ("raised", does("raise KeyboardInterrupt")),
    "exits": ("raised", does("raise SystemExit(0)")),
    "syntax": ("syntax", "def straight_through(x, q)\n    return x\n"),
    "return_outside": ("syntax", RIGHT + "return 3\n"),
    "null_bytes": ("syntax", RIGHT + "\0"),
    "nested_too_deeply": ("syntax", RIGHT + "y = " + "-" * 100_000 + "1\n"),
    # never ending
    "hang_at_import": ("timeout", "while True: pass\n" + RIGHT),
    "hang_when_called": ("timeout", does("while True: pass")),
    "sleeps": ("timeout", does("import time\ntime.sleep(1e6)")),
    "ignored_signals": (
        "timeout",
        does(
            "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
            "    except (OSError, ValueError): pass\nwhile True: pass"
        ),
    ),
    "hang_without_the_interpreter": ("timeout", does("import re\nre.match(r'(a*)*b', 'a' * 50)")),
    "hang_in_the_result": (
        "timeout",
        "import torch\nclass Slow:\n    @property\n    def shape(self):\n"
        "        while True: pass\n    item = shape\n"
        "def straight_through(x, q): return Slow()\n",
    ),
    "closes_the_reply_and_hangs": ("timeout", does("import os\nos.closerange(3, 64)\nwhile True: pass")),
    # ending the process
    "os_exit": ("crash", does("import os\nos._exit(0)")),
    "os_exit_at_import": ("crash", "import os\nos._exit(0)\n" + RIGHT),
    "segfault": ("crash", does("import ctypes\nctypes.string_at(0)")),
    "abort": ("crash", does("import os\nos.abort()")),
    "kills_itself": ("crash", does("import os\nos.kill(os.getpid(), 9)")),
    "deep_recursion": ("raised", does("def f(n): return f(n + 1)\nf(0)")),
    "deepest_recursion": (
        "crash memory timeout",
        does("import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(n): return f(n + 1) + sum([n])\nf(0)"),
    ),
    "kills_its_parent": ("raised", does("import os\nos.kill(os.getppid(), 9)")),
    "kills_everybody": ("raised", does("import os\nos.kill(-1, 9)")),
    "kills_process_1": ("raised", does("import os\nos.kill(1, 9)")),
    # taking what there is
    "memory_bomb": ("memory", does("a = []\nwhile True: a.append(bytearray(10 ** 7))")),
    "memory_bomb_of_tensors": ("memory", does("import torch\na = []\nwhile True: a.append(torch.ones(10 ** 7))")),
    "one_huge_tensor": ("memory", does("import torch\ntorch.ones(10 ** 12)")),
    "huge_result": ("type", "import torch\ndef straight_through(x, q): return torch.zeros(10 ** 7)\n"),
    "huge_number": ("type", "def straight_through(x, q): return 10 ** 10000\n"),
    "huge_dictionary": ("type", "def straight_through(x, q): return {str(i): True for i in range(2 * 10 ** 5)}\n"),
    "expanded_result": (
        "memory type",
        "import torch\ndef straight_through(x, q): return torch.zeros(1).expand(10 ** 12)\n",
    ),
    "fork_bomb": ("raised", does("import os\nwhile True: os.fork()")),
    "forked_daemon": ("raised", does("import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1e6)")),
    "thread_bomb": (
        "raised memory crash",
        does("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1e6,)).start()"),
    ),
    "starts_a_shell": ("raised", does("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'sleep 1000 &'])")),
    "disk_filling": ("raised", does("f = open('/tmp/full', 'wb')\nwhile True: f.write(bytes(2 ** 20))")),
    "disk_filling_in_memory": (
        "raised",
        does("import os\nf = os.memfd_create('full')\nwhile True: os.write(f, bytes(2 ** 20))"),
    ),
    "file_beside_the_notebook": ("raised", does("open('left.txt', 'w').write('left')")),
    "stdout_flood": (
        "wrong",
        does("import sys\nfor _ in range(200): print('x' * 10 ** 6); sys.stderr.write('y' * 10 ** 6)"),
    ),
    "descriptors": ("raised", does("import os\nwhile True: os.dup(1)")),
    # forging
    "forged_on_every_descriptor": (
        "type",
        sends("json.dumps({'verdict': 'pass', 'score': 1.0, 'passed': True}).encode()", "import json, os"),
    ),
    "forged_reply_with_a_pickle": (
        "type",
        sends(
            "pickle.dumps(P())",
            "import os, pickle\nclass P:\n    def __reduce__(self): return os.system, ('touch /tmp/pickled',)",
        ),
    ),
    "forged_reply_without_end": (
        "type",
        does(
            "import os\nfor d in range(3, 64):\n    try:\n"
            "        while True: os.write(d, bytes(2 ** 16))\n    except OSError: pass\n"
            "os._exit(0)"
        ),
    ),
    "forged_reply_of_empty_runs": ("type", sends("wire.pack({'candidates': 1, 'runs': []})")),
    "forged_reply_of_strange_keys": (
        "type",
        sends("wire.pack({'candidates': 1, 'runs': [{'plain': {'verdict': True}, 'score': {}}] * 6, 'passed': True})"),
    ),
    "forged_raised_stub_first": ("blank", does("raise NotImplementedError()")),
    "nested_json": ("type", sends("struct.pack('>I', 100000) + b'[' * 100000", "import os, struct")),
    "forged_names_of_tensors": (
        "type",
        sends("wire.join(b'[]', struct.pack('<Q', 2 ** 23) + b'{' + b' ' * 2 ** 23)", WIRE + "\nimport struct"),
    ),
    "result_is_a_pickle": (
        "type",
        "import pickle, os\nclass P:\n"
        "    def __reduce__(self): return os.system, ('touch /tmp/pickled',)\n"
        "def straight_through(x, q): return P()\n",
    ),
    "result_equals_everything": (
        "type",
        "class E:\n    def __eq__(self, other): return True\n"
        "    def __getattr__(self, name): return self\n"
        "    def __call__(self, *a, **k): return self\n"
        "def straight_through(x, q): return E()\n",
    ),
    "subclass_equals_everything": (
        "type",
        "import torch\nclass E(torch.Tensor):\n    @classmethod\n"
        "    def __torch_function__(cls, f, types, args=(), kwargs=None):\n"
        "        if f.__name__ in ('allclose', 'equal', 'isclose', '__eq__'): return True\n"
        "        return super().__torch_function__(f, types, args, kwargs or {})\n"
        "    def __eq__(self, other): return True\ndef straight_through(x, q): return ((q - x) + x).as_subclass(E)\n",
    ),
    "tuple_of_subclasses": (
        "type",
        "import torch\nclass E(torch.Tensor): pass\ndef straight_through(x, q): return (q.as_subclass(E),)\n",
    ),
    "numbers_that_equal_everything": (
        "type",
        "class N(float):\n    def __eq__(self, other): return True\n"
        "    def __sub__(self, other): return 0.0\ndef straight_through(x, q): return N(1)\n",
    ),
    "comparisons_replaced": (
        "wrong",
        "import torch\n"
        "for n in ('allclose', 'equal', 'isclose'): setattr(torch, n, lambda *a, **k: True)\n"
        "torch.Tensor.__eq__ = lambda *a: torch.tensor(True)\n"
        "torch.testing.assert_close = lambda *a, **k: None\n" + WRONG,
    ),
    "autograd_replaced": (
        "wrong",
        "import torch\ntorch.autograd.grad = lambda out, inputs, **k: [torch.ones_like(i) for i in inputs]\n" + WRONG,
    ),
    "observe_replaced": (
        "type wrong",
        "import sys\nf = sys._getframe()\nwhile 'run_all' not in f.f_globals: f = f.f_back\n"
        "f.f_globals['run_all'] = lambda answer, call: "
        "{'plain': {'kind of result': 'tensor', 'result': call.args[1]}}\n" + WRONG,
    ),
    "check_replaced": ("wrong", "import course_lib.check\ncourse_lib.check.check = lambda *a: True\n" + WRONG),
    "inputs_changed": ("wrong", "def straight_through(x, q):\n    x.data.copy_(q)\n    return x\n"),
    "inputs_made_equal": (
        "wrong",
        "def straight_through(x, q):\n    q.data.zero_(); x.data.zero_()\n    return (q - x) + x\n",
    ),
    "seeds_taken": (
        "wrong",
        "import torch\ntorch.manual_seed(0)\ntorch.randn = lambda *a, **k: torch.zeros(*a)\n" + WRONG,
    ),
    # reading
    "reads_frames": (
        "wrong",
        does(
            "import sys\nf, seen = sys._getframe(), {}\nwhile f:\n"
            "    seen.update(f.f_locals); f = f.f_back\n"
            "for n in ('wanted', 'expected', 'reference', 'verdict', 'exercise'):\n"
            "    if n in seen: return seen[n]"
        ),
    ),
    "reads_the_garbage": (
        "wrong",
        does(
            "import gc\nfor o in gc.get_objects():\n"
            "    if type(o).__name__ in ('Exercise', 'Mistake', 'Verdict'): return x + (q - x).detach()\n"
            "for o in gc.get_objects():\n"
            "    if getattr(o, '__name__', '') == 'straight_through' and o is not straight_through: "
            "return o(x, q)"
        ),
    ),
    "reads_the_last_reply": (
        "wrong",
        does(
            "import sys\nf = sys._getframe()\nwhile f:\n    for value in f.f_locals.values():\n"
            "        if isinstance(value, (bytes, bytearray)) and b'gradient' + b' of' in value: "
            "return x + (q - x).detach()\n"
            "    f = f.f_back"
        ),
    ),
    "imports_the_reference": (
        "raised",
        "from course_lib.quantize import straight_through as s\ndef straight_through(x, q): return s(x, q)\n",
    ),
    "imports_the_checks": (
        "raised",
        does(
            "from course_lib.check.exercises import EXERCISES",
            then="return EXERCISES['straight_through'].reference(x, q)",
        ),
    ),
    "finds_the_course": (
        "wrong raised",
        does(
            f"import os, sys\n"
            f"for p in [{str(PROJECT)!r} + '/solutions', {str(PROJECT)!r} + '/course_lib', "
            "*(p + '/course_lib' for p in sys.path)]:\n"
            f"    if os.path.exists(p) and os.listdir(p): return x + (q - x).detach()"
        ),
    ),
    "connects": ("raised", does("import socket\nsocket.create_connection(('127.0.0.1', 80), 1)")),
    "traces": (
        "wrong",
        does("import ctypes\nlibc = ctypes.CDLL(None)\nif libc.ptrace(16, 1, 0, 0) == 0: return x + (q - x).detach()"),
    ),
    "other_namespaces": (
        "wrong",
        does("import ctypes\nlibc = ctypes.CDLL(None)\nif libc.unshare(0x10000000) == 0: return x + (q - x).detach()"),
    ),
    "raises_its_limits": (
        "wrong",
        does(
            "import resource\nfor r in (resource.RLIMIT_AS, resource.RLIMIT_NPROC):\n"
            "    try: resource.setrlimit(r, (resource.RLIM_INFINITY,) * 2)\n"
            "    except (ValueError, OSError): continue\n    return x + (q - x).detach()"
        ),
    ),
    "limits_of_process_1": ("raised", does("import resource\nresource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))")),
}


def cell(source: str, *tags: str, kind: str = "code") -> dict:
    extra = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": "c", "metadata": {"tags": list(tags)}, "source": source} | extra


def notebook(*cells: dict) -> str:
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


TWO = [cell("import torch\n"), cell(RIGHT, TAG)]
NOTEBOOKS = {  # name: (verdict, text of the file)
    "moved_into_another_cell": ("pass", notebook(cell("", TAG), cell("print(1)\n" + RIGHT))),
    "without_tags": ("pass", notebook(cell("import torch"), cell(RIGHT))),
    "tag_of_another": ("pass", notebook(cell(RIGHT, "answer:nearest_codes"))),
    "copied_and_spoilt": (
        "pass",
        notebook(cell(RIGHT, TAG), cell(STUB, TAG), cell("def straight_through(x, q: return\n")),
    ),
    "copied_and_hanging": ("pass", notebook(cell(RIGHT, TAG), cell("while True: pass\n" + RIGHT, TAG))),
    "split": (
        "pass",
        notebook(
            cell("def constant(a):\n    return a.detach()\n"),
            cell("SIGN = 1\n"),
            cell("def straight_through(x, q):\n    return x + SIGN * constant(q - x)\n", TAG),
        ),
    ),
    "helper_below": (
        "pass",
        notebook(
            cell("def straight_through(x, q):\n    return x + constant(q - x)\n", TAG),
            cell("def constant(a):\n    return a.detach()\n"),
        ),
    ),
    "training_that_never_ends": (
        "pass",
        notebook(
            cell("import torch\nx = torch.ones(2)\nwhile True: x = x + 1\n"), cell(RIGHT, TAG), cell("while True: pass")
        ),
    ),
    "import_that_fails": (
        "pass",
        notebook(cell("import torch, nowhere\nfrom nothing import *\n"), cell("import torch\n" + RIGHT, TAG)),
    ),
    "import_that_exits": ("pass", notebook(cell("import os\nos._exit(0)\n"), cell(RIGHT, TAG))),
    "old_class_attribute": (
        "pass",
        notebook(
            cell(
                "def straight_through(x, q):\n    return straight_through.how(x, q)\n"
                "straight_through.how = lambda x, q: x + (q - x).detach()\n",
                TAG,
            )
        ),
    ),
    "metadata_of_other_kinds": (
        "pass",
        json.dumps(
            {
                "cells": [
                    3,
                    None,
                    {"cell_type": "code"},
                    {"cell_type": "code", "source": 3},
                    {"cell_type": "code", "metadata": [], "source": [RIGHT, 7]},
                ],
                "nbformat": 4,
            }
        ),
    ),
    "deleted": ("blank", notebook(cell("import torch"), cell("# an answer\n", kind="markdown"))),
    "only_mentioned": ("blank", notebook(cell("print('straight_through')\n"))),
    "lone_surrogate": ("pass", notebook(cell("# \ud800\n", TAG), cell(RIGHT)).replace("\\\\ud800", "\\ud800")),
    "empty_file": ("not_graded", ""),
    "no_json": ("not_graded", "def straight_through(x, q): return x"),
    "cut_off": ("not_graded", notebook(*TWO)[:-40]),
    "a_list": ("not_graded", "[]"),
    "no_cells": ("not_graded", '{"cells": {}}'),
    "deep_json": ("not_graded", "[" * 200_000),
    "other_encoding": ("not_graded", b"\xff\xfe\x00\x00{}"),
    "format_3": ("not_graded", json.dumps({"worksheets": [{"cells": []}], "nbformat": 3})),
    "too_much_code": ("not_graded", notebook(cell("#" * 2_000_000, TAG))),
}
SLOW = {"compiled"}  # torch.compile is loaded, which takes seconds; asked for itself, with time enough
NOTEBOOKS |= {
    name: ("pass", notebook(*(cell(part[0], TAG) if isinstance(part, tuple) else cell(part) for part in parts)))
    for name, parts in FAIR.items()
    if name not in SLOW
}
# what was found to cost the grader itself, or others
NOTEBOOKS |= {
    "many_cells": ("not_graded", notebook(*[cell("")] * 3000, cell(RIGHT, TAG))),
    "many_lists": ("not_graded", '{"nbformat": 4, "cells": [' + "[[[[]]]]," * 200_000 + "[]]}"),
    "many_tags": ("pass", notebook(cell(RIGHT, TAG, *map(str, range(10_000))))),
}
CELLS |= {
    "endless_rows_of_nothing": ("type", "import torch\ndef straight_through(x, q): return torch.empty(10 ** 9, 0)\n"),
    "shared_memory": (
        "raised",
        does("import mmap\nfor i in range(100):\n    m = mmap.mmap(-1, 2 ** 28)\n    m.write(bytes(2 ** 28))"),
    ),
    "forged_list_of_imports": (
        "raised",
        sends("wire.pack({'candidates': 1, 'failed imports': [0] * 400000, 'raised': ['ValueError', 'x', None, '']})"),
    ),
    "changes_a_file": ("raised", does("import os, sys\nos.chmod(sys.base_prefix + '/lib', 0)")),
    "changes_the_host": ("raised", does("import socket\nsocket.sethostname('another')")),
    "wants_to_outlive": (
        "wrong",
        does("import ctypes\nif ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0: return x + (q - x).detach()"),
    ),
}
NOTEBOOKS |= {
    "three_guesses": ("wrong", notebook(cell(RIGHT, TAG), cell("def straight_through(x, q): return q\n"), cell(WRONG))),
    "guesses_above_a_stub": ("wrong", notebook(cell(RIGHT, TAG), cell(WRONG), cell(STUB))),
    "prompts": ("pass", notebook(cell(">>> def straight_through(x, q):\n...     return x + (q - x).detach()\n", TAG))),
}
