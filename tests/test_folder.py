"""The files of a run folder, when several write there or strangers have left something."""

import json
import multiprocessing
import os

import pytest

from twofold.folder import alone, list_skipped, read_evaluation, revised, sound_metrics, write_down

_CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture
def folder(tmp_path):
    """A run folder in which nothing was found out yet."""
    (tmp_path / "config.yaml").write_text("recipe: {}\n")
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "name", [".x.partial", ".partial", ".a.b.partial", ".x.².partial", "x.99999999.partial"]
)
def test_partial_files_of_others_are_left_alone(folder, name):
    (folder / name).write_text("theirs")
    with alone(folder):
        pass
    assert names(folder) == sorted([name, "config.yaml"])


@pytest.mark.parametrize("writer", ["99999999", "9" * 40, str(os.getpid())])
def test_partial_files_that_nobody_writes_any_more_go(folder, writer):
    (folder / f".x.{writer}.partial").write_text("half")
    with alone(folder):
        pass
    assert names(folder) == ["config.yaml"]


def test_a_partial_file_of_a_living_process_stays(folder):
    partial = folder / f".x.{os.getppid()}.partial"
    partial.write_text("half")
    with alone(folder):
        assert partial.exists()


def test_only_a_last_line_of_plain_text_was_cut_short(folder):
    def damaged(contents):
        (folder / "metrics.jsonl").write_bytes(contents)
        lines, count = sound_metrics(folder)
        assert lines == [{"kind": "step"}]
        return count

    assert damaged(b'{"kind": "step"}\n{"kind": "st') == 0
    assert damaged(b'{"kind": "step"}\n\n') == 0
    assert damaged(b'{"kind": "step"}\n{"kind": "st\xff') == 1
    assert damaged(b'{"kind": "st\n{"kind": "step"}\n') == 1
    assert damaged(b'{"kind": "step"}\n7\n[]\n') == 2


def write_many(folder, name, count, all_there):
    all_there.wait()
    for number in range(count):
        write_down(folder, {f"{name}{number}": {"is": number}})


def test_of_figures_that_processes_write_at_the_same_moment_none_is_lost(folder):
    all_there = _CONTEXT.Barrier(3)
    writers = [
        _CONTEXT.Process(target=write_many, args=(folder, name, 40, all_there)) for name in "abc"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    expected = {f"{name}{number}": {"is": number} for name in "abc" for number in range(40)}
    assert read_evaluation(folder) == expected
    assert names(folder) == ["config.yaml", "evaluation.json"]


def test_what_fails_on_the_way_changes_nothing_and_lets_the_next_one_in(folder):
    write_down(folder, {"knn": 1})
    with pytest.raises(TypeError), revised(folder) as held:
        held["knn"] = {2}  # no JSON
    with revised(folder) as held:
        assert held == {"knn": 1}
        del held["knn"]
    assert json.loads((folder / "evaluation.json").read_text()) == {}


def test_files_that_could_not_be_read_are_listed_one_a_line(tmp_path):
    path = tmp_path / "skipped.tsv"
    assert list_skipped([], path) == ()
    assert not path.exists()
    (said,) = list_skipped([("a\n.png", "it is empty"), ("b.png", "cut\toff")], path)
    assert said == f"2 files could not be read; see {path}"
    assert [line.count("\t") for line in path.read_text().splitlines()] == [1, 1]
