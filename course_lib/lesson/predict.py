"""Predictions that wait: the learner may write a guess, the lesson computes what happens, `compare` shows both."""

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from html import escape
from numbers import Real
from pathlib import Path
from textwrap import fill, shorten

from IPython.display import display

from course_lib.language import N_, _

MIME = "application/vnd.vq-course.prediction+json"  # the questions, for a page that builds inputs from them
STILL_OPEN = N_("You can still guess: put your answers in place of the dots above, then run both cells again.")
TEMPTING = Path(__file__).parent / "tempting"


def compare(
    guess: dict,
    outcome: dict,
    within: float = 0.0,
    choices: dict[str, list] | None = None,
    tempting: dict[str, str] | str | None = None,
) -> None:
    """Shows what happens, beside what was guessed, and says why a wrong guess was tempting.

    guess: name -> the learner's answer, or `...`. Without any answer there is no score; an answer of the wrong kind
    is told so and not counted. outcome: name -> what happens: a boolean, a number, or one of `choices[name]`. within:
    how far off a numeric answer may be, as a share of the outcome. tempting: name -> a sentence, shown where the
    answer was wrong; or "lesson/prediction", a table of tempting/lesson.toml: there the sentences stand out of sight
    of somebody who has yet to guess.

    Raises ValueError where the lesson is at fault, not the learner: an outcome that is none of its choices, or choices
    or sentences for a question that is not asked.
    """
    choices, tempting = choices or {}, _sentences(tempting) if isinstance(tempting, str) else tempting or {}
    for name in [*choices, *tempting]:
        if name not in outcome:
            raise ValueError(f"there is no question {name!r}; the questions are {', '.join(map(repr, outcome))}")
    questions = [
        Question(name, _as_shown(value), tuple(choices.get(name, ())), tempting.get(name))
        for name, value in outcome.items()
    ]
    display(Comparison(questions, guess, within))


@dataclass(frozen=True)
class Question:
    """One question of a prediction, with what happens."""

    name: str
    outcome: bool | int | float | str
    choices: tuple = ()
    tempting: str | None = None

    def __post_init__(self):
        if not isinstance(self.outcome, (Real, str)):
            kind = type(self.outcome).__name__
            raise ValueError(f"the outcome of {self.name!r} is a {kind}; wanted a boolean, a number or a word")
        if (self.choices or isinstance(self.outcome, str)) and self.outcome not in self.choices:
            raise ValueError(f"the outcome of {self.name!r}, {self.outcome!r}, is none of its choices, {self.choices}")

    @property
    def kind(self) -> str:
        return "choice" if self.choices else "yes/no" if isinstance(self.outcome, bool) else "number"

    def read(self, answer):
        """The answer as a value of this question's kind. Raises ValueError, in words for the learner."""
        if self.kind == "number":
            if isinstance(answer, Real) and not isinstance(answer, bool):
                return answer
            wanted = _("a number")
        else:
            values = {_text(value).casefold(): value for value in self.choices or (True, False)}
            word = _text(answer).strip().casefold()
            if word in values:
                return values[word]
            wanted = _("True (yes) or False (no)")
            if self.choices:
                wanted = _("one of {choices}").format(choices=", ".join(map(repr, self.choices)))
        words = _("{question}: wanted {wanted}, not {answer}.")
        raise ValueError(words.format(question=self.name, wanted=wanted, answer=shorten(repr(answer), 60)))

    def holds(self, value, within: float) -> bool:
        """Whether the value that was read is what happens; a number is judged against the digits that are shown."""
        if self.kind != "number" or value == self.outcome or not math.isfinite(self.outcome):
            return value == self.outcome
        try:
            return abs(value - self.outcome) <= max(within * abs(self.outcome), 1e-9)
        except OverflowError:  # a whole number that no float can hold
            return False

    def as_json(self) -> dict:
        """What a page needs to ask and to judge; numbers have the digits that are shown."""
        text = _text(self.outcome)
        if self.kind == "number":
            outcome = json.loads(text) if math.isfinite(self.outcome) else text  # JSON has no infinity
        else:
            outcome = self.outcome if self.kind == "yes/no" else text
        choices = [_text(choice) for choice in self.choices]
        return {
            "name": self.name,
            "kind": self.kind,
            "choices": choices,
            "outcome": outcome,
            "text": text,
            "tempting": self.tempting,
        }


class Comparison:
    """Outcomes beside a learner's guess: as text, as a table in HTML, and as data from which a page builds inputs."""

    def __init__(self, questions: list[Question], guess, within: float):
        self.questions, self.within = questions, within
        given, self.notes = _given(guess, [question.name for question in questions])
        self.rows = []  # (name, guess, outcome, verdict), as text
        for question in questions:
            answer = given.get(question.name, ...)
            shown = "-" if answer is ... else shorten(_text(answer), 40)
            self.rows.append((question.name, shown, _text(question.outcome), self._verdict(question, answer)))
        verdicts = [verdict for *_, verdict in self.rows]
        held, made = verdicts.count("holds"), verdicts.count("holds") + verdicts.count("differs")
        score = _("{held} of {made} held (numbers within {share}%).") if within else _("{held} of {made} held.")
        self.score = score.format(held=held, made=made, share=f"{100 * within:.3g}") if made else _(STILL_OPEN)
        self.columns = (0, 2) if set(verdicts) == {"no guess"} else (0, 1, 2, 3)

    def _verdict(self, question: Question, answer) -> str:
        """holds, differs, not understood or no guess; what there is to say about it is noted."""
        if answer is ...:
            return "no guess"
        try:
            if question.holds(question.read(answer), self.within):
                return "holds"
        except ValueError as words:
            self.notes.append(str(words))
            return "not understood"
        if question.tempting:
            self.notes.append(f"{question.name}: {question.tempting}")
        return "differs"

    def _table(self) -> list[list[str]]:
        said = {
            "holds": _("holds"),
            "differs": _("differs"),
            "not understood": _("not understood"),
            "no guess": _("no guess"),
        }
        rows = [(_("question"), _("your guess"), _("outcome"), "")]
        rows += [(*row, said[verdict]) for *row, verdict in self.rows]
        return [[row[i] for i in self.columns] for row in rows]

    def __repr__(self) -> str:
        rows = self._table()
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = []
        for name, *values in rows:
            aligned = [value.rjust(width) for value, width in zip(values[:2], widths[1:])] + values[2:]
            lines.append("   ".join([name.ljust(widths[0]), *aligned]).rstrip())
        return "\n".join(lines) + "".join("\n\n" + fill(words, 100) for words in (self.score, *self.notes))

    def _repr_html_(self) -> str:
        """A bare table: JupyterLab, VS Code and GitHub each give it their own look, light or dark.

        The first line tells nothing: JupyterLab shows it in place of a folded output.
        """
        head, *rows = ([escape(value) for value in row] for row in self._table())
        body = "".join("<tr><td>" + "</td><td>".join(row) + "</td></tr>" for row in rows)
        table = f"<table><thead><tr><th>{'</th><th>'.join(head)}</th></tr></thead><tbody>{body}</tbody></table>"
        words = "".join(f"<p>{escape(words)}</p>" for words in (self.score, *self.notes))
        first = _("The outcome:")
        return f"{first}\n{table}" + re.sub("`(.+?)`", r"<code>\1</code>", words)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        data = {"questions": [question.as_json() for question in self.questions], "within": self.within}
        return {"text/plain": repr(self), "text/html": self._repr_html_(), MIME: data}


def _given(guess, names: list[str]) -> tuple[dict, list[str]]:
    """The answers to questions that are asked, and words about whatever else came."""
    if not isinstance(guess, Mapping):
        form = f'{{"{names[0]}": ...}}'
        return {}, [
            _("A guess is a dictionary, such as {form}, not {guess}.").format(form=form, guess=shorten(repr(guess), 60))
        ]
    notes = []
    for name in guess:
        if name not in names:
            close = get_close_matches(str(name), names, n=1) or names
            notes.append(
                _("{name}: no question has this name. Did you mean {close}?").format(
                    name=name, close=_(" or ").join(close)
                )
            )
    return {name: answer for name, answer in guess.items() if name in names and answer is not None}, notes


def _sentences(place: str) -> dict[str, str]:
    lesson, _, prediction = place.partition("/")
    return tomllib.loads((TEMPTING / f"{lesson}.toml").read_text(encoding="utf-8"))[prediction]


def _as_shown(value):
    """A float as the four digits of it that are shown; anything else as it is."""
    return float(_text(value)) if isinstance(value, float) else value


def _text(value) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return f"{value:.4g}" if isinstance(value, float) else str(value)
