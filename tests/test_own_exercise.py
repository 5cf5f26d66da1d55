"""An exercise of an instructor's own: begun, tried, handed out, graded, from one file."""

import json
import subprocess
import sys

import nbformat
import pytest
import torch
from test_grade_class import skip_or_fail, why_not

from course_lib import check as checks
from course_lib.check import own
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import draw_calls
from course_lib.grade.__main__ import main
from course_lib.grade.submissions import Student, read

SOFT = '''
import torch
import torch.nn.functional as F

from course_lib.check.author import Call, exercise, normal, number


def soft_assignment(latents, codebook, temperature=1.0):
    """(N, D), (K, D) -> (N, K): weights that sum to 1, softmax of minus the squared distances over the temperature."""
    ### BEGIN SOLUTION
    distances = (latents[:, None] - codebook[None]).square().sum(dim=2)
    return F.softmax(-distances / temperature, dim=1)
    ### END SOLUTION


WRONG = """
dim=1) -> dim=0)
    the weights of a row sum to 1; here those of a column do
-distances -> distances
    the farthest code gets the largest weight
"""


def by_cdist(latents, codebook, temperature=1.0):
    return (-torch.cdist(latents, codebook) ** 2 / temperature).softmax(1)


RIGHT = [by_cdist]
SAME = {
    "broadcasting adds the first axis by itself": ["distances = …  |  [None] left out"],
    "of two axes softmax takes the last, and warns": ["return F.softmax(…  |  dim=1 of softmax left out"],
}
TEXT = """
## Soft assignment

How much each code has to say, for each latent.
"""


def draw(generator):
    def call(n, k, d, part="values", temperature=(), dtype=torch.float32, **more):
        tensors = normal(generator, n, d).to(dtype), normal(generator, k, d).to(dtype)
        names = ("latents", "codebook", "temperature")[: 2 + len(temperature)]
        return Call((*tensors, *temperature), names, ("weights",), part, differentiate=(0, 1), **more)

    return [
        call(5, 4, 3),
        call(2, 3, 4, "temperature", (0.5,)),
        call(1, 6, 2, "odd sizes"),
        call(3, 2, 2, "dtypes", dtype=torch.float64, elsewhere=True),
    ]


HINTS = "which?", "what?", "how?"
EXERCISE = exercise(soft_assignment, lesson="90_mine", draw=draw, wrong=WRONG, hints=HINTS, points=3)
'''
RIGHT = "def soft_assignment(x, e, t=1.0):\n    return torch.softmax(-torch.cdist(x, e).square() / t, -1)"


@pytest.fixture
def soft(tmp_path):
    """The file, and what it makes known taken back."""
    path = tmp_path / "soft_assignment.py"
    path.write_text(SOFT)
    threads = torch.get_num_threads()
    yield path
    EXERCISES.pop("soft_assignment", None)
    torch.set_num_threads(threads)


def command(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def cells_of(path) -> dict[str, dict]:
    notebook = json.loads(path.read_text())
    nbformat.validate(notebook)
    return {cell["id"]: cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]}


def run(*sources: str) -> dict:
    space = {}
    for source in sources:
        exec(source, space)
    return space


# ----------------------------------------------------------------------------------------------------------------------
# Begin


def test_what_is_begun_holds_as_it_stands(tmp_path, capsys):
    assert command("--new-exercise", "row_weights", "--to", tmp_path / "exam", "--lesson", "91_exam") == 0
    path = tmp_path / "exam/row_weights.py"
    assert f"--try {path}" in capsys.readouterr().out
    assert command("--try", path, "--draws", "3") == 0
    said = capsys.readouterr().out
    assert "row_weights, in 91_exam, 1 point" in said and "accepted   2 of 2" in said and "Everything holds" in said
    assert own.load(path).lesson == "91_exam"


@pytest.mark.parametrize(
    "name, lesson, said",
    [
        ("1x", "90_mine", "wanted a Python name"),
        ("class", "90_mine", "wanted a Python name"),
        ("x", "mine", "NN_topic"),
        ("look_up", "90_mine", "the course has an exercise look_up"),
        ("there", "90_mine", "already; nothing was written"),
    ],
)
def test_what_cannot_begin_says_why_and_writes_nothing(tmp_path, capsys, name, lesson, said):
    (tmp_path / "there.py").write_text("mine")
    assert command("--new-exercise", name, "--to", tmp_path, "--lesson", lesson) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["there.py"]
    assert (tmp_path / "there.py").read_text() == "mine"


# ----------------------------------------------------------------------------------------------------------------------
# Try


def test_a_sharp_check_holds(soft, capsys):
    assert command("--try", soft, "--draws", "5") == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "accepted   2 of 2" in said and "refused   2 of 2" in said and "draws of inputs          5" in said
    assert "1 listed: broadcasting adds" in said


FAULTS = {
    "a hole": (
        '        call(2, 3, 4, "temperature", (0.5,)),\n',
        "",
        ["/ temperature left out", "takes these for right", "SAME ="],
    ),
    "a right answer refused": (
        "softmax(1)",
        "softmax(0)",
        ["refuses right answers", "by_cdist, in 2 of 2 draws: wrong"],
    ),
    "a mistake taken": (
        "\ndim=1) -> dim=0)\n",
        "\ndim=1) -> dim=-1)\n",
        ["not told by name", "dim=1) -> dim=-1), in 2 of 2 draws: right"],
    ),
    "listed and not there": ("[None] left out", "nothing of the kind", ["Listed in SAME", "nothing of the kind"]),
}


@pytest.mark.parametrize("before, after, wanted", FAULTS.values(), ids=FAULTS)
def test_what_does_not_hold_is_told_with_what_to_do(soft, capsys, before, after, wanted):
    assert before in SOFT
    soft.write_text(SOFT.replace(before, after))
    assert command("--try", soft, "--draws", "2") == 1
    said = capsys.readouterr().out
    assert all(words in said for words in wanted), said
    assert "Everything holds" not in said


def test_what_mutants_cannot_show_is_told(soft, capsys):
    """A helper beside the right answer is not changed, and a default that no call overrides is never looked at."""
    text = SOFT.replace('        call(2, 3, 4, "temperature", (0.5,)),\n', "")
    text = text.replace(
        "    return F.softmax(-distances / temperature, dim=1)\n    ###",
        "    return shares(distances, temperature)\n    ###",
    )
    text = text.replace(
        "dim=1) -> dim=0)", "return shares(distances, temperature) -> return F.softmax(-distances, dim=0)"
    )
    text = text.replace("-distances -> distances", "shares(distances -> shares(-distances")
    text = text.replace("return F.softmax(…  |  dim=1 of softmax left out", "distances = …  |  [None] left out")
    soft.write_text(text + "\n\ndef shares(d, t):\n    return F.softmax(-d / t, dim=1)\n")
    assert command("--try", soft, "--draws", "1") == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "no call hands over temperature: an answer that never looks at it is right" in said
    assert "shares stands beside the right answer" in said


def test_nothing_is_overlooked_where_all_is_asked(soft):
    assert not list(own.overlooked(own.load(soft)))


BROKEN = {
    "no Python": ("RIGHT = [", "RIGHT = (", "gives no EXERCISE"),
    "a list that is none": ("RIGHT = [by_cdist]", "RIGHT = by_cdist", "RIGHT is function; wanted list"),
    "text that is none": ('TEXT = """', 'TEXT = 1 or """', "TEXT is int; wanted str"),
    "a table that fits nothing": ("-distances -> distances", "+distances -> distances", "stands there 0 times"),
}


@pytest.mark.parametrize("before, after, wanted", BROKEN.values(), ids=BROKEN)
def test_a_file_that_gives_no_exercise_says_where(soft, capsys, before, after, wanted):
    assert before in SOFT
    soft.write_text(SOFT.replace(before, after))
    for option in ("--try", "--hand-out"):
        assert command(option, soft, "--to", soft.parent / "students") == 2
        assert wanted in capsys.readouterr().err
    assert not (soft.parent / "students").exists()


# ----------------------------------------------------------------------------------------------------------------------
# Hand out


def test_students_get_the_question_and_nothing_of_the_answer(soft, capsys):
    folder = soft.parent / "students"
    assert command("--hand-out", soft, "--to", folder) == 0
    assert [path.name for path in folder.iterdir()] == ["90_mine.ipynb"]
    said = capsys.readouterr().out
    assert "keep soft_assignment.py to yourself" in said and 'private = ["soft_assignment.py"]' in said
    cells, text = cells_of(folder / "90_mine.ipynb"), (folder / "90_mine.ipynb").read_text()
    assert list(cells) == [
        "title", "imports", "text-soft_assignment", "answer-soft_assignment", "form-soft_assignment"
    ]  # fmt: skip
    assert cells["imports"]["source"].splitlines() == ["import torch", "import torch.nn.functional as F"]
    assert cells["text-soft_assignment"]["source"].startswith("## Soft assignment")
    answer = cells["answer-soft_assignment"]
    assert answer["source"].splitlines()[0] == "def soft_assignment(latents, codebook, temperature=1.0):"
    assert answer["source"].endswith("    # YOUR CODE HERE\n    raise NotImplementedError()")
    assert answer["metadata"]["tags"] == ["answer:soft_assignment"]
    by_hand = answer["metadata"]["nbgrader"]
    assert by_hand["solution"] and by_hand["grade"] and by_hand["points"] == 3  # nbgrader: marked by a person
    form = cells["form-soft_assignment"]["metadata"]["nbgrader"]
    assert form["locked"] and not form["grade"]
    for secret in (
        "softmax(-",
        "SOLUTION",
        "by_cdist",
        "those of a column",
        "which?",
        "squared afterwards",
        "course_lib",
    ):
        assert secret not in text
    exercise = own.load(soft)
    wanted = exercise.reference(*draw_calls(exercise, seed=0)[0].args)
    assert not any(f"{value:.3f}" in text for value in wanted.flatten().tolist())


@pytest.mark.parametrize(
    "source, wanted",
    [
        (RIGHT, None),
        (RIGHT.replace("-1)", "0)"), None),  # wrong, in the right form: it must not tell
        (RIGHT.replace("-1)", "-1).sum(1)"), "has shape (5,); wanted (5, 4)"),
        (RIGHT.replace("-1)", "-1).double()"), "is torch.float64; wanted torch.float32"),
        (RIGHT.replace("-1)", "-1).tolist()"), "is list; wanted a tensor"),
        (RIGHT.replace("-1)", "-1).log().sub(torch.inf)"), "holds inf or nan"),
    ],
)
def test_the_form_is_looked_at_and_no_value(soft, source, wanted):
    assert command("--hand-out", soft, "--to", soft.parent / "students") == 0
    cells = cells_of(soft.parent / "students/90_mine.ipynb")
    sources = cells["imports"]["source"], source, cells["form-soft_assignment"]["source"]
    if wanted is None:
        assert run(*sources).keys() - run(*sources[:2]).keys() == {"form_of_soft_assignment"}
    else:
        with pytest.raises(AssertionError) as refused:
            run(*sources)
        assert wanted in str(refused.value)


@pytest.mark.parametrize("exercise", [one for one in EXERCISES.values() if not one.slow], ids=lambda one: one.name)
def test_the_form_of_every_answer_of_the_course_can_be_written(exercise):
    """The course's own answers are of many kinds: classes, generators, numbers, several results."""
    from course_lib.check.handout import form_cell

    source = form_cell(exercise)["source"]
    assert "holds inf" in source or "assert" in source or source.startswith(f"# {exercise.name} is looked at")
    run(
        "import torch",
        f"from {exercise.reference.__module__} import {exercise.reference.__name__} as {exercise.name}",
        source,
    )


def test_with_its_check_students_have_it_beside_the_notebook(soft, monkeypatch, capsys):
    folder = soft.parent / "students"
    assert command("--hand-out", soft, "--to", folder, "--with-check") == 0
    assert sorted(path.name for path in folder.iterdir()) == ["90_mine.ipynb", "soft_assignment.py"]
    assert "the right answer can be read there" in capsys.readouterr().out
    cells = cells_of(folder / "90_mine.ipynb")
    below = cells["check-soft_assignment"]["metadata"]["nbgrader"]
    assert below["grade"] and below["locked"] and below["points"] == 3
    monkeypatch.chdir(folder)
    imports, check = cells["imports"]["source"], cells["check-soft_assignment"]["source"]
    run(imports, RIGHT, check)
    said = capsys.readouterr().out
    assert "soft_assignment: right" in said and "one way to write it: the right answer in soft_assignment.py" in said
    run(imports, RIGHT.replace("-1)", "0)"), check, 'hint("soft_assignment")')
    said = " ".join(capsys.readouterr().out.split())
    assert "the weights of a row sum to 1; here those of a column do" in said and "which?" in said
    run(imports, cells["answer-soft_assignment"]["source"], check)
    assert "not attempted yet" in capsys.readouterr().out


def test_no_name_of_the_course_is_taken(soft):
    soft.write_text(SOFT.replace("soft_assignment", "look_up"))
    course = EXERCISES["look_up"]
    with pytest.raises(ValueError, match="the course has an exercise look_up"):
        checks.add(soft)
    assert EXERCISES["look_up"] is course


def test_work_is_not_written_over(soft, capsys):
    folder = soft.parent / "students"
    assert command("--hand-out", soft, "--to", folder) == command("--hand-out", soft, "--to", folder) == 0
    path = folder / "90_mine.ipynb"
    worked_in = path.read_text().replace("raise NotImplementedError()", "return 1")
    path.write_text(worked_in)
    assert command("--hand-out", soft, "--to", folder) == 2
    assert "somebody worked in it; nothing was written" in capsys.readouterr().err
    assert path.read_text() == worked_in


def test_several_files_make_one_notebook_of_one_lesson(soft, tmp_path, capsys):
    other = tmp_path / "hard_assignment.py"
    other.write_text(SOFT.replace("soft_assignment", "hard_assignment"))
    assert command("--hand-out", soft, other, "--to", tmp_path / "students") == 0
    cells = cells_of(tmp_path / "students/90_mine.ipynb")
    assert {"answer-soft_assignment", "answer-hard_assignment"} <= cells.keys()
    other.write_text(other.read_text().replace("90_mine", "91_other"))
    assert command("--hand-out", soft, other, "--to", tmp_path / "more") == 2
    assert "90_mine, 91_other" in capsys.readouterr().err and not (tmp_path / "more").exists()


def test_without_marks_there_is_nothing_to_cut_out(soft, capsys):
    soft.write_text(SOFT.replace("    ### BEGIN SOLUTION\n", "").replace("    ### END SOLUTION\n", ""))
    assert command("--hand-out", soft, "--to", soft.parent / "students") == 2
    assert "neither ### BEGIN SOLUTION" in capsys.readouterr().err
    assert not (soft.parent / "students").exists()


# ----------------------------------------------------------------------------------------------------------------------
# Grade


def hand_in(folder, student: str, notebook, source: str) -> None:
    cells = json.loads(notebook.read_text())
    for cell in cells["cells"]:
        if cell["id"] == "answer-soft_assignment" and source:
            cell["source"] = source
    (folder / student).mkdir(parents=True)
    (folder / student / "90_mine.ipynb").write_text(json.dumps(cells))


@pytest.mark.slow
def test_what_was_handed_out_is_graded_by_the_hidden_check(soft):
    if reason := why_not("bubblewrap"):
        skip_or_fail(reason)
    folder = soft.parent
    assert command("--hand-out", soft, "--to", folder / "students") == 0
    for student, source in {"ann": RIGHT, "bob": RIGHT.replace("-1)", "0)"), "eve": ""}.items():
        hand_in(folder / "in", student, folder / "students/90_mine.ipynb", source)
    assert len(read(Student("ann", files={"90_mine.ipynb": folder / "in/ann/90_mine.ipynb"}), "90_mine").cells) == 3
    (folder / "grading.toml").write_text('private = ["soft_assignment.py"]\n')
    words = [sys.executable, "-m", "course_lib.grade", folder / "in", "--out", folder / "out", "--jobs", "1"]
    done = subprocess.run([*words, "--settings", folder / "grading.toml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 students, 3 answers: 1 pass, 1 wrong, 1 blank" in done.stdout
    ann, bob, eve = (folder / "out/gradebook.csv").read_text().splitlines()[1:]
    assert ann.startswith("ann,3,3,3") and bob.startswith("bob,0,0,3") and eve.startswith("eve,0,0,3")
    assert "the weights of a row sum to 1; here those of a column do" in (folder / "out/bob.html").read_text()
