"""Malformed inputs by the hundred: each is refused in one line, or left out, counted and listed.

No traceback, no hang, no surge of memory, and nothing changed in silence. The tables are in the
modules beside; each row writes one input and says what must come of it.
"""

import re
import shutil

import malformed_csv
import malformed_embeddings
import malformed_folders
import malformed_hdf5
import malformed_images
import malformed_npy
import malformed_npz
import malformed_packages
import malformed_runs
import malformed_sounds
import malformed_yaml
import numpy as np
import pytest
from malformed import limits
from PIL import Image

import twofold
from twofold.cli import main
from twofold.domains import damage
from twofold.domains.open import open_data
from twofold.errors import TwofoldError

TABLES = (
    malformed_folders,
    malformed_npy,
    malformed_npz,
    malformed_hdf5,
    malformed_csv,
    malformed_yaml,
    malformed_embeddings,
    malformed_packages,
    malformed_runs,
    malformed_sounds,
)
REFUSED = [case for table in TABLES for case in table.REFUSED]
KEPT = [case for table in TABLES for case in getattr(table, "KEPT", ())]
SKIPPED = [
    *(("images", case) for case in malformed_images.SKIPPED),
    *(("sounds", case) for case in malformed_sounds.SKIPPED),
]
_GOOD = 24


def named(cases):
    """Rows as parameters of a test, each by its name."""
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*row, id=row[-1].name) for row in rows]


def of_both_parts(data):
    """Items of the training and the test part, by id."""
    return {
        id: item
        for source in (data.train, data.test)
        for id, item in zip(source.ids, source.items, strict=True)
    }


def check_refusal(status, said):
    """One line that is a sentence to the user, and nothing of the program's insides."""
    assert status == 2, said
    assert len(said.splitlines()) == 1, said
    assert said.startswith("twofold: ")
    assert said.isascii() or said.strip().isprintable()
    assert "\x1b" not in said
    assert "Traceback" not in said
    assert not re.search(r"\b\w+Error\b", said), said


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Whatever an input may plant in the working folder, or leave in the cache, is its own."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(damage, "_PATIENCE", 8)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Folders of sound images and recordings, and what each file holds."""
    random, above = np.random.default_rng(0), tmp_path_factory.mktemp("good")
    pixels = random.integers(0, 256, (_GOOD, 1, 8, 8), dtype=np.uint8)
    samples = random.integers(-9_000, 9_000, (_GOOD, 1, 1, 4_000), dtype=np.int16)
    for name in ("images", "sounds"):
        (above / name).mkdir()
    for number in range(_GOOD):
        Image.fromarray(pixels[number, 0]).save(above / "images" / f"{number:02}.png")
        wav = malformed_sounds.wav(samples[number].tobytes())
        (above / "sounds" / f"{number:02}.wav").write_bytes(wav)
    return {
        "images": (above / "images", {f"{n:02}.png": item for n, item in enumerate(pixels)}),
        "sounds": (above / "sounds", {f"{n:02}.wav": item for n, item in enumerate(samples)}),
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a small run, a copy of it, and its images."""
    folder = tmp_path_factory.mktemp("runs")
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    twofold.pretrain(
        "simclr",
        data=folder / "images.npy",
        out=folder / "run",
        encoder="resnet-small",
        width=0.25,
        threads=1,
        batch_size=8,
        epochs=1,
        quiet=True,
    )
    shutil.copytree(folder / "run", folder / "again")
    return folder


@pytest.mark.parametrize("case", named(malformed_runs.WITH_RUN))
def test_a_run_or_query_is_refused_in_one_line(case, run, tmp_path, capfd):
    shutil.copytree(run, tmp_path / "at")
    refused(case, tmp_path / "at", tmp_path / "work", capfd)


@pytest.mark.parametrize("case", named(REFUSED))
def test_it_is_refused_in_one_line(case, tmp_path, capfd):
    (tmp_path / "at").mkdir()
    refused(case, tmp_path / "at", tmp_path / "work", capfd)


def refused(case, at, work, capfd):
    """Checks that a case is refused, leaves nothing behind, and runs no code."""
    case.write(at)
    before = sorted(path.name for path in at.iterdir())
    with limits(), pytest.raises(SystemExit) as ended:
        main(case.line(at))
    said = capfd.readouterr().err
    check_refusal(ended.value.code, said)
    assert re.search(case.words, said), said
    assert sorted(path.name for path in at.iterdir()) == before
    assert not any(work.iterdir()), "it ran code"


@pytest.mark.parametrize(("kind", "case"), named(SKIPPED))
def test_it_is_left_out_counted_and_listed(kind, case, good, tmp_path, capsys):
    folder, items = good[kind]
    at = tmp_path / kind
    shutil.copytree(folder, at)
    case.write(at / case.file)
    with limits():
        data = open_data(at)
    ((path, reason),) = {*data.train.skipped, *data.test.skipped}
    assert path == case.file
    assert re.search(case.reason, reason), reason
    assert len(reason.splitlines()) == 1
    assert str(tmp_path) not in reason
    assert "unreadable files left out: 1" in data.note
    found = of_both_parts(data)
    assert found.keys() == items.keys()
    for id, item in items.items():
        assert found[id].dtype == item.dtype
        np.testing.assert_array_equal(found[id], item)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("case", named(KEPT))
def test_it_is_read_as_it_is(case, tmp_path):
    at = tmp_path / "at"
    at.mkdir()
    expected = case.write(at)
    with limits():
        data = open_data(at / case.data)
    assert data.train.skipped == data.test.skipped == ()
    assert re.search(case.note, data.note)
    found = of_both_parts(data)
    assert found.keys() == expected.keys()
    for id, item in expected.items():
        assert found[id].dtype == item.dtype
        np.testing.assert_array_equal(found[id], item)


def test_the_tables_are_large_and_each_row_has_a_name_of_its_own():
    names = [case.name for case in (*REFUSED, *malformed_runs.WITH_RUN, *KEPT)]
    names += [case.name for _, case in SKIPPED]
    assert len(set(names)) == len(names) >= 200
    with pytest.raises(TwofoldError):
        open_data("nowhere")
