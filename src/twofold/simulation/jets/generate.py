"""Jets of one class, from collisions by Pythia and the clustering of FastJet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from twofold.errors import TwofoldError
from twofold.simulation.jets.detector import at_crystals, reach
from twofold.simulation.jets.particles import Jets, girth, ptd, together, turned
from twofold.simulation.jets.tasks import TASKS, Sample

_EVENTS = 40  # at a time; part of what a seed stands for
_BELOW, _ABOVE = 0.95, 1.09  # range of pT in the hard process, as factors on that of the jets
_NEUTRINOS = (12, 14, 16)
_STRANGE, _BOTTOM, _TOP, _W = 3, 5, 6, 24  # numbers of the Particle Data Group
_OUTGOING = -23  # Pythia's status of what comes out of the hard process and of its resonances
_BARREN = 500  # batches without a jet until it is told


def generate(sample: Sample, label: int, number: int, n: int) -> Jets:
    """The first `n` jets of a block: the hardest of each collision if it passes the cuts.

    Args:
        sample: What settles them.
        label: Of their class.
        number: Of the block; blocks are independent.
        n: How many at least; a few more come with them. The same ones come first whatever `n`.

    Raises:
        TwofoldError: If the settings give no jets.
    """
    found: list[Jets] = []
    for barren, jets in enumerate(_batches(sample, label, number)):
        found.append(jets)
        if sum(map(len, found)) >= n:
            return together(found)
        if barren == _BARREN and not sum(map(len, found)):
            break
    low, high = sample.pt
    raise TwofoldError(
        f"no {sample.classes[label]} jet with pt {low:g} {high:g} GeV and radius "
        f"{sample.radius:g} came out of {_BARREN * _EVENTS:,} collisions; widen pt"
    )


def _batches(sample: Sample, label: int, number: int) -> Iterator[Jets]:
    import fastjet
    import vector

    vector.register_awkward()
    pythia = _pythia(sample, label, number)
    kind = fastjet.JetDefinition(fastjet.antikt_algorithm, sample.radius)
    while True:
        events = pythia.nextBatch(_EVENTS)
        yield _selected(events.prt, kind, sample, label, pythia)


def _pythia(sample: Sample, label: int, number: int) -> Any:
    """Pythia, ready for the collisions of a block."""
    from pythia8mc import Pythia

    task = TASKS[sample.task]
    low, high = sample.pt
    settings = (
        "Print:quiet = on",
        "Random:setSeed = on",
        f"Random:seed = {sample.block_seed(label, number)}",
        f"PhaseSpace:pTHatMin = {_BELOW * low}",
        f"PhaseSpace:pTHatMax = {_ABOVE * high}",
        *task.common,
        *task.processes[label],
    )
    pythia = Pythia("", False)
    if not all(pythia.readString(setting) for setting in settings) or not pythia.init():
        raise TwofoldError(f"Pythia refuses to make {sample.classes[label]} jets as asked")
    return pythia


def _selected(events: Any, kind: Any, sample: Sample, label: int, pythia: Any) -> Jets:
    """Jets of the hardest of each event that pass the cuts.

    Args:
        events: The particles of each event, as Pythia records them.
        kind: FastJet's definition of a jet.
        sample: What settles the cuts.
        label: Of the class.
        pythia: Knows the charge of each kind of particle.
    """
    import awkward as ak
    import fastjet

    low, high = sample.pt
    seen = events.status > 0
    for neutrino in _NEUTRINOS:
        seen = seen & (abs(events.id) != neutrino)
    visible = events[seen]
    clusters = fastjet.ClusterSequence(visible.p, kind)
    jets, members = clusters.inclusive_jets(low), clusters.constituent_index(low)
    events, visible, jets, members = (
        part[ak.num(jets) > 0] for part in (events, visible, jets, members)
    )
    hardest = ak.argmax(jets.pt, axis=1, keepdims=True)
    axis, members = (ak.drop_none(ak.flatten(part[hardest])) for part in (jets, members))
    passes = (axis.pt < high) & (abs(axis.rapidity) < TASKS[sample.task].rapidity)
    if cut := _CUTS.get(sample.classes[label]):
        passes = passes & cut(events, axis, sample.radius)
    return _measured(visible[passes], axis[passes], members[passes], sample.radius, pythia)


def _is_light(events: Any, axis: Any, radius: float) -> Any:
    """Which events have an up, down or strange quark beside the Z."""
    import awkward as ak

    light = (abs(events.id) >= 1) & (abs(events.id) <= _STRANGE)
    return ak.any(light & (events.status == _OUTGOING), axis=1)


def _is_merged(events: Any, axis: Any, radius: float) -> Any:
    """Which jets hold all three quarks of one top."""
    import awkward as ak

    quarks = events[(abs(events.id) <= _BOTTOM) & (events.status == _OUTGOING)]
    origin = events.id[quarks.mother1]
    turn = abs(abs(quarks.p.phi - axis.phi) - np.pi)  # pi less the difference of the angles
    distance = np.hypot(quarks.p.rapidity - axis.rapidity, np.pi - turn)
    held = [
        ak.sum(((origin == sign * _TOP) | (origin == sign * _W)) & (distance < radius), axis=1) == 3
        for sign in (1, -1)
    ]
    return held[0] | held[1]


_CUTS = {"quark": _is_light, "top": _is_merged}
"""What the hard process of a class must be beyond the settings of Pythia."""


def _measured(visible: Any, axis: Any, members: Any, radius: float, pythia: Any) -> Jets:
    """Jets with their observables and neighbourhoods.

    Args:
        visible: Particles that were clustered, of each event.
        axis: The jet of each event.
        members: Which of the particles are its constituents.
        radius: Of jets.
        pythia: Knows the charge of each kind of particle.
    """
    import awkward as ak

    n, constituents = len(axis), visible[members]
    owner = np.repeat(np.arange(n), ak.to_numpy(ak.num(constituents)))
    inside = ak.flatten(constituents)
    pt = ak.to_numpy(inside.p.pt)
    sideways = turned(ak.to_numpy(inside.p.phi) - ak.to_numpy(axis.phi)[owner])
    along = ak.to_numpy(inside.p.rapidity) - ak.to_numpy(axis.rapidity)[owner]
    charged = _charges(ak.to_numpy(inside.id), pythia) != 0
    around = _around(visible, axis, radius, pythia)
    return Jets(
        pt=ak.to_numpy(axis.pt),
        eta=ak.to_numpy(axis.eta),
        phi=ak.to_numpy(axis.phi),
        mass=ak.to_numpy(axis.mass),
        multiplicity=np.bincount(owner, minlength=n),
        charged_multiplicity=np.bincount(owner[charged], minlength=n),
        girth=girth(pt, np.hypot(along, sideways), owner, n),
        ptd=ptd(pt, owner, n),
        **around,
    )


def _around(visible: Any, axis: Any, radius: float, pythia: Any) -> dict[str, np.ndarray]:
    """The particles of each event that any image of its jet can show, as `Jets` keeps them."""
    import awkward as ak

    owner = np.repeat(np.arange(len(axis)), ak.to_numpy(ak.num(visible)))
    everything = ak.flatten(visible)
    pt, eta, phi = (ak.to_numpy(getattr(everything.p, name)) for name in ("pt", "eta", "phi"))
    identity = ak.to_numpy(everything.id)
    charge = _charges(identity, pythia)
    jet_eta, jet_phi = (ak.to_numpy(part)[owner] for part in (axis.eta, axis.phi))
    near = np.zeros(len(owner), bool)
    for place in ((eta, phi), at_crystals(pt, eta, phi, charge)[:2]):
        apart = np.maximum(np.abs(place[0] - jet_eta), np.abs(turned(place[1] - jet_phi)))
        near |= apart < reach(radius)
    return {
        "count": np.bincount(owner[near], minlength=len(axis)),
        "particle_pt": pt[near].astype(np.float32),
        "particle_eta": eta[near].astype(np.float32),
        "particle_phi": phi[near].astype(np.float32),
        "particle_id": identity[near].astype(np.int16),
        "particle_charge": charge[near],
    }


def _charges(identity: np.ndarray, pythia: Any) -> np.ndarray:
    """Charges of particles, in units of the positron's."""
    kinds, which = np.unique(identity, return_inverse=True)
    charges = [round(pythia.particleData.charge(int(kind))) for kind in kinds]
    return np.array(charges, np.int8)[which]
