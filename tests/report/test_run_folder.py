import json

import pytest

from twofold.report.run_folder import read


def write_lines(path, lines):
    (path / "metrics.jsonl").write_text("\n".join(lines))


def test_a_step_that_was_written_twice_counts_as_written_last(tmp_path):
    steps = [{"kind": "step", "step": s, "loss": v} for s, v in [(1, 9.0), (2, 8.0), (2, 7.0)]]
    write_lines(tmp_path, map(json.dumps, steps))
    assert [(s["step"], s["loss"]) for s in read(tmp_path).steps] == [(1, 9.0), (2, 7.0)]


def test_half_a_last_line_is_no_news(tmp_path):
    write_lines(tmp_path, ['{"kind": "step", "step": 1}', '{"kind": "st'])
    run = read(tmp_path)
    assert len(run.steps) == 1
    assert not any("metrics" in note for note in run.notes)


def test_a_broken_line_in_the_middle_is_counted(tmp_path):
    write_lines(tmp_path, ['{"kind": "step", "step": 1}', "garbage", '{"kind": "end", "step": 1}'])
    run = read(tmp_path)
    assert run.end == {"kind": "end", "step": 1}
    assert "1 of the lines of metrics.jsonl could not be read." in run.notes


@pytest.mark.parametrize("written", [b"{", b"\xff\xfe"])
def test_broken_evaluation_is_noted(tmp_path, written):
    write_lines(tmp_path, [])
    (tmp_path / "evaluation.json").write_bytes(written)
    (tmp_path / "evaluation.npz").write_bytes(b"PK nothing")
    notes = read(tmp_path).notes
    assert "evaluation.json could not be read." in notes
    assert "evaluation.npz could not be read." in notes
