"""Every domain through one battery, and which one data are told to be of."""

from dataclasses import replace
from inspect import signature

import h5py
import numpy as np
import pytest

import twofold
from twofold import TwofoldError
from twofold.config import Config, load_config
from twofold.domains.image.domain import ImageInput
from twofold.domains.names import DOMAINS, check_domain, domain_by_name, told
from twofold.domains.observables import read_off
from twofold.recipes import RECIPES, recipe_by_name


@pytest.fixture(params=DOMAINS)
def kind(request):
    return DOMAINS[request.param]


def test_a_domain_keeps_its_promises(kind):
    assert set(kind.strong) | set(kind.gentle) | kind.changes.keys() <= kind.augmentations.keys()
    for name in ("open_data", "render", "measure"):
        assert callable(getattr(kind.tools, name))


def test_recipes_are_made_of_the_domain(kind):
    recipe = recipe_by_name("simclr", kind.name)
    assert recipe.domain == kind.name
    assert recipe.encoder == kind.encoder
    assert recipe.augmentations.keys() == kind.augmentations.keys()
    ignored = {name for name, word in recipe.prescription.items() if word == "invariant"}
    assert ignored == set(kind.strong)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        (name, domain)
        for name, make in RECIPES.items()
        for domain in DOMAINS
        if domain == "image" or "domain" in signature(make).parameters
    ],
)
def test_recipes_are_read_back_in_their_domain(tmp_path, name, domain):
    recipe = recipe_by_name(name, domain)
    Config(recipe=recipe).save(tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml").recipe == recipe


def test_a_recipe_for_images_alone_names_others():
    with pytest.raises(TwofoldError, match="e_ssl is for images alone; for domain 'jet': simclr,"):
        recipe_by_name("e_ssl", "jet")


def test_a_domain_is_told_from_the_data(tmp_path):
    for name, key in (("jets", "X_jets"), ("images", "images")):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file[key] = np.zeros((2, 8, 8, 3), np.float32)
    for name, shape in (("states", (6, 2)), ("pictures", (6, 8, 8))):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.update(X=np.zeros(shape, np.float32), orbit=np.arange(6) // 2)
    assert told(str(tmp_path / "jets.h5")) == "jet"
    assert told(tmp_path / "images.h5") == told(tmp_path / "pictures.h5") == "image"
    assert told(tmp_path / "states.h5") == "trajectory"
    assert told("digits") == told(np.zeros((2, 8, 8))) == told(tmp_path / "missing.h5") == "image"
    data = twofold.open_data("digits")
    assert told(data) == told(data.train) == "image"


def test_of_a_folder_and_of_a_list_the_first_file_decides(tmp_path):
    folder = tmp_path / "both"
    for name, key in (("b/jets.h5", "X_jets"), ("c/images.h5", "images")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / name, "w") as file:
            file[key] = np.zeros((2, 8, 8, 3), np.float32)
    jets, images = folder / "b" / "jets.h5", folder / "c" / "images.h5"
    assert told(folder) == told(str(folder)) == "jet"
    assert told([images, jets]) == told((str(jets),)) == "jet"
    assert told([images]) == told([np.zeros((2, 8, 8))]) == told([]) == "image"
    (folder / "b" / ".hidden.png").touch()
    (folder / "notes.txt").touch()
    assert told(folder) == "jet"
    (folder / "a.png").touch()
    assert told(folder) == "image"
    assert told(tmp_path / "missing") == "image"


def test_a_file_says_its_domain(tmp_path):
    for said in ("image", "jet", "none of them"):
        with h5py.File(tmp_path / "jets.h5", "w") as file:
            file["X_jets"] = np.zeros((2, 8, 8, 3), np.float32)
            file.attrs["domain"] = said
        assert told(tmp_path / "jets.h5") == (said if said in DOMAINS else "jet")


def test_what_experts_read_off_has_words(kind):
    items = np.random.default_rng(0).random((3, 3, 8, 8)).astype(np.float32)
    found = read_off(items, kind.name, np.array([2, 0]))
    assert found.keys() == kind.observables.keys()
    for name, values in found.items():
        expected = kind.tools.observables(items)[name]
        assert values.tolist() == [expected[2], expected[0]]


def test_an_unknown_domain_is_told_the_nearest():
    with pytest.raises(TwofoldError, match="unknown domain 'jets'; did you mean 'jet'"):
        domain_by_name("jets")


def test_data_of_another_domain_are_refused():
    with pytest.raises(TwofoldError, match="'digits' holds images, and this is for jets"):
        check_domain(twofold.open_data("digits"), "jet")


def test_an_input_is_of_its_domain():
    recipe = recipe_by_name("simclr", "jet")
    with pytest.raises(TwofoldError, match="whose input is a ImageInput, but input is a JetInput"):
        replace(recipe, domain="image")


def test_black_and_white_can_be_named():
    scan = np.linspace(-1000, 1000, 2 * 8 * 8, dtype=np.float32).reshape(2, 1, 8, 8)
    scale = DOMAINS["image"].tools.measure(scan, ImageInput(low=-200.0, high=300.0))
    expected = np.clip((scan + 200) / 500, 0, 1)
    np.testing.assert_allclose(scale.unit(scan).numpy(), expected, atol=1e-6)
    with pytest.raises(TwofoldError, match=r"input\.low is 5 and input.high 5; low must be below"):
        ImageInput(low=5.0, high=5.0)
    with pytest.raises(TwofoldError, match="from 2000 to 1000 would become 0 to 1"):
        DOMAINS["image"].tools.measure(scan, ImageInput(low=2000.0))
