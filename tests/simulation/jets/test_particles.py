"""Jets, kept and measured."""

from dataclasses import fields

import numpy as np
import pytest

from twofold.simulation.jets.particles import Jets, girth, load, ptd, together, turned


def alike(one, other):
    """Whether two sets of jets hold the same."""
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Jets)
    )


def test_girth_and_ptd_are_what_a_loop_gives(toy_jets):
    jets = toy_jets(20, 1)
    pt, owner = jets.particle_pt.astype(float), jets.owner
    distance = np.random.default_rng(0).uniform(0, 0.4, len(pt))
    widths, uneven = girth(pt, distance, owner, len(jets)), ptd(pt, owner, len(jets))
    for jet in range(len(jets)):
        mine = owner == jet
        width = sum(p * d for p, d in zip(pt[mine], distance[mine], strict=True)) / pt[mine].sum()
        assert widths[jet] == pytest.approx(width)
        assert uneven[jet] == pytest.approx(np.linalg.norm(pt[mine]) / pt[mine].sum())


def test_two_equal_constituents():
    pt, owner = np.array([7.0, 7.0]), np.array([0, 0])
    assert girth(pt, np.array([0.1, 0.1]), owner, 1) == pytest.approx(0.1)
    assert ptd(pt, owner, 1) == pytest.approx(1 / np.sqrt(2))


def test_a_head_keeps_the_particles_of_its_jets(toy_jets):
    jets = toy_jets(9, 2)
    first, rest = jets.head(4), jets.head(9)
    assert len(first) == 4
    assert len(first.particle_pt) == len(first.owner) == jets.count[:4].sum()
    assert alike(rest, jets)
    again = together([first, toy_jets(3, 3)])
    assert len(again) == 7
    assert alike(again.head(4), first)


def test_jets_come_back_from_a_file_and_damage_is_none(tmp_path, toy_jets):
    path = tmp_path / "a.npz"
    jets = toy_jets(5, 4)
    jets.save(path)
    assert alike(load(path), jets)
    assert load(tmp_path / "b.npz") is None
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        assert load(path) is None


def test_angles_are_turned_to_their_nearest():
    given = np.array([0.0, 3.0, 4.0, -4.0, 7.0])
    found = turned(given)
    assert np.all((found >= -np.pi) & (found < np.pi))
    np.testing.assert_allclose(np.exp(1j * found), np.exp(1j * given))
