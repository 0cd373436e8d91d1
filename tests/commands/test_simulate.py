"""`twofold simulate` as a user types it."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from twofold.cli import main
from twofold.errors import TwofoldError
from twofold.simulation.jets import file, tasks
from twofold.simulation.sounds import espeak, soundfonts


def run(*args):
    """The exit status of `twofold simulate ARGS`."""
    with pytest.raises(SystemExit) as caught:
        main(["simulate", *map(str, args)])
    return caught.value.code


@pytest.mark.slow
def test_jets_from_pythia_are_the_same_in_any_number_of_processes(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    for workers in (1, 2):
        monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / f"cache-{workers}"))
        out = tmp_path / f"{workers}.h5"
        figure = tmp_path / f"{workers}.png"
        args = ("--n", 10, "--pt", 400, 600, "--workers", workers, "--figure", figure)
        assert run("jets", *args, "--out", out) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == [
            *("multiplicity", "mass", "girth"),
            *(str(figure), str(out)),
        ]
        assert figure.exists()
    with h5py.File(tmp_path / "1.h5") as one, h5py.File(tmp_path / "2.h5") as two:
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key][:], two[key][:])


@pytest.mark.slow
def test_words_are_the_same_in_any_number_of_processes(tmp_path, monkeypatch, capsys):
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("soxr")
    for workers in (1, 2):
        monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / f"cache-{workers}"))
        out, figure = tmp_path / f"{workers}.h5", tmp_path / f"{workers}.png"
        args = ("--n", 260, "--words", "cat", "dog", "--workers", workers, "--figure", figure)
        assert run("speech", *args, "--out", out) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == [
            "260 words of 1 s, 16,000 samples a second",
            "word    cat 130, dog 130",
        ]
        assert lines[-2:] == [str(figure), str(out)]
        assert figure.exists()
    with h5py.File(tmp_path / "1.h5") as one, h5py.File(tmp_path / "2.h5") as two:
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key][:], two[key][:])


@pytest.mark.slow
def test_notes_are_the_same_in_any_number_of_processes(tmp_path, monkeypatch, capsys):
    try:
        soundfonts.versions()
        soundfonts.find_soundfonts()
    except TwofoldError as error:
        pytest.skip(str(error))
    for workers in (1, 2):
        monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / f"cache-{workers}"))
        out = tmp_path / f"{workers}.h5"
        assert run("notes", "--n", 260, "--workers", workers, "--out", out) == 0
        assert capsys.readouterr().out.startswith("260 notes of 1 s, 16,000 samples a second\n")
    with h5py.File(tmp_path / "1.h5") as one, h5py.File(tmp_path / "2.h5") as two:
        np.testing.assert_array_equal(one["X"][:], two["X"][:])
        assert np.abs(one["X"][:]).max(axis=1).min() > 100


def test_orbits_are_made_and_told_of(tmp_path, capsys):
    out, figure = tmp_path / "orbits.h5", tmp_path / "orbits.png"
    args = ("--orbits", 5, "--samples", 4, "--render", "images", "--gaps", 1, 0.5)
    assert run("pendulum", *args, "--out", out, "--figure", figure) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("20 rows of 5 orbits; energy off by ")
    assert lines[1].startswith("nothing read off such a picture orders m better than 0.9")
    assert lines[2:] == [str(figure), str(out)]
    with h5py.File(out) as made:
        assert made["X"].shape == (20, 3, 32, 32)
    assert figure.exists()
    assert run("kepler", "--range", -1, -0.5, "--orbits", 3, "--out", out) == 2
    assert "orbits.h5 exists; choose another --out" in capsys.readouterr().err
    assert run("kepler", "--range", -1, -0.5, "--orbits", 3, "--out", out, "--overwrite") == 0


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(file, "make", interrupted)
    assert run("jets", "--n", 10, "--out", tmp_path / "jets.h5") == 130
    assert capsys.readouterr().err.strip() == "stopped; the same command goes on from here"


def test_a_missing_extra_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "GENERATORS", ("pythia8mc-of-nobody",))
    assert run("jets", "--n", 10, "--out", tmp_path / "jets.h5") == 2
    assert capsys.readouterr().err.endswith("pip install 'twofold[jets]'\n")
    monkeypatch.setattr(espeak, "_PACKAGES", ("espeak-of-nobody",))
    assert run("speech", "--n", 10, "--out", tmp_path / "speech.h5") == 2
    assert capsys.readouterr().err.endswith("pip install 'twofold[sounds]'\n")
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    soundfonts._library.cache_clear()
    monkeypatch.setattr(soundfonts, "PACKAGES", {})
    assert run("notes", "--n", 10, "--out", tmp_path / "notes.h5") == 2
    assert capsys.readouterr().err.endswith("pip install 'twofold[sounds]'\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "SUBJECT is missing; write twofold simulate jets"),
        (["jet"], "unknown subject 'jet'; did you mean 'jets'?"),
        (["jets", "--n", 10], "--out is missing"),
        (["jets", "--out", "a.h5"], "--n is missing"),
        (["jets", "--n", 1, "--out", "a.h5"], "n is 1; it must be >= 2"),
        (["jets", "--n", "many", "--out", "a.h5"], "--n is 'many'; it must be None or a whole"),
        (["jets", "--n", 10, "--out", "a.npz"], "must end in .h5 or .hdf5"),
        (["jets", "--n", 10, "--out", "a.h5", "--task", "top"], "did you mean 'top-qcd'"),
        (["jets", "--n", 10, "--out", "a.h5", "--pt", 600, 500], "give the lower end first"),
        (["jets", "--n", 10, "--out", "a.h5", "--pt", 600], "pt is 600; give both ends"),
        (["jets", "--n", 10, "--out", "a.h5", "--sise", 40], "did you mean --size"),
        (["jets", "--n", 10, "--out", "a.h5", "--figure", "a.jpg"], "must end in .png"),
        (["notes", "--n", 10], "--out is missing"),
        (["notes", "--out", "a.h5"], "--n is missing"),
        (["notes", "--n", 10, "--out", "a.h5", "--soundfonts", "a.sf2"], "a.sf2: No such file"),
        (["notes", "--n", 10, "--out", "a.h5", "--seconds", 0], "it must be from 0.1 to 60"),
        (["speech", "--n", 10, "--out", "a.wav"], "must end in .h5 or .hdf5"),
        (["speech", "--n", 10, "--out", "a.h5", "--accents", "en-uk"], "did you mean 'en-us'"),
        (["speech", "--n", 10, "--out", "a.h5", "--sample-rate", 4000], "from 8000 to 96000"),
        (["pendulums"], "unknown subject 'pendulums'; did you mean 'pendulum'?"),
        (["pendulum"], "--out is missing"),
        (["pendulum", "--out", "a.npz"], "must end in .h5 or .hdf5"),
        (["pendulum", "--out", "a.h5", "--range", 0.5, 1.5], "goes round and round"),
        (["pendulum", "--out", "a.h5", "--range", 0.5], "must be None or two numbers"),
        (["pendulum", "--out", "a.h5", "--gaps", 0.5, 1], "a whole number and a number"),
        (["pendulum", "--out", "a.h5", "--samples", 1], "an orbit needs two rows to be a group"),
        (["pendulum", "--out", "a.h5", "--samples", 0], "samples is 0; it must be >= 1"),
        (["pendulum", "--out", "a.h5", "--noise", "nan"], "noise is nan; it must be finite"),
        (["pendulum", "--out", "a.h5", "--crop", 0.5], "vectors are no pictures"),
        (["spring", "--out", "a.h5", "--rnge", 0, 1], "did you mean --range"),
        (["lotka-volterra", "--out", "a.h5", "--render", "images"], "nothing to draw"),
    ],
)
def test_mistakes_end_in_one_line(args, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*args) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_nothing_heavy_is_imported():
    program = (
        "import twofold.commands.simulate, twofold.simulation.jets.file, sys\n"
        "import twofold.simulation.sounds.file\n"
        "from twofold.simulation import simulate_jets\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'matplotlib', 'pythia8mc', 'fastjet', 'awkward',"
        " 'fluidsynth', 'soxr', 'espeakng_loader'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
