"""Views of jets against loops over their cells, and what must be kept: bits, energy, signs."""

import math

import numpy as np
import pytest
import torch

from twofold.augment import Views
from twofold.domains.jet import JET, render
from twofold.domains.jet.augmentations import Drop, Energy, Noise, Rotate, Shift, Smear, Threshold

EVERYTHING = dict.fromkeys(JET, "both")
MOVES = ("eta_flip", "phi_flip", "phi_roll", "shift", "rotate")
SIGNED = (1, 2)  # of eight channels, dz and d0


def jets_of(n, channels=3, height=16, width=16, *, filled=0.05, seed=0):
    rng = np.random.default_rng(seed)
    shape = (n, channels, height, width)
    jets = rng.exponential(0.2, shape) * (rng.random(shape) < filled)
    if channels == 8:
        jets[:, SIGNED] *= rng.choice([-1, 1], (n, 2, height, width))
    return torch.from_numpy(jets.astype(np.float32))


def views_of(names, size=16, channels=3, **settings):
    prescription = dict.fromkeys(names, "both")
    return Views(JET, prescription, channels=channels, size=size, renderer=render, **settings)


def applied(augmentation, jets, size=None, /, **drawn):
    """Every jet under one augmentation, drawn as said."""
    values = {key: np.full(len(jets), float(value)) for key, value in drawn.items()}
    draws = {"it": {"applied": np.ones(len(jets), dtype=bool), **values}}
    return render({"it": augmentation}, jets, draws, size=size or jets.shape[-1])


def turned(eta, phi, degrees):
    """Quarter turns one by one, then Paeth's three shears, each by whole cells."""
    quarters = round(degrees / 90)
    for _ in range(quarters % 4):
        eta, phi = -phi, eta
    rest = math.radians(degrees - 90 * quarters)
    eta -= round(phi * math.tan(rest / 2))
    phi += round(eta * math.sin(rest))
    eta -= round(phi * math.tan(rest / 2))
    return eta, phi


def moved(jet, drawn, size):
    """The definition, cell by cell: centres are moved, and land in a cell of the view or leave."""
    channels, height, width = jet.shape
    view = np.zeros((channels, size, size))
    for channel, row, column in zip(*np.nonzero(jet), strict=True):
        eta, phi = row + 0.5 - height / 2, column + 0.5 - width / 2
        eta *= -1 if drawn["eta_flip"]["applied"] else 1
        phi *= -1 if drawn["phi_flip"]["applied"] else 1
        phi = (phi + width / 2 + round(drawn["phi_roll"]["turn"] * width)) % width - width / 2
        eta, phi = eta + drawn["shift"]["eta"], phi + drawn["shift"]["phi"]
        eta, phi = turned(eta, phi, drawn["rotate"]["angle"])
        down = int((2 * eta + height) * size // (2 * height))
        right = int((2 * phi + width) * size // (2 * width))
        if min(down, right) >= 0 and max(down, right) < size:
            view[channel, down, right] += jet[channel, row, column]
    return view


@pytest.mark.parametrize(
    ("height", "width", "size"), [(16, 16, 16), (15, 15, 15), (15, 12, 20), (24, 24, 9)]
)
def test_moves_equal_a_loop_over_cells(height, width, size):
    jets = jets_of(40, 3, height, width)
    views = views_of(MOVES, size)
    rendered, draws = views(jets, np.arange(40), 0)
    for view, drawn in zip(rendered, draws, strict=True):
        for i, jet in enumerate(jets.numpy()):
            one = {
                name: {key: value[i] for key, value in values.items()}
                for name, values in drawn.items()
            }
            np.testing.assert_allclose(view[i].numpy(), moved(jet, one, size), atol=1e-6)


@pytest.mark.parametrize("side", [16, 15])
def test_flips_whole_shifts_and_quarter_turns_are_permutations_bit_for_bit(side):
    jets = jets_of(10, 8, side, side, filled=0.3)
    assert torch.equal(applied(JET["eta_flip"], jets), jets.flip(2))
    assert torch.equal(applied(JET["phi_flip"], jets), jets.flip(3))
    assert torch.equal(applied(JET["phi_roll"], jets, turn=4 / side), jets.roll(4, 3))
    shifted = torch.zeros_like(jets)
    shifted[:, :, 2:, :-1] = jets[:, :, :-2, 1:]
    assert torch.equal(applied(Shift(), jets, eta=2, phi=-1), shifted)
    for turns in range(-2, 3):
        # rows are η, columns φ: from η towards φ is from down to right, counter-clockwise
        turned = applied(Rotate(), jets, angle=90 * turns)
        assert torch.equal(turned, jets.rot90(turns, (2, 3)))


@pytest.mark.parametrize(("channels", "side"), [(3, 16), (8, 15), (1, 40)])
def test_where_nothing_is_applied_the_view_is_the_image(channels, side):
    jets = jets_of(12, channels, side, side, filled=0.5)
    if channels == 8:
        assert jets.min() < 0
    never = {name: type(JET[name])(probability=0.0) for name in JET}
    views = Views(never, dict.fromkeys(JET, "both"), channels=channels, size=side, renderer=render)
    for view in views(jets, np.arange(12), 0)[0]:
        assert torch.equal(view, jets)


@pytest.mark.parametrize("name", JET)
def test_what_is_applied_is_applied_to_its_samples_alone(name):
    half = {name: type(JET[name])(probability=0.5)}
    views = Views(half, {name: "both"}, channels=3, size=16, renderer=render)
    jets = jets_of(64, filled=0.2)
    before = jets.clone()
    (first, _), (drawn, _) = views(jets, np.arange(64), 0)
    changed = (first != jets).flatten(1).any(dim=1).numpy()
    assert not changed[~drawn[name]["applied"]].any()
    assert changed[drawn[name]["applied"]].mean() > 0.8  # a shift by nothing is one of 25
    assert torch.equal(jets, before)


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("size", [16, 11])
def test_a_view_is_the_same_in_any_batch_whatever_the_threads(channels, size):
    jets, index = jets_of(61, channels, filled=0.3), np.arange(61) * 17
    views = views_of(JET, size, channels, small_views=2)
    together, _ = views(jets, index, 5)
    for some in (slice(0, 1), slice(1, 4), slice(4, 37), slice(37, 61)):
        alone, _ = views(jets[some], index[some], 5)
        assert all(torch.equal(a, b[some]) for a, b in zip(alone, together, strict=True))
    order = np.random.default_rng(0).permutation(61)
    shuffled, _ = views(jets[order], index[order], 5)
    assert all(torch.equal(a, b[order]) for a, b in zip(shuffled, together, strict=True))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again, _ = views(jets, index, 5)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(again, together, strict=True))


def test_a_batch_of_none_and_a_jet_of_nothing_stay_that():
    views = views_of(JET)
    assert views(torch.zeros(0, 3, 16, 16), np.arange(0), 0)[0][0].shape == (0, 3, 16, 16)
    assert not views(torch.zeros(4, 3, 16, 16), np.arange(4), 0)[0][0].any()


def test_another_memory_layout_makes_no_difference():
    jets = jets_of(9)
    views = views_of(JET)
    last = jets.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(views(last, np.arange(9), 0)[0][0], views(jets, np.arange(9), 0)[0][0])


@pytest.mark.parametrize("side", [40, 41])
def test_a_rotation_exchanges_cells_that_lie_near_where_they_belong(side):
    row, column = np.mgrid[:side, :side]
    inner = np.hypot(row - (side - 1) / 2, column - (side - 1) / 2) < side / 2 - 2
    eta, phi = row[inner] - (side - 1) / 2, column[inner] - (side - 1) / 2
    mark = torch.zeros(1, 1, side, side)
    mark[0, 0, inner] = torch.arange(1.0, inner.sum() + 1)
    for degrees in np.arange(-180, 181, 7.5):
        view = applied(Rotate(), mark, angle=degrees)[0, 0].numpy()
        found = np.argsort(view, axis=None)[-inner.sum() :]
        assert (np.sort(view[view > 0]) == mark[0, 0, inner].numpy()).all()
        cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        off_eta = found // side - (side - 1) / 2 - (eta * cosine - phi * sine)
        off_phi = found % side - (side - 1) / 2 - (eta * sine + phi * cosine)
        off = np.hypot(off_eta, off_phi)
        assert off.max() < 1.4
        assert np.sqrt((off**2).mean()) < 0.6


@pytest.mark.parametrize("angle", [17.0, 45.0, 90.0, -133.3])
def test_rotation_and_a_roll_keep_the_energy_of_what_stays_in_the_window(angle):
    jets = torch.zeros(20, 3, 40, 40)
    jets[:, :, 10:30, 10:30] = jets_of(20, 3, 20, 20, filled=0.3)
    turned = applied(Rotate(), jets, angle=angle)
    torch.testing.assert_close(turned.sum((2, 3)), jets.sum((2, 3)))
    rolled = applied(JET["phi_roll"], jets, turn=0.4)
    torch.testing.assert_close(rolled.sum((2, 3)), jets.sum((2, 3)))


def test_a_smaller_view_sums_cells_and_a_larger_one_loses_nothing():
    jets = jets_of(6, 8, 40, 40, filled=0.2)
    summed = jets.double().unfold(2, 2, 2).unfold(3, 2, 2).sum((4, 5)).float()
    torch.testing.assert_close(render({}, jets, {}, size=20), summed)
    for size in (7, 25, 64, 125):
        view = render({}, jets, {}, size=size)
        torch.testing.assert_close(view.sum((2, 3)), jets.sum((2, 3)), atol=1e-5, rtol=1e-5)


def test_views_of_one_jet_follow_one_another():
    jets = jets_of(3)
    drawn = {"applied": np.array([False] * 3 + [True] * 3)}
    both = render({"flip": JET["eta_flip"]}, jets, {"flip": drawn}, size=16, views=2)
    assert torch.equal(both, torch.cat([jets, jets.flip(2)]))


def test_energies_are_scaled_part_by_part():
    jets = jets_of(5, 3)
    scaled = applied(Energy(), jets, tracks=0.5, ECAL=1.0, HCAL=2.0)
    assert torch.equal(scaled, jets * torch.tensor([0.5, 1.0, 2.0]).view(1, 3, 1, 1))
    eight = jets_of(5, 8)
    factors = torch.tensor([0.5, 1, 1, 1, 2, 1, 1, 1]).view(1, 8, 1, 1)
    assert torch.equal(applied(Energy(), eight, tracks=0.5, ECAL=1, HCAL=2), eight * factors)


def test_smearing_has_a_calorimeters_resolution():
    for energy in (4.0, 100.0):  # GeV; where max(0, ...) hardly ever acts
        jets = torch.full((4, 3, 40, 40), energy)
        keys = np.arange(4) * 1e9 + 7
        drawn = {"applied": np.ones(4, dtype=bool), "stochastic": np.full(4, 0.3), "key": keys}
        smear = Smear(constant=0.05)
        ratio = render({"it": smear}, jets, {"it": drawn}, size=40) / energy
        assert ratio.mean().item() == pytest.approx(1, abs=0.005)
        expected = (0.3**2 / energy + 0.05**2) ** 0.5
        assert ratio.std().item() == pytest.approx(expected, rel=0.03)
        correlation = np.corrcoef(ratio.reshape(12, -1).numpy()) - np.eye(12)
        assert np.abs(correlation).max() < 0.12  # every cell of every channel and jet its own


def test_the_numbers_of_a_cell_follow_from_its_place_and_key_alone():
    jets = jets_of(2, filled=0.3)
    fewer = jets.clone()
    fewer[:, :, ::2] = 0
    one, other = (applied(Smear(), some, stochastic=0.5, key=123) for some in (jets, fewer))
    assert torch.equal(one[:, :, 1::2], other[:, :, 1::2])
    assert not torch.equal(one, applied(Smear(), jets, stochastic=0.5, key=124))


def test_noise_is_added_to_hit_cells_in_gev():
    jets = torch.zeros(1, 3, 64, 64)
    jets[:, :, ::2] = 50.0
    noisy = applied(Noise(), jets, sigma=2.0, key=5)
    assert not noisy[:, :, 1::2].any()
    added = (noisy - jets)[:, :, ::2]
    assert added.mean().item() == pytest.approx(0, abs=0.1)
    assert added.std().item() == pytest.approx(2, rel=0.03)


@pytest.mark.parametrize("name", ["smear", "noise"])
def test_energies_never_become_negative(name):
    jets = jets_of(50, filled=0.3) * 1e-3
    loud = {"smear": Smear(stochastic=(9, 10), constant=1.0), "noise": Noise(sigma=(5, 10))}[name]
    views = Views({name: loud}, {name: "both"}, channels=3, size=16, renderer=render)
    first, second = views(jets, np.arange(50), 0)[0]
    assert min(first.min(), second.min()) == 0
    assert torch.isfinite(first).all()


def test_a_threshold_empties_cells_below_it():
    jets = 10 * jets_of(5)
    kept = applied(Threshold(), jets, energy=2.5)
    assert torch.equal(kept, jets.where(jets >= 2.5, 0))
    assert ((kept == 0) & (jets > 0)).any()


@pytest.mark.parametrize(
    ("channels", "silent"), [(3, [(0,), (1,), (2,)]), (8, [(0, 1, 2, 5, 6, 7), (3,), (4,)])]
)
def test_one_part_of_the_detector_falls_silent(channels, silent):
    jets = jets_of(5, channels)
    assert torch.equal(applied(Drop(), jets, part=0), jets)
    for part, empty in enumerate(silent, start=1):
        expected = jets.clone()
        expected[:, list(empty)] = 0
        assert torch.equal(applied(Drop(), jets, part=part), expected)


def test_impact_parameters_and_pixel_hits_are_no_energies():
    jets = jets_of(30, 8, filled=0.3)
    views = views_of(("energy", "smear", "noise", "threshold"), channels=8)
    first = views(jets, np.arange(30), 0)[0][0]
    others = [1, 2, 5, 6, 7]
    assert torch.equal(first[:, others], jets[:, others])
    assert all((first[:, which] != jets[:, which]).any() for which in (0, 3, 4))


def test_impact_parameters_that_meet_are_added():
    jets = torch.zeros(1, 8, 2, 2)
    jets[0, 1] = torch.tensor([[-1.0, 0.25], [0.0, 0.5]])
    assert render({}, jets, {}, size=1)[0, 1].item() == -0.25


def test_autocast_around_it_changes_nothing():
    jets = jets_of(8)
    views = views_of(JET)
    plain = views(jets, np.arange(8), 0)[0][0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(views(jets, np.arange(8), 0)[0][0], plain)
