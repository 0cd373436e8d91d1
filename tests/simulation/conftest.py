"""Jets that cost nothing."""

import numpy as np
import pytest

from twofold.simulation.jets.particles import Jets

KINDS = np.array([22, 11, -13, 211, -321, 2112])
CHARGES = np.array([0, -1, 1, 1, -1, 0])


def toy(n, seed):
    """Jets with particles of every kind scattered around them, some far outside."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 30, n)
    owner = np.repeat(np.arange(n), count)
    eta, phi = rng.uniform(-1.7, 1.7, n), rng.uniform(-np.pi, np.pi, n)
    kind = rng.integers(0, len(KINDS), len(owner))
    phi_of = phi[owner] + rng.normal(0, 0.3, len(owner))
    return Jets(
        pt=rng.uniform(500, 550, n),
        eta=eta,
        phi=phi,
        mass=rng.uniform(20, 80, n),
        multiplicity=count,
        charged_multiplicity=count // 2,
        girth=rng.uniform(0, 0.1, n),
        ptd=rng.uniform(0.2, 0.5, n),
        count=count,
        particle_pt=rng.exponential(5, len(owner)).astype(np.float32) + 0.1,
        particle_eta=(eta[owner] + rng.normal(0, 0.3, len(owner))).astype(np.float32),
        particle_phi=((phi_of + np.pi) % (2 * np.pi) - np.pi).astype(np.float32),
        particle_id=KINDS[kind].astype(np.int16),
        particle_charge=CHARGES[kind].astype(np.int8),
    )


@pytest.fixture
def toy_jets():
    """A maker of jets: `toy_jets(n, seed)`."""
    return toy


@pytest.fixture
def collisions(monkeypatch):
    """Takes Pythia's place, in this process: the blocks that were made, in order.

    Set `collisions.limit` to be interrupted once that many are made.
    """
    from twofold.simulation.jets import blocks

    class Made(list):
        limit = None

    made = Made()

    def generate(sample, label, number, n):
        made.append((label, number, n))
        return toy(300, sample.block_seed(label, number)).head(n + 7)

    def here(work, jobs, *, workers, done):
        for job in jobs:
            if made.limit is not None and len(made) >= made.limit:
                raise KeyboardInterrupt
            done(work(job))

    monkeypatch.setattr(blocks, "generate", generate)
    monkeypatch.setattr(blocks, "in_processes", here)
    return made
