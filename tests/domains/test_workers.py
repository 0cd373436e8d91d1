import sys
import threading
import time
from pathlib import Path

import pytest

from twofold.domains.workers import Unreadable, read_all


def test_results_keep_their_order_and_failures_their_place():
    def read(path):
        number = int(path.name)
        time.sleep(0.002 * (number % 3))
        if number % 10 == 4:
            raise ValueError(f"number {number}\nand more")
        return number

    results = list(read_all(read, [Path(str(i)) for i in range(60)], task="", workers=5))
    expected = [Unreadable(f"number {i}") if i % 10 == 4 else i for i in range(60)]
    assert results == expected


def test_reading_does_not_run_far_ahead():
    begun = []
    results = read_all(begun.append, [Path(str(i)) for i in range(1000)], task="", workers=2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 16
    results.close()


def test_several_threads_work_at_once():
    together = threading.Barrier(3, timeout=5)  # breaks unless three wait at the same time
    results = list(read_all(lambda _: together.wait(), [Path("x")] * 6, task="", workers=3))
    assert not any(isinstance(result, Unreadable) for result in results)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.png"), "No such file or directory"),
        (OSError("image file is truncated"), "image file is truncated"),
        (SyntaxError(), "SyntaxError"),
    ],
)
def test_reasons_are_short(error, reason):
    def fail(path):
        raise error

    assert list(read_all(fail, [Path("a.png")], task="")) == [Unreadable(reason)]


def test_running_out_of_memory_is_not_a_bad_file():
    def fail(path):
        raise MemoryError

    with pytest.raises(MemoryError):
        list(read_all(fail, [Path("a.png")], task=""))


def test_the_progress_bar_is_drawn_on_stderr_only_where_it_is_wanted(capsys, monkeypatch):
    paths = [Path(str(i)) for i in range(3)]
    assert list(read_all(str, paths, task="Decoding", progress=None)) == ["0", "1", "2"]
    assert list(read_all(str, paths, task="Decoding", progress=False)) == ["0", "1", "2"]
    assert capsys.readouterr() == ("", "")
    assert list(read_all(str, paths, task="Decoding", progress=True)) == ["0", "1", "2"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "Decoding" in err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(read_all(str, paths, task="Decoding", progress=None))  # done within a second
    assert capsys.readouterr() == ("", "")
