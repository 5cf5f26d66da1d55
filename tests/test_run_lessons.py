"""Lessons are run and their outputs kept, whatever becomes of one of them."""

import importlib.util
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PROJECT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("run_lessons", PROJECT / "tools/run_lessons.py")
run_lessons = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_lessons)


def write(folder: Path, name: str, *sources: str, outputs=()) -> Path:
    cells = [new_markdown_cell("# A lesson"), *(new_code_cell(source, outputs=list(outputs)) for source in sources)]
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"course": {"minutes": 45}}), path)
    return path


def texts(notebook) -> list[str]:
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells[1:]]


@pytest.fixture
def lessons(tmp_path):
    return tmp_path / "notebooks"


@pytest.fixture
def run(monkeypatch):
    """Runs the command, with data sets from `source`; gives its status."""

    def running(*arguments, source="local"):
        monkeypatch.setattr(run_lessons, "data", SimpleNamespace(load=lambda name: SimpleNamespace(source=source)))
        return run_lessons.main([str(argument) for argument in arguments])

    return running


def test_a_lesson_that_stops_keeps_what_it_gave_and_the_others_run_on(lessons, run, tmp_path, capsys, monkeypatch):
    other = tmp_path / "jupyter/kernels/python3"  # one that a user once installed from another Python
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["false"], "display_name": "other", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    committed = [new_output("stream", text="committed")]
    first = write(
        lessons,
        "01_first",
        "import os; print(os.getcwd(), os.environ['OMP_NUM_THREADS'])",
        "",
        "1 / 0",
        "x = 1",
        outputs=committed,
    )
    second = write(lessons, "02_second", "import sys; print('on', sys.executable)")
    third = write(lessons, "03_third", "import os; os._exit(1)")
    before = [path.read_bytes() for path in (first, second, third)]

    assert run(first, second, third, "--to", tmp_path / "ran") == 1
    said = capsys.readouterr().out
    assert "stopped at cell 2: ZeroDivisionError: division by zero" in said and "3 in" in said and "2 stopped" in said
    assert [path.read_bytes() for path in (first, second, third)] == before
    one, two, three = (nbformat.read(tmp_path / "ran" / path.name, as_version=4) for path in (first, second, third))
    assert texts(one) == [f"{lessons} 1\n", "", "", ""] and one.cells[3].outputs[0].ename == "ZeroDivisionError"
    assert texts(two) == [f"on {sys.executable}\n"]
    assert three.cells[1].outputs[-1].output_type == "error" and "died" in three.cells[1].outputs[-1].evalue.lower()


def test_what_is_kept_says_how_it_came_about(lessons, run):
    loaded = (
        "import sys, types\n"
        "sys.modules['course_lib.data'] = types.SimpleNamespace(given={'mnist': 'sample', 'fsdd': 'local'})"
    )
    view = (
        "from IPython.display import display\n"
        "display({'application/vnd.jupyter.widget-view+json': {}, 'text/plain': 'still'}, raw=True)"
    )
    path = write(lessons, "01_first", loaded, view)
    assert run(path) == 0
    notebook = nbformat.read(path, as_version=4)
    made = notebook.metadata.course.made
    assert made.date == date.today().isoformat() and made.data == {"mnist": "sample", "fsdd": "real"}
    assert "cores" in made.machine and platform.node() not in made.machine and isinstance(made.seconds, int)
    assert notebook.metadata.course.minutes == 45 and set(notebook.metadata) == {"course"}
    assert set(notebook.cells[2].outputs[0].data) == {"text/plain"}
    assert not any("execution" in cell.metadata for cell in notebook.cells)


def test_lessons_that_go_on_from_another_wait_for_it(lessons, run):
    note = "import time; time.sleep({})\nwith open('log', 'a') as file: file.write('{} ')"
    names = {"14_priors": 0, "11_inside_the_latents": 0, "10_cifar10_resnet": 1.5}
    paths = [write(lessons, name, note.format(wait, name[:2])) for name, wait in names.items()]
    assert run(*paths) == 0
    assert (lessons / "log").read_text().split() == ["10", "11", "14"]


@pytest.mark.parametrize("source", ["local", "sample"])
def test_without_a_network_it_is_tried_once(lessons, run, monkeypatch, source):
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    path = write(lessons, "01_first", "import os; print(os.environ.get('COURSE_OFFLINE'))")
    assert run(path, source=source) == 0
    assert texts(nbformat.read(path, as_version=4)) == ["1\n" if source == "sample" else "None\n"]
    assert "COURSE_OFFLINE" not in os.environ


@pytest.mark.posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_no_kernel_behind(lessons, tmp_path, how):
    path = write(
        lessons, "01_first", "import os; open('pid', 'w').write(str(os.getpid()))", "import time; time.sleep(600)"
    )
    before = path.read_bytes()
    environment = {**os.environ, "COURSE_OFFLINE": "1", "COURSE_DATA": str(tmp_path)}
    process = subprocess.Popen([sys.executable, PROJECT / "tools/run_lessons.py", path], env=environment)
    deadline = time.monotonic() + 300
    while not (lessons / "pid").exists() or not (lessons / "pid").read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(how)
    assert process.wait(60) == 130
    kernel = int((lessons / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    assert path.read_bytes() == before


def test_unreadable_notebook_is_named_before_anything_runs(lessons, run):
    path = write(lessons, "01_first", "x = 1")
    path.write_text("{not json")
    with pytest.raises(SystemExit, match=r"01_first\.ipynb cannot be read"):
        run(path)
