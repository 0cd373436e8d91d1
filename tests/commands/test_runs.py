"""`twofold runs` as a user types it."""

import json

import pytest
import yaml

from twofold.cli import main
from twofold.commands.runs import COLUMNS


def run(*args):
    """The exit status of `twofold runs ARGS`."""
    with pytest.raises(SystemExit) as caught:
        main(["runs", *map(str, args)])
    return caught.value.code


def figure(value, half):
    return {"value": value, "ci95": [value - half, value + half], "n": 100}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Three runs below `runs`: one finished, one of numbers, one damaged."""
    evaluations = {
        "a": {"knn": {"accuracy": figure(0.805, 0.02)}, "linear": {"accuracy": figure(0.9, 0.01)}},
        "b": {"knn": {"r2": figure(0.5, 0.125)}},
        "study/c": None,
    }
    for number, (name, evaluation) in enumerate(evaluations.items()):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        recipe = {"name": "simclr", "encoder": "resnet18", "epochs": 10 - number}
        plain = {"recipe": recipe, "data": {"data": "digits"}}
        (folder / "config.yaml").write_text(yaml.safe_dump(plain) if evaluation else "a: [")
        end = {"kind": "end", "elapsed": 125.0 * 10**number, "images_per_s": 1234.5}
        (folder / "metrics.jsonl").write_text(json.dumps(end) + "\n")
        (folder / "encoder.safetensors").touch()
        if evaluation:
            (folder / "evaluation.json").write_text(json.dumps(evaluation))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")  # narrower than any row
    return tmp_path


def rows(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_there_is_one_line_a_run_however_narrow_the_terminal(place, capsys):
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [name for name in COLUMNS if name not in {"finetune", "health"}]
    assert len(lines) == 4
    assert [line.split()[0] for line in lines[1:]] == ["a", "b", "study/c"]
    assert "80.5 ± 2.0 %" in lines[1]
    assert "90.0 ± 1.0 %" in lines[1]
    assert "2 min 05 s" in lines[1]
    assert "R² 0.5 ± 0.12" in lines[2]
    assert "finished; config.yaml cannot be read" in lines[3]


@pytest.mark.parametrize(("count", "words"), [(1, "1 step not taken"), (2, "2 steps not taken")])
def test_steps_that_were_not_taken_are_told_beside_the_state(place, capsys, count, words):
    with (place / "runs/a/metrics.jsonl").open("a") as file:
        for step in range(count):
            file.write(json.dumps({"kind": "skipped", "step": step}) + "\n")
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"finished; {words}" in lines[1]
    assert "not taken" not in lines[2]


@pytest.mark.parametrize(
    ("column", "order", "reverse"),
    [
        ("name", ["a", "b", "study/c"], ["study/c", "b", "a"]),
        ("knn", ["b", "a", "study/c"], ["a", "b", "study/c"]),
        ("epochs", ["b", "a", "study/c"], ["a", "b", "study/c"]),
        ("time", ["a", "b", "study/c"], ["study/c", "b", "a"]),
        ("finetune", ["a", "b", "study/c"], ["a", "b", "study/c"]),
    ],
)
def test_any_column_sorts_and_runs_without_it_come_last(place, capsys, column, order, reverse):
    for flags, expected in (([], order), (["--reverse"], reverse)):
        assert run("runs", "--sort", column, *flags) == 0
        assert [row[0] for row in rows(capsys)[1:]] == expected


def test_scripts_get_a_line_of_json_for_each_run(place, capsys):
    assert run("runs", "--json", "--sort", "knn") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["name"] for entry in found] == ["b", "a", "study/c"]
    assert found[1]["folder"] == "runs/a"
    assert found[1]["knn"] == {"value": 0.805, "metric": "accuracy", "half": pytest.approx(0.02)}
    assert found[2]["problems"] == ["config.yaml cannot be read"]
    assert found[2]["recipe"] is None
    assert "T" in found[0]["when"]


def test_a_folder_without_runs_says_so(place, capsys):
    (place / "empty").mkdir()
    assert run("empty") == 0
    assert capsys.readouterr().out == "there are no runs below empty\n"
    assert run("empty", "--json") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rnus", "rnus does not exist; name the folder that holds the runs"),
        ("runs --sort kn", "unknown column 'kn'; did you mean 'knn'?"),
        ("--srt knn", "unknown flag --srt; did you mean --sort?"),
        ("runs runs", "found 'runs', which belongs to no flag"),
    ],
)
def test_a_mistake_is_answered_in_one_line(place, capsys, line, words):
    assert run(*line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err
