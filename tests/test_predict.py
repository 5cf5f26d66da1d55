"""What `compare` shows for every kind of guess, in values: the verdicts, the words, and the data for a page."""

import json
import math

import pytest

from course_lib.lesson import predict
from course_lib.lesson.predict import MIME, STILL_OPEN, compare

OUTCOME = {"reaches x": False, "count": 4, "error": 0.123456, "best": "q"}
CHOICES = {"best": ["x", "q", "neither"]}
DOTS = dict.fromkeys(OUTCOME, ...)


@pytest.fixture
def shown(monkeypatch):
    """shown(guess, outcome, ...) -> what `compare` hands to the notebook."""

    def shown(*arguments, **options):
        displayed = []
        monkeypatch.setattr(predict, "display", displayed.append)
        assert compare(*arguments, **options) is None
        (comparison,) = displayed
        return comparison

    return shown


def verdicts(comparison):
    return {name: verdict for name, _, _, verdict in comparison.rows}


def notes(comparison):
    return comparison.notes


@pytest.mark.parametrize("guess", [DOTS, {}, dict.fromkeys(OUTCOME)], ids=["dots", "empty", "None"])
def test_without_a_guess_it_shows_the_outcome_and_no_score(shown, guess):
    assert repr(shown(guess, OUTCOME, 0.1, CHOICES, {"count": "Four is two twice."})) == (
        "question    outcome\n"
        "reaches x        no\n"
        "count             4\n"
        "error        0.1235\n"
        "best              q\n"
        "\n"
        "You can still guess: put your answers in place of the dots above, then run both cells again."
    )


def test_each_answer_is_judged_by_its_kind_and_scored(shown):
    guess = {"reaches x": True, "count": 4, "error": 0.13, "best": "q"}
    assert repr(shown(guess, OUTCOME, 0.1, CHOICES)) == (
        "question    your guess   outcome\n"
        "reaches x          yes        no   differs\n"
        "count                4         4   holds\n"
        "error             0.13    0.1235   holds\n"
        "best                 q         q   holds\n"
        "\n"
        "3 of 4 held (numbers within 10%)."
    )


def test_what_was_filled_in_alone_is_scored(shown):
    comparison = shown({**DOTS, "count": 3}, OUTCOME, choices=CHOICES)
    assert verdicts(comparison) == dict.fromkeys(OUTCOME, "no guess") | {"count": "differs"}
    assert comparison.score == "0 of 1 held."


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(True, "holds"), (False, "differs"), ("yes", "holds"), ("No ", "differs"), (1, "not understood"),
     (1.0, "not understood"), ("true enough", "not understood")],
)  # fmt: skip
def test_yes_and_no(shown, answer, verdict):
    assert verdicts(shown({"a": answer}, {"a": True})) == {"a": verdict}


@pytest.mark.parametrize(
    ("answer", "outcome", "within", "verdict"),
    [(4, 4, 0, "holds"), (4.0, 4, 0, "holds"), (5, 4, 0, "differs"), (1.0, 1.01, 0, "differs"),
     (1.0, 1.01, 0.02, "holds"), (0, 0.0, 0, "holds"), (0.1235, 0.123456, 0, "holds"),
     (math.inf, math.inf, 0.1, "holds"),
     (1e9, math.inf, 0.1, "differs"), (math.nan, 1.0, 0.1, "differs"), (10**400, 1.0, 0.1, "differs"),
     (8**16, 281474976710656, 0, "holds"), ("4", 4, 0, "not understood"), (True, 1, 0, "not understood"),
     ([4], 4, 0, "not understood"), (4j, 4, 0, "not understood")],
)  # fmt: skip
def test_numbers(shown, answer, outcome, within, verdict):
    assert verdicts(shown({"a": answer}, {"a": outcome}, within)) == {"a": verdict}


@pytest.mark.parametrize(
    ("answer", "verdict"), [("EMA", "holds"), (" ema", "holds"), ("SGD", "differs"), ("both", "not understood")]
)
def test_choices_of_words(shown, answer, verdict):
    assert verdicts(shown({"a": answer}, {"a": "EMA"}, choices={"a": ["EMA", "SGD"]})) == {"a": verdict}


@pytest.mark.parametrize(
    ("answer", "verdict"), [(0, "holds"), (0.0, "holds"), (0.99, "differs"), (0.5, "not understood")]
)
def test_choices_of_numbers(shown, answer, verdict):
    assert verdicts(shown({"a": answer}, {"a": 0.0}, choices={"a": [0.0, 0.9, 0.99]})) == {"a": verdict}


def test_what_is_not_understood_gets_words_and_is_not_counted(shown):
    guess = {"reaches x": 0, "count": "four", "error": True, "best": "codebook"}
    comparison = shown(guess, OUTCOME, choices=CHOICES)
    assert notes(comparison) == [
        "reaches x: wanted True (yes) or False (no), not 0.",
        "count: wanted a number, not 'four'.",
        "error: wanted a number, not True.",
        "best: wanted one of 'x', 'q', 'neither', not 'codebook'.",
    ]
    assert comparison.score == STILL_OPEN
    assert shown({**guess, "count": 4}, OUTCOME, choices=CHOICES).score == "1 of 1 held."


def test_a_name_that_is_not_asked_for_is_said(shown):
    comparison = shown({"cuont": 4, 7: 1}, {"count": 4, "error": 1.0})
    assert notes(comparison) == [
        "cuont: no question has this name. Did you mean count?",
        "7: no question has this name. Did you mean count or error?",
    ]
    assert verdicts(comparison) == {"count": "no guess", "error": "no guess"}


@pytest.mark.parametrize("guess", [{"count"}, "yes", ..., None, 4])
def test_a_guess_that_is_no_dictionary_gets_words(shown, guess):
    comparison = shown(guess, {"count": 4})
    assert notes(comparison) == [f'A guess is a dictionary, such as {{"count": ...}}, not {guess!r}.']
    assert comparison.score == STILL_OPEN and "count            4" in repr(comparison)


def test_a_long_answer_takes_one_line(shown):
    comparison = shown({"count": "a very long story " * 50}, {"count": 4})
    assert max(map(len, repr(comparison).splitlines())) <= 100 and "[...]" in comparison.notes[0]


def test_why_a_wrong_guess_is_tempting_is_told_to_who_made_it(shown):
    sentences = {"reaches x": "Every step has a derivative, except argmin.", "count": "Four is two twice."}

    def told(**guess):
        return notes(shown({"reaches x": ..., **guess}, OUTCOME, choices=CHOICES, tempting=sentences))

    assert told(count=4) == []
    assert told(count=5) == ["count: Four is two twice."]
    assert told(count="5") == ["count: wanted a number, not '5'."]
    assert notes(shown({"reaches x": True, "count": 4}, OUTCOME, choices=CHOICES, tempting=sentences)) == [
        "reaches x: Every step has a derivative, except argmin."
    ]


def test_sentences_may_stand_in_the_lessons_table(shown, monkeypatch, tmp_path):
    (tmp_path / "losses.toml").write_text('[moves]\ncount = "Four."\n[other]\ncount = "Five."\n', encoding="utf-8")
    monkeypatch.setattr(predict, "TEMPTING", tmp_path)
    assert notes(shown({"count": 1}, {"count": 4}, tempting="losses/moves")) == ["count: Four."]


def test_a_page_gets_the_questions_as_data(shown):
    comparison = shown({**DOTS, "count": 9}, OUTCOME, 0.1, CHOICES, {"best": "It is said of x."})
    data = comparison._repr_mimebundle_()[MIME]
    assert data == json.loads(json.dumps(data)) == {
        "questions": [
            {"name": "reaches x", "kind": "yes/no", "choices": [], "outcome": False, "text": "no", "tempting": None},
            {"name": "count", "kind": "number", "choices": [], "outcome": 4, "text": "4", "tempting": None},
            {"name": "error", "kind": "number", "choices": [], "outcome": 0.1235, "text": "0.1235", "tempting": None},
            {
                "name": "best", "kind": "choice", "choices": ["x", "q", "neither"], "outcome": "q", "text": "q",
                "tempting": "It is said of x.",
            },
        ],
        "within": 0.1,
    }  # fmt: skip


def test_data_hold_the_digits_and_words_that_are_shown(shown):
    outcome = {"a": 8.0, "b": 123456.0, "c": 281474976710656, "d": 0.0}
    questions = shown({}, outcome, choices={"d": [0.0, 0.25, 2.0]})._repr_mimebundle_()[MIME]["questions"]
    assert [question["outcome"] for question in questions] == [8, 123500.0, 281474976710656, "0"]
    assert questions[-1]["choices"] == ["0", "0.25", "2"]


def test_infinity_is_written_as_json_knows_it(shown):
    (question,) = shown({}, {"a": math.inf})._repr_mimebundle_()[MIME]["questions"]
    assert question["kind"] == "number" and question["outcome"] == question["text"] == "inf"


def test_the_table_in_html_says_the_same_and_escapes_names(shown):
    html = shown({"|x| < 1": True}, {"|x| < 1": False}, tempting={"|x| < 1": "a & `b`"})._repr_html_()
    assert "<td>|x| &lt; 1</td><td>yes</td><td>no</td><td>differs</td>" in html
    assert html.endswith("</table><p>0 of 1 held.</p><p>|x| &lt; 1: a &amp; <code>b</code></p>")
    assert "your guess" not in shown({}, {"a": True})._repr_html_()


def test_the_line_that_jupyterlab_shows_of_a_folded_output_gives_nothing_away(shown):
    assert shown({}, OUTCOME, choices=CHOICES)._repr_html_().splitlines()[0] == "The outcome:"


def test_outside_a_notebook_it_prints_the_table(capsys):
    compare({"a": True}, {"a": True})
    assert capsys.readouterr().out.split() == "question your guess outcome a yes yes holds 1 of 1 held.".split()


@pytest.mark.parametrize(
    ("outcome", "options", "words"),
    [({"a": "q"}, {}, "none of its choices"),
     ({"a": "q"}, {"choices": {"a": ["x"]}}, "none of its choices"),
     ({"a": 1}, {"choices": {"b": ["x"]}}, "there is no question 'b'; the questions are 'a'"),
     ({"a": 1}, {"tempting": {"b": "."}}, "there is no question 'b'; the questions are 'a'"),
     ({"a": [1]}, {}, "the outcome of 'a' is a list")],
)  # fmt: skip
def test_a_fault_of_the_lesson_is_an_error(outcome, options, words):
    with pytest.raises(ValueError, match=words):
        compare({}, outcome, **options)
