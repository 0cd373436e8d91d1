"""The Python interface: from an array to embeddings and figures in a few lines."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import twofold
from twofold import Data, Source, TwofoldError
from twofold.augment import IMAGE
from twofold.config import load_config
from twofold.domains import split
from twofold.domains.image import open_data
from twofold.folder import read_metrics

SMALL = {
    "encoder": "resnet-small",
    "width": 0.25,
    "batch_size": 16,
    "epochs": 1,
    "threads": 1,
    "quiet": True,
}


def images(*shape, kind="uint8", seed=0):
    """Random images of any shape and type, over the whole range of the type."""
    values = np.random.default_rng(seed).random(shape)
    top = 1 if kind.startswith("float") else np.iinfo(kind).max
    return (values * top).astype(kind)


class Small(nn.Module):
    """A network as a user writes one."""

    num_features = 6

    def __init__(self, channels=1):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 6, 3, stride=2), nn.BatchNorm2d(6))

    def forward(self, images):
        return self.layers(images).mean(dim=(2, 3)).relu()


def own(**changes):
    """Settings for a run with a network of the user's own."""
    return {name: value for name, value in SMALL.items() if name != "width"} | changes


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(60, 8, 8), (60, 3, 8, 8), (60, 1, 9, 12)])
def test_any_array_goes_in_and_embeddings_come_out(tmp_path, kind, shape):
    stored = images(*shape, kind=kind)
    twofold.pretrain("simclr", data=stored, out=tmp_path / "run", **SMALL)
    encoder = twofold.load(tmp_path / "run")
    features = encoder.embed(stored)
    assert features.shape == (60, encoder.num_features)
    assert features.dtype == np.float32
    assert features.std(axis=0).max() > 0  # images that differ are told apart
    alone = np.concatenate([encoder.embed(stored[i : i + 1]) for i in range(len(stored))])
    np.testing.assert_allclose(features, alone, rtol=1e-4, atol=1e-5)


def test_thirteen_channels_of_sixteen_bits(tmp_path):
    """A satellite's bands: no value is lost on the way to 8 bits or to 3 channels."""
    stored = images(60, 13, 8, 8, kind="uint16")
    run = twofold.pretrain("simclr", data=stored, out=tmp_path / "run", **SMALL)
    encoder = run.encoder()
    assert encoder.preprocess.high == 65535
    assert len(encoder.preprocess.mean) == 13
    last_bit = stored.copy()
    last_bit[:, 12] ^= 1
    assert not np.array_equal(encoder.embed(stored), encoder.embed(last_bit))
    assert "13x8x8 uint16" in run.config.found["note"]


def test_a_tensor_and_an_array_are_the_same(tmp_path):
    stored = images(60, 8, 8)
    for name, data in {"array": stored, "tensor": torch.from_numpy(stored)}.items():
        twofold.pretrain("simclr", data=data, out=tmp_path / name, **SMALL)
    features = [twofold.load(tmp_path / name).embed(stored) for name in ("array", "tensor")]
    assert np.array_equal(*features)
    encoder = twofold.load(tmp_path / "array")
    assert np.array_equal(encoder.embed(torch.from_numpy(stored)), features[0])


def test_embedding_other_images_than_it_can_read_is_refused(tmp_path):
    run = twofold.pretrain("simclr", data=images(60, 8, 8), out=tmp_path / "run", **SMALL)
    for wrong in (images(5, 3, 8, 8), images(8, 8)):
        with pytest.raises(TwofoldError, match=r"this encoder reads \(n, 1, height, width\)"):
            run.encoder().embed(wrong)


def test_labels_come_with_the_data(tmp_path):
    """Two classes that pixels tell apart are told apart by their pixels; so the labels fit."""
    labels = np.arange(120) % 2
    stored = images(120, 8, 8)
    stored[labels == 1, :4] = 0
    data = open_data(stored, labels=["cat" if label else "dog" for label in labels])
    run = twofold.pretrain("simclr", data=data, out=tmp_path / "run", **SMALL)
    assert run.data is data
    figures = run.evaluate(quiet=True)
    assert figures["knn"]["accuracy_raw"]["value"] == 1.0
    assert figures["knn"]["accuracy"]["n"] == len(data.test)
    assert figures == json.loads((tmp_path / "run" / "evaluation.json").read_text())
    with np.load(tmp_path / "run" / "evaluation.npz") as arrays:
        assert len(arrays["predictions"]) == len(data.test)
    again = twofold.Run(tmp_path / "run").evaluate(data, quiet=True)
    assert again == figures


def test_a_split_of_the_user_s_own_is_kept(tmp_path):
    source = Source(
        name="plots",
        items=images(90, 1, 8, 8),
        ids=[f"plot-{number}" for number in range(90)],
        labels=np.arange(90) % 3,
        groups=np.arange(90) // 10,
    )
    train, test = split(source, test_fraction=0.3)
    data = Data(name="plots", train=train, test=test, note="plots, split by field")
    run = twofold.pretrain("simclr", data=data, out=tmp_path / "run", **SMALL)
    assert run.config.found["test_items"] == len(test)
    assert run.config.found["note"] == "plots, split by field"
    assert run.evaluate(quiet=True)["linear"]["accuracy"]["n"] == len(test)


def test_evaluating_without_labels_says_what_to_do(tmp_path):
    run = twofold.pretrain("simclr", data=images(60, 8, 8), out=tmp_path / "run", **SMALL)
    with pytest.raises(TwofoldError, match="has no labels"):
        run.evaluate(probes=["knn"], quiet=True)
    assert run.evaluate(quiet=True)["health"]["rankme"]["n"] == 12


def test_an_array_is_asked_for_again_where_it_is_not_at_hand(tmp_path):
    twofold.pretrain("simclr", data=images(60, 8, 8), out=tmp_path / "run", **SMALL)
    with pytest.raises(TwofoldError, match="given an array in Python; hand it over again"):
        twofold.Run(tmp_path / "run").evaluate(quiet=True)
    with pytest.raises(TwofoldError, match="given an array in Python; hand it over again"):
        twofold.resume(tmp_path / "run", quiet=True)


def test_a_network_of_the_user_s_own(tmp_path):
    torch.manual_seed(0)
    stored, network = images(60, 8, 8), Small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    run = twofold.pretrain("simclr", data=stored, out=tmp_path / "run", **own(encoder=network))
    assert any(not torch.equal(before[n], v) for n, v in network.state_dict().items())
    assert run.config.found["network"] == "Small"
    expected = run.encoder().embed(stored)
    assert expected.shape == (60, 6)

    with pytest.raises(TwofoldError, match="holds a network of your own; pass it"):
        twofold.load(tmp_path / "run")
    loaded = twofold.load(tmp_path / "run", backbone=Small())
    np.testing.assert_allclose(loaded.embed(stored), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(TwofoldError, match="does not fit the network"):
        twofold.load(tmp_path / "run", backbone=Small(channels=2))


def test_a_network_of_the_user_s_own_is_evaluated_beside_an_untrained_copy(tmp_path):
    data = open_data(images(120, 8, 8), labels=np.arange(120) % 2)
    run = twofold.pretrain("simclr", data=data, out=tmp_path / "run", **own(encoder=Small()))
    figures = run.evaluate(quiet=True)
    assert figures["knn"].keys() == {
        *(f"{metric}{of}" for metric in ("accuracy", "auc") for of in ("", "_raw", "_untrained")),
        "protocol",
    }
    assert figures == twofold.Run(tmp_path / "run").evaluate(data, backbone=Small(), quiet=True)


def test_a_network_of_the_user_s_own_is_asked_for_on_resume(tmp_path):
    stored = images(60, 8, 8)
    settings = own(encoder=Small())
    twofold.pretrain("simclr", data=stored, out=tmp_path / "own", **settings)
    with pytest.raises(TwofoldError, match="trains a network of your own, Small; go on in"):
        twofold.resume(tmp_path / "own", data=stored, quiet=True)
    twofold.resume(tmp_path / "own", data=stored, backbone=Small(), quiet=True)
    twofold.pretrain("simclr", data=stored, out=tmp_path / "named", **SMALL)
    with pytest.raises(TwofoldError, match="trains resnet-small; leave backbone out"):
        twofold.resume(tmp_path / "named", data=stored, backbone=Small(), quiet=True)


@pytest.mark.parametrize("encoder", [Small, 18, lambda images: images])
def test_what_is_no_network_is_refused(tmp_path, encoder):
    with pytest.raises(TwofoldError, match=r"must be a name or a torch\.nn\.Module"):
        twofold.pretrain("simclr", data=images(60, 8, 8), out=tmp_path / "run", encoder=encoder)


def test_a_network_that_does_not_tell_its_features_is_refused(tmp_path):
    with pytest.raises(TwofoldError, match="Flatten has no attribute num_features"):
        twofold.pretrain(
            "simclr", data=images(60, 8, 8), out=tmp_path / "run", **own(encoder=nn.Flatten())
        )
    assert not (tmp_path / "run").exists()


def test_few_items_make_smaller_batches_and_the_run_says_so(tmp_path, capsys):
    options = {**SMALL, "batch_size": 256, "quiet": False}
    run = twofold.pretrain("simclr", data=images(60, 8, 8), out=tmp_path / "run", **options)
    assert run.config.recipe.batch_size == 12
    said = capsys.readouterr().err
    assert "48 items fill no batch of 256: batches are of 12" in said
    assert (
        "ignores: crop, flip, brightness, contrast, solarize\n" in said
    )  # hue is not drawn on gray
    with pytest.raises(TwofoldError, match="there are 6 items to train on; it takes at least 8"):
        twofold.pretrain("simclr", data=images(7, 8, 8), out=tmp_path / "other", **SMALL)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epoch": 3}, "unknown option 'epoch'; did you mean 'epochs'"),
        ({"batchsize": 3}, "did you mean 'batch_size'"),
        ({"sed": 3}, "did you mean 'seed'"),
        ({"test_fractoin": 0.1}, "did you mean 'test_fraction'"),
        ({"test_fraction": 1.0}, r"test_fraction is 1.0; it must be in \(0, 1\)"),
        ({"encoder": "resnet-smal"}, "did you mean 'resnet-small'"),
        ({"epochs": "3"}, "epochs is '3'; it must be of type int"),
        ({"epochs": 1.5}, "epochs is 1.5; it must be of type int"),
        ({"precision": "bf61"}, "unknown precision 'bf61'; did you mean 'bf16'"),
        ({"encode": "joined"}, "unknown encode 'joined'; did you mean 'joint'"),
        ({"optimizer": {"learning_rat": 1.0}}, "did you mean 'optimizer.learning_rate'"),
        ({"test": np.zeros((9, 8, 8))}, "test is a ndarray; it must be of type str"),
        ({"image_size": 16}, "image_size is 16, but data holds arrays of 8x8"),
        ({"prescription": {"flp": "off"}}, "unknown augmentation 'flp'; did you mean 'flip'"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(tmp_path, changes, words):
    with pytest.raises(TwofoldError, match=words) as caught:
        twofold.pretrain("simclr", data=images(60, 8, 8), out=tmp_path / "run", **(SMALL | changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_suggests_the_nearest(tmp_path):
    with pytest.raises(TwofoldError, match="unknown recipe 'simcrl'; did you mean 'simclr'"):
        twofold.pretrain("simcrl", data=images(60, 8, 8), out=tmp_path / "run")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_images_that_are_no_numbers_are_refused(tmp_path, bad):
    stored = images(60, 8, 8, kind="float32")
    stored[7, 3, 3] = bad
    with pytest.raises(TwofoldError, match="7"):
        twofold.pretrain("simclr", data=stored, out=tmp_path / "run", **SMALL)


def test_a_run_is_replaced_only_if_asked(tmp_path):
    stored, out = images(60, 8, 8), tmp_path / "run"
    twofold.pretrain("simclr", data=stored, out=out, **SMALL)
    (out / "evaluation.json").write_text("{}")
    (out / "notes.txt").write_text("mine")
    before = twofold.load(out).embed(stored)
    with pytest.raises(TwofoldError, match="already holds a run"):
        twofold.pretrain("simclr", data=stored, out=out, seed=1, **SMALL)
    assert np.array_equal(twofold.load(out).embed(stored), before)
    twofold.pretrain("simclr", data=stored, out=out, seed=1, overwrite=True, **SMALL)
    assert not np.array_equal(twofold.load(out).embed(stored), before)
    assert not (out / "evaluation.json").exists()  # figures of another run
    assert (out / "notes.txt").read_text() == "mine"


def test_a_refused_run_replaces_none(tmp_path):
    stored, out = images(60, 8, 8), tmp_path / "run"
    twofold.pretrain("simclr", data=stored, out=out, **SMALL)
    before = twofold.load(out).embed(stored)
    with pytest.raises(TwofoldError, match="1 items to train on; it takes at least 8"):
        twofold.pretrain(
            "simclr", data=stored, out=out, overwrite=True, test_fraction=0.98, **SMALL
        )
    assert np.array_equal(twofold.load(out).embed(stored), before)


def test_a_part_is_given_whole_or_by_what_changes(tmp_path):
    rates = [
        twofold.pretrain(
            "simclr", data=images(60, 8, 8), out=tmp_path / name, **SMALL, optimizer=optimizer
        ).config.recipe.optimizer.learning_rate
        for name, optimizer in {
            "whole": twofold.Optimizer(learning_rate=0.01),
            "change": {"learning_rate": 0.01},
        }.items()
    ]
    assert rates == [0.01, 0.01]


def test_a_run_is_shown_by_its_folder(tmp_path):
    run = twofold.pretrain("simclr", data=images(60, 8, 8), out=tmp_path / "run", **SMALL)
    assert repr(run) == f"Run(folder={tmp_path / 'run'!r})"


def test_a_recipe_is_a_value_to_edit(tmp_path):
    recipe = twofold.RECIPES["simclr"]()
    run = twofold.pretrain(
        recipe,
        data=images(60, 8, 8),
        out=tmp_path / "run",
        **SMALL,
        objectives={"contrast": twofold.SimCLR(projector=(8, 4), temperature=0.2)},
    )
    assert run.config.recipe.objectives["contrast"].temperature == 0.2
    assert recipe.objectives["contrast"].temperature == 0.1
    assert run.config == load_config(tmp_path / "run" / "config.yaml")


def test_quiet_is_quiet(tmp_path, capfd):
    data = open_data(images(60, 8, 8), labels=np.arange(60) % 2)
    run = twofold.pretrain("simclr", data=data, out=tmp_path / "run", **SMALL)
    run.evaluate(quiet=True)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


@pytest.mark.parametrize("missing", ["nothing", "nothing/encoder.safetensors"])
def test_loading_what_is_not_there_says_so(tmp_path, missing):
    with pytest.raises(TwofoldError, match="does not exist"):
        twofold.load(tmp_path / missing)


def test_a_damaged_encoder_is_not_loaded(tmp_path):
    twofold.pretrain("simclr", data=images(60, 8, 8), out=tmp_path / "run", **SMALL)
    path = tmp_path / "run" / "encoder.safetensors"
    bits = bytearray(path.read_bytes())
    bits[-5] ^= 1
    path.write_bytes(bits)
    with pytest.raises(TwofoldError, match="is damaged"):
        twofold.load(tmp_path / "run")


@pytest.mark.parametrize("targets", [1, 2])
def test_numbers_are_regressed_in_the_same_loop(tmp_path, targets):
    """The mean squared error of standardised targets falls from 1."""
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 256, (160, 1, 1, 1), dtype=np.uint8)
    labels = np.concatenate([shades.reshape(160, 1) / 7 - 3, 50 - shades.reshape(160, 1) / 3], 1)
    np.savez(
        tmp_path / "set.npz",
        images=np.broadcast_to(shades, (160, 1, 12, 12)),
        labels=labels[:, :targets].squeeze(),
    )
    twofold.pretrain(
        "supervised",
        data=tmp_path / "set.npz",
        out=tmp_path / "run",
        prescription=dict.fromkeys(IMAGE, "off"),
        **{**SMALL, "epochs": 25},
    )
    losses = [line["loss"] for line in read_metrics(tmp_path / "run") if line["kind"] == "step"]
    assert np.mean(losses[:3]) == pytest.approx(1, abs=0.6)
    assert np.mean(losses[-5:]) < 0.1
    found = twofold.Run(tmp_path / "run").evaluate(quiet=True)["regression"]
    assert found["r2" if targets == 1 else "r2_1"]["value"] > 0.9


def test_learning_from_labels_needs_labels(tmp_path):
    with pytest.raises(TwofoldError, match="'contrast' of sup_con learns from labels, and 'array'"):
        twofold.pretrain("sup_con", data=images(60, 8, 8), out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def test_the_number_of_negatives_is_recorded(tmp_path):
    run = twofold.pretrain("info_nce", data=images(60, 8, 8), out=tmp_path / "run", **SMALL)
    assert run.config.found["negatives"] == {"contrast": run.config.recipe.batch_size - 1}


@pytest.mark.parametrize("chances", [(0.5,), (1.0, 0.0, 0.5)])
def test_any_number_of_views_may_have_probabilities_of_their_own(tmp_path, chances):
    """Health is that of two views: of two epochs if each has one, the first of more."""
    twofold.pretrain(
        "nce" if len(chances) == 1 else "simclr",
        data=images(60, 8, 8),
        out=tmp_path / "run",
        num_views=len(chances),
        asymmetry={"flip": chances},
        **SMALL,
    )
    (epoch,) = (line for line in read_metrics(tmp_path / "run") if line["kind"] == "epoch")
    assert epoch["health"]["alignment"] > 0
