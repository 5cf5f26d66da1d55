from course_lib.lesson.predict import compare


def lines(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_each_answer_is_judged_by_its_kind(capsys):
    compare({"a": True, "b": 3, "c": "q", "d": 1.0}, {"a": True, "b": 4, "c": "x", "d": 1.05}, within=0.1)
    out = lines(capsys)
    assert out[1] == ["a", "yes", "yes", "as", "guessed"]
    assert out[2] == ["b", "3", "4", "differs"]
    assert out[3] == ["c", "q", "x", "differs"]
    assert out[4] == ["d", "1", "1.05", "as", "guessed"]
    assert out[5] == "2 of 4 as guessed (numbers within 10%).".split()


def test_a_number_is_not_a_yes(capsys):
    compare({"a": "1", "b": 0.5}, {"a": 1, "b": True})
    assert "0 of 2" in capsys.readouterr().out


def test_tolerance_is_relative_and_zero_by_default(capsys):
    compare({"a": 1.0}, {"a": 1.01})
    compare({"a": 1.0}, {"a": 1.01}, within=0.02)
    compare({"a": 0.0}, {"a": 0.0})
    out = capsys.readouterr().out
    assert out.count("differs") == 1 and out.count("1 of 1") == 2


def test_missing_and_misspelt_guesses_are_said(capsys):
    compare({"colour": 1}, {"color": 1})
    out = capsys.readouterr().out
    assert "no guess" in out and "colour: not a question here; the names are color" in out


def test_infinite_findings_print(capsys):
    compare({"a": 1.0}, {"a": float("inf")})
    assert "inf" in capsys.readouterr().out
