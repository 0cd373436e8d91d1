"""Every command once on recordings, as a user types it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from toy_sounds import write_sound

import twofold
from twofold.cli import main
from twofold.clips import Clips

RATE = 8000
QUICK = "--epochs 1 --batch-size 16 --width 0.25 --threads 1 --loader-threads 0"
LENGTHS = (0.2, 0.25, 0.6)


def run(line):
    """The exit status of `twofold LINE`."""
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    return caught.value.code


def sound(kind, number, rate=RATE):
    """A low, a middle or a high tone of varying length, with some noise."""
    draws = np.random.default_rng([kind, number])
    time = np.arange(round(LENGTHS[number % 3] * rate)) / rate
    frequency = 200 * 3**kind * draws.uniform(0.9, 1.1)
    wave = 0.3 * np.sin(2 * np.pi * frequency * time) + 0.01 * draws.normal(size=len(time))
    return wave[:, None]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folders of recordings, a run on one of them, and one that was fine-tuned."""
    folder = tmp_path_factory.mktemp("audio")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TWOFOLD_CACHE", str(folder / "cache"))
        for kind, name in enumerate(("low", "middle", "high")):
            for number in range(36):
                write_sound(Path("sounds", name, f"{number}.wav"), sound(kind, number), RATE)
            for number in range(40, 48):  # in stereo at another rate
                wave = np.repeat(sound(kind, number, 16_000), 2, axis=1)
                write_sound(Path("others", name, f"{number}.flac"), wave, 16_000)
        Path("sounds", "low", "empty.wav").touch()
        assert run(f"pretrain mt_slvr --data sounds --seconds 0.25 --out run {QUICK}") == 0
        assert run(f"finetune run --data sounds --out tuned {QUICK}") == 0
    return folder


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.setenv("TWOFOLD_CACHE", str(place / "cache"))
    monkeypatch.chdir(place)


def test_a_run_says_what_it_read_and_lists_what_it_could_not():
    note = twofold.Run(Path("run")).config.found["note"]
    assert "108 clips of 2,000 samples at 8 kHz int16, 3 classes" in note
    assert "1" in note.split("unreadable files left out: ")[1]
    assert "low/empty.wav" in Path("run/skipped.tsv").read_text()


def test_an_evaluation_compares_with_spectrograms(capsys):
    assert run("evaluate run") == 0
    assert "accuracy, raw" in capsys.readouterr().out
    found = json.loads(Path("run/evaluation.json").read_text())
    assert found["knn"]["protocol"]["raw_frames"] == 8
    assert found["knn"]["accuracy_raw"]["value"] > 0.9


def test_other_recordings_are_brought_to_what_the_encoder_reads():
    assert run("evaluate run --data others --probes knn --k 5 --out others.json") == 0
    found = json.loads(Path("others.json").read_text())
    assert found["knn"]["protocol"]["test_items"] == 5


def test_another_window_is_refused_in_one_line(capsys):
    assert run("evaluate run --data others --seconds 0.5") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--seconds 0.25" in said


def test_an_embedding_is_the_mean_over_all_windows_of_a_clip():
    assert run("embed run --data sounds --out all.npz") == 0
    with np.load("all.npz") as found:
        rows = dict(zip(found["ids"].tolist(), found["embeddings"], strict=True))
    encoder = twofold.load("run")
    for name in ("low/2.wav", "high/0.wav"):
        samples, _ = soundfile.read(Path("sounds", name), dtype="int16", always_2d=True)
        starts, lengths = np.array([0]), np.array([len(samples)])
        clip = Clips(samples, starts, lengths, window=2000, sample_rate=RATE)
        windows = clip.windows()[0][:]
        assert len(windows) == (3 if "2" in name else 1)
        each = [encoder.embed(window[None])[0] for window in windows]
        np.testing.assert_allclose(rows[name], np.mean(each, axis=0), rtol=1e-4, atol=1e-5)


def test_whole_numbers_and_floats_are_one_scale():
    encoder, wave = twofold.load("run"), sound(1, 0).T
    whole = np.rint(wave * 2**15).astype(np.int16)
    floats = encoder.embed(whole.astype(np.float32) / 2**15)
    np.testing.assert_allclose(encoder.embed(whole), floats, rtol=1e-4, atol=1e-5)


def test_predictions_of_a_fine_tuned_run():
    assert run("predict tuned --data others --out p.csv") == 0
    with Path("p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert {row["prediction"] for row in rows} <= {"low", "middle", "high"}


@pytest.mark.parametrize("query", ["sounds/high/3.wav", "others/low/41.flac", "clip.npy"])
def test_a_recording_finds_the_recordings_like_it(query, capsys):
    np.save("clip.npy", sound(2, 3)[:, 0].astype(np.float32))
    assert run(f"search run --data sounds --query {query} --k 3 --out hits.png") == 0
    found = capsys.readouterr().out
    assert "hits.png" in found
    if "high/3" in query:
        assert "1.000" in next(line for line in found.splitlines() if "high/3.wav" in line)


def test_a_query_that_is_no_recording_is_refused(capsys):
    Path("query.png").touch()
    assert run("search run --data sounds --query query.png") == 2
    assert "must be a recording (.wav" in capsys.readouterr().err
    assert run("search run --data sounds --query sounds/low/empty.wav") == 2
    assert "is no query to this encoder of 1 channel" in capsys.readouterr().err


def test_a_report_lets_people_listen():
    assert run("evaluate run --probes knn --k 5") == 0  # the page shows the data judged last
    assert run("report run") == 0
    page = Path("run/report.html").read_text()
    assert "<audio" in page
    assert "data:audio/wav;base64," in page


def test_a_preview_shows_spectrograms():
    assert run("preview mt_slvr --data sounds --seconds 0.25 --out views.png") == 0
    assert Path("views.png").stat().st_size > 10_000


def test_a_proof_of_what_was_prescribed():
    assert run("prove run --augmentations pitch_shift --ceiling-epochs 0") == 0
    found = json.loads(Path("run/evaluation.json").read_text())
    readings = found["prescription"]["augmentations"]["pitch_shift"]["readings"]
    assert {"invariant", "sensitive"} <= set(readings)


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_an_exported_encoder_reads_waveforms(form):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    assert run(f"export run --out encoder.{form}") == 0
    assert Path(f"encoder.{form}").stat().st_size > 10_000


def test_waveforms_go_into_a_network_of_one_dimension():
    given = "--encoder resnet-small-1d --stem None --input.front-end waveform"
    assert run(f"pretrain simclr --data sounds --out waves {QUICK} {given}") == 0
    encoder = twofold.load("waves")
    assert encoder.preprocess.front_end is None
    assert encoder.embed(sound(0, 0).T.astype(np.float32)).shape == (1, encoder.num_features)


def test_the_same_seed_draws_the_same_windows():
    line = f"pretrain simclr --data sounds --seconds 0.15 {QUICK} --epochs 2 --out"
    lines = {"once": f"{line} once", "ahead": f"{line} ahead --loader-threads 1"}
    assert [run(line) for line in lines.values()] == [0, 0]
    once, ahead = (twofold.load(name).backbone.state_dict() for name in lines)
    assert all(torch.equal(once[key], ahead[key]) for key in once)
