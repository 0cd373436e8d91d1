"""Trackers: they are told what metrics.jsonl holds, and can do a run no harm."""

import json
import os
import subprocess
import sys
import types
from contextlib import contextmanager

import numpy as np
import pytest

import twofold
from twofold import TwofoldError, track
from twofold.config import Config, Settings, change
from twofold.folder import clear, read_metrics
from twofold.recipes import simclr
from twofold.track import check_trackers, figures, has_wandb_account, tracked

STEP = {"kind": "step", "epoch": 0, "chance": {}, "lr": 0.1, "elapsed": 1.0}


class Silent:
    """A display that shows nothing."""

    def step(self, record):
        pass

    def epoch(self, record):
        pass


def record(step, loss):
    return STEP | {"step": step, "loss": loss, "losses": {"contrast": loss}}


def configured(*names):
    return Config(recipe=simclr(), settings=Settings(track=names))


def follow(folder, name, *steps, loss=1.5, display=None):
    """Tells one tracker, and a display, of a few steps."""
    with tracked(display or Silent(), configured(name), folder) as told:
        for step in steps:
            told.step(record(step, loss))


@pytest.fixture
def fake(monkeypatch):
    """Puts a module of a few attributes in the place of an installed package."""

    def put(name, **attributes):
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)

    return put


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """A user without an account anywhere, whose environment is as it was in the end."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_BASE_URL", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def test_a_record_s_numbers_go_by_name():
    line = {
        "kind": "step",
        "step": 7,
        "epoch": 1,
        "loss": 3.0,
        "losses": {"contrast": 1.0, "predict/rotate": 2.0},
        "balance": {"gradient_cosines": {"contrast|predict/rotate": 0.5}},
        "knn": {"value": 0.7, "ci95": [0.6, 0.8], "n": 90},
        "health": {"rankme": 9.0, "alignment": None, "verdict": "healthy"},
        "elapsed": 2.0,
    }
    assert dict(figures(line)) == {
        "loss": 3.0,
        "losses/contrast": 1.0,
        "losses/predict/rotate": 2.0,
        "balance/gradient_cosines/contrast_predict/rotate": 0.5,
        "knn": 0.7,
        "health/rankme": 9.0,
    }


def test_without_trackers_the_display_is_told_as_before(tmp_path):
    display = Silent()
    with tracked(display, configured(), tmp_path) as told:
        assert told is display
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_tracker_is_named():
    with pytest.raises(TwofoldError, match=r"unknown .* 'tensorbord'; did you mean 'tensorboard'"):
        change(configured(), {"track": ["wandb", "tensorbord"]})


def test_a_missing_package_is_named_before_anything_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setattr(track, "find_spec", lambda name: None if name == "wandb" else object())
    check_trackers(["tensorboard", "mlflow"])
    kept = tmp_path / "run" / "config.yaml"
    kept.parent.mkdir()
    kept.write_text("a run")
    data = np.zeros((40, 8, 8), dtype=np.uint8)
    with pytest.raises(TwofoldError, match=r"^track asks for wandb, not .*`pip install wandb`"):
        twofold.pretrain(
            data=data,
            out=tmp_path / "run",
            overwrite=True,
            quiet=True,
            encoder="resnet-small",
            track=["tensorboard", "wandb"],
        )
    assert kept.read_text() == "a run"


# TensorBoard


def scalars(folder):
    """Every scalar that TensorBoard would show, by name: `[(step, value), ...]`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_tensorboard_holds_what_metrics_do_also_after_a_stop(tmp_path, interrupted_at):
    pytest.importorskip("tensorboard")
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)
    small = {"encoder": "resnet-small", "width": 0.25, "batch_size": 4, "epochs": 2, "threads": 1}
    with interrupted_at(25):
        twofold.pretrain(
            "e_ssl",
            data=images,
            out=tmp_path / "run",
            track=["tensorboard"],
            quiet=True,
            **small,
        )
    twofold.resume(tmp_path / "run", data=images, quiet=True)
    found = scalars(tmp_path / "run")
    steps = [step for step, _ in found["loss"]]
    assert steps == [10, 16, 25, 32]  # every tenth, and the last before a stop or an epoch's end
    wanted = {}
    for line in read_metrics(tmp_path / "run"):
        if line["kind"] == "epoch" or (line["kind"] == "step" and line["step"] in steps):
            for name, value in figures(line):
                wanted.setdefault(name, []).append((line["step"], value))
    assert {"losses/contrast", "losses/predict", "chance/contrast", "lr"} < set(wanted)
    assert {"health/rankme", "images_per_s"} < set(wanted)
    assert set(found) == set(wanted)
    for name, curve in wanted.items():
        assert [step for step, _ in found[name]] == [step for step, _ in curve]
        slack = 0.06 if name == "images_per_s" else 0  # rounded in metrics.jsonl
        np.testing.assert_allclose(
            [value for _, value in found[name]], [value for _, value in curve], 1e-6, slack
        )


def test_steps_that_come_again_replace_those_before(tmp_path):
    pytest.importorskip("tensorboard")
    for steps, loss in ((range(1, 6), 5.0), (range(3, 8), 3.0)):
        follow(tmp_path, "tensorboard", *steps, loss=loss)
    assert scalars(tmp_path)["loss"] == [(1, 5), (2, 5), *((step, 3) for step in range(3, 8))]


def test_tensorboard_lists_the_settings_once(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    for step in (1, 2):
        follow(tmp_path, "tensorboard", step)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    held = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    settings = plugin_data_pb2.HParamsPluginData.FromString(held).session_start_info.hparams
    assert settings["epochs"].number_value == simclr().epochs
    assert settings["optimizer.name"].string_value == simclr().optimizer.name
    assert settings["prescription.crop"].string_value == "invariant"
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


# Weights & Biases


class FakeWandb:
    """What of wandb is called, and what it was called with."""

    def __init__(self, *, fails_at=None):
        self.begun, self.lines, self.codes, self.fails_at = [], [], [], fails_at

    def Settings(self, **settings):
        return settings

    def init(self, **given):
        self.begun.append(given)
        return types.SimpleNamespace(
            id=given["id"] or "new",
            define_metric=lambda name, step_metric: None,
            log=self.log,
            finish=self.finish,
        )

    def log(self, line):
        if line["step"] == self.fails_at:
            raise ConnectionError("the network\nis gone")
        self.lines.append(line)

    def finish(self, exit_code):
        self.codes.append(exit_code)

    def attributes(self):
        return {"init": self.init, "Settings": self.Settings}


def test_wandb_goes_on_under_the_name_it_began_with(tmp_path, fake):
    wandb = FakeWandb()
    fake("wandb", **wandb.attributes())
    folder = tmp_path / "some-run"
    for step in (10, 20):
        follow(folder, "wandb", step)
    assert [given["id"] for given in wandb.begun] == [None, "new"]
    assert json.loads((folder / "trackers.json").read_text()) == {"wandb": "new"}
    first = wandb.begun[0]
    assert (first["project"], first["name"], first["dir"]) == ("twofold", "some-run", folder)
    assert first["config"]["optimizer"]["name"] == simclr().optimizer.name
    assert wandb.lines == [
        {"step": step, "loss": 1.5, "losses/contrast": 1.5, "lr": 0.1} for step in (10, 20)
    ]
    assert wandb.codes == [0, 0]


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "online"),
        ({"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_MODE": "online"}, "online"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
    ],
)
def test_wandb_is_offline_without_an_account(tmp_path, fake, monkeypatch, environment, mode):
    wandb = FakeWandb()
    fake("wandb", **wandb.attributes())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    follow(tmp_path, "wandb")
    assert wandb.begun[0]["mode"] == mode
    assert wandb.begun[0]["resume"] == ("allow" if mode == "online" else None)


def test_an_account_is_found_where_wandb_login_keeps_it(tmp_path, monkeypatch):
    assert not has_wandb_account()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert has_wandb_account()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_wandb_account()
    (tmp_path / "netrc").write_text("machine wandb.example.org:8080 login user password secret\n")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert has_wandb_account()
    (tmp_path / "netrc").write_text("not a netrc file")
    assert not has_wandb_account()


def test_a_tracker_that_fails_is_told_nothing_more_and_ends_nothing(tmp_path, fake):
    wandb = FakeWandb(fails_at=2)
    fake("wandb", **wandb.attributes())
    seen = []
    display = types.SimpleNamespace(step=lambda line: seen.append(line["step"]))
    with pytest.warns(UserWarning, match="^wandb is told nothing more .* network is gone$") as said:
        follow(tmp_path, "wandb", 1, 2, 3, display=display)
    assert len(said) == 1
    assert seen == [1, 2, 3]
    assert [line["step"] for line in wandb.lines] == [1]


def test_a_tracker_that_cannot_begin_ends_nothing(tmp_path, fake):
    fake("wandb")
    with pytest.warns(UserWarning, match=r"^wandb is told nothing more of this run: .*'init'$"):
        follow(tmp_path, "wandb", 1)
    assert not (tmp_path / "trackers.json").exists()


def test_a_run_that_fails_is_said_to_have_failed(tmp_path, fake):
    wandb = FakeWandb()
    fake("wandb", **wandb.attributes())
    with pytest.raises(KeyboardInterrupt), tracked(Silent(), configured("wandb"), tmp_path):
        raise KeyboardInterrupt
    assert wandb.codes == [1]


@contextmanager
def listening():
    """Address of a server, and a list that gets an entry for each who knocks."""
    import socket
    import threading

    knocks = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                knocks.append(client.getpeername())
                client.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", knocks
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.slow
def test_wandb_itself_keeps_a_run_in_its_folder_and_contacts_nobody(tmp_path):
    pytest.importorskip("wandb")
    program = f"""
from pathlib import Path
from twofold.config import Config, Settings
from twofold.recipes import simclr
from twofold.track import tracked
class Silent:
    def step(self, record): pass
whole = Config(recipe=simclr(), settings=Settings(track=("wandb",)))
for step in (1, 2):
    with tracked(Silent(), whole, Path({str(tmp_path)!r}), quiet=True) as told:
        told.step({{"step": step, "loss": 1.0}})
"""
    environment = {k: v for k, v in os.environ.items() if k != "WANDB_ERROR_REPORTING"}
    with listening() as (address, knocks):
        everywhere = dict.fromkeys(["WANDB_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY"], address)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment | everywhere,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""
    assert knocks == []
    name = json.loads((tmp_path / "trackers.json").read_text())["wandb"]
    kept = list((tmp_path / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb"))
    assert len(kept) == 2


# MLflow


@pytest.fixture
def mlflow(fake):
    """What MLflow was told, with names and limits as its own client has them."""
    told = types.SimpleNamespace(uri=None, runs={}, params={}, metrics=[], status={}, places=[])

    class MlflowClient:
        def __init__(self, tracking_uri):
            told.uri = tracking_uri

        def get_experiment_by_name(self, name):
            return types.SimpleNamespace(experiment_id=name) if name in told.runs else None

        def create_experiment(self, name, artefacts):
            told.runs[name] = []
            told.places.append(artefacts)
            return name

        def create_run(self, experiment, run_name):
            told.runs[experiment].append(run_name)
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id=f"id-{run_name}"))

        def update_run(self, run_id, status):
            told.status[run_id] = status

        def set_terminated(self, run_id, status):
            told.status[run_id] = status

        def log_batch(self, run_id, metrics=(), params=()):
            assert len(params) <= 100
            told.params |= dict(params)
            told.metrics += [(run_id, name, value, step) for name, value, _, step in metrics]

    fake("mlflow", MlflowClient=MlflowClient)
    fake("mlflow.entities", Param=lambda *given: given, Metric=lambda *given: given)
    return told


def test_mlflow_goes_on_in_the_run_it_began(tmp_path, mlflow):
    for folder, step in ((tmp_path / "a", 10), (tmp_path / "a", 20), (tmp_path / "b", 10)):
        folder.mkdir(exist_ok=True)
        follow(folder, "mlflow", step)
    assert mlflow.runs == {"twofold": ["a", "b"]}
    assert mlflow.status == {"id-a": "FINISHED", "id-b": "FINISHED"}
    assert mlflow.params["prescription.crop"] == "invariant"
    assert mlflow.params["track"] == "['mlflow']"
    assert [told for told in mlflow.metrics if told[1] == "loss"] == [
        ("id-a", "loss", 1.5, 10),
        ("id-a", "loss", 1.5, 20),
        ("id-b", "loss", 1.5, 10),
    ]


def test_mlflow_goes_where_its_environment_says(tmp_path, mlflow, monkeypatch):
    follow(tmp_path, "mlflow")
    assert mlflow.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert mlflow.places == [(tmp_path / "mlruns").as_uri()]
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    follow(tmp_path, "mlflow")
    assert mlflow.uri == "http://mlflow.example.org"
    assert mlflow.places[1] is None
    assert set(mlflow.runs) == {"twofold", "theirs"}
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("default:.*:DeprecationWarning")
def test_mlflow_itself_keeps_a_run_in_its_folder(tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from mlflow import MlflowClient

    for step in (10, 20):
        follow(tmp_path, "mlflow", step)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    name = json.loads((tmp_path / "trackers.json").read_text())["mlflow"]
    run = client.get_run(name)
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.name"] == simclr().optimizer.name
    history = client.get_metric_history(name, "losses/contrast")
    assert [(metric.step, metric.value) for metric in history] == [(10, 1.5), (20, 1.5)]
