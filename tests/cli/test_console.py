"""Progress and problems on standard error, results on standard output."""

import json

from apical.console import Console


def test_logs_get_a_line_each_fifth_with_an_estimate(capsys):
    with Console().progress("Working") as progress:
        for done in range(1, 101):
            progress(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"Working: {n}/100" for n in (20, 40, 60, 80, 100)]
    assert all("left" in line for line in lines)


def test_quiet_hides_progress_but_not_results(capsys):
    console = Console(quiet=True)
    with console.progress("Working") as progress:
        progress(1, 1)
    console.result({}, ["done"])
    assert capsys.readouterr() == ("done\n", "")


def test_json_wins_over_lines(capsys):
    Console(json_output=True, quiet=True).result({"a": 1}, ["a is 1"])
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def test_many_problems_are_counted_unless_verbose(capsys):
    many = [f"problem {n}" for n in range(9)]
    Console().problems(many, "9 problems")
    assert capsys.readouterr().err.splitlines() == ["9 problems", "  (--verbose lists them)"]
    Console(verbose=True).problems(many, "9 problems")
    assert len(capsys.readouterr().err.splitlines()) == 10


def test_names_of_files_do_not_command_the_terminal(capsys):
    hostile = "a\x1b]0;owned\x07\nb\x9bc\x7f.dcm"
    Console().problems([hostile], "one problem")
    Console().result({}, [hostile])
    written = capsys.readouterr()
    plain = r"a\x1b]0;owned\x07\nb\x9bc\x7f.dcm"
    assert (written.out, written.err) == (f"{plain}\n", f"one problem\n  {plain}\n")
