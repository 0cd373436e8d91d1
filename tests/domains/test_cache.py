import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest

from twofold.domains.cache import cache_folder, publish
from twofold.errors import TwofoldError


def fill(folder: Path) -> None:
    for i in range(20):
        (folder / f"{i}").write_text(str(os.getpid()))


def race(target: Path, barrier) -> None:
    barrier.wait()
    publish(target, fill)


def test_the_folder_is_chosen_by_argument_then_environment_then_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "environment"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert cache_folder() == tmp_path / "environment"
    monkeypatch.delenv("TWOFOLD_CACHE")
    assert cache_folder() == tmp_path / "home" / ".cache" / "twofold"
    assert cache_folder().is_dir()


def test_what_fails_leaves_nothing_behind(tmp_path):
    def fail(folder):
        (folder / "half").write_text("x")
        raise KeyError("stop")

    with pytest.raises(KeyError):
        publish(tmp_path / "target", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_one_line(tmp_path):
    def fail(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(TwofoldError, match=r"\(No space left on device\); name another folder"):
        publish(tmp_path / "target", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TwofoldError, match="cannot write the cache in"):
        cache_folder(tmp_path / "file" / "cache")


def test_the_first_to_finish_is_kept(tmp_path):
    def overtaken(folder):
        publish(tmp_path / "target", lambda other: (other / "who").write_text("first") and None)
        (folder / "who").write_text("second")

    publish(tmp_path / "target", overtaken)
    assert (tmp_path / "target" / "who").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_two_processes_may_build_at_once(tmp_path):
    context = get_context("spawn")
    barrier = context.Barrier(2)
    both = [context.Process(target=race, args=(tmp_path / "target", barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert len({path.read_text() for path in (tmp_path / "target").iterdir()}) == 1
    assert len(list((tmp_path / "target").iterdir())) == 20


def test_what_a_killed_process_had_begun_is_removed_by_the_next_but_not_what_is_being_built(
    tmp_path,
):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from twofold.domains.cache import publish\n"
        "def build(folder):\n"
        "    (folder / 'half').write_text('x')\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "publish(Path(sys.argv[1]), build)\n"
    )
    target = tmp_path / "abc"
    command = [sys.executable, "-c", script, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as builder:
        try:
            assert builder.stdout.readline() == "begun\n"
            publish(tmp_path / "other", lambda folder: None)
            publish(target, lambda folder: (folder / "whole").write_text("y"))
            assert [path.name for path in tmp_path.glob(".abc-*/half")] == ["half"]
        finally:
            builder.kill()
    publish(target, lambda folder: (folder / "again").write_text("z"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["abc", "other"]
    assert [path.name for path in target.iterdir()] == ["whole"]
