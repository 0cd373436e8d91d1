"""What settles the particles of jets."""

from importlib import metadata

import pytest

from twofold.errors import TwofoldError
from twofold.simulation.jets import tasks
from twofold.simulation.jets.tasks import TASKS, Sample


def test_seeds_of_blocks_differ_and_are_pythias():
    seeds = [
        Sample.of(task, seed=seed).block_seed(label, number)
        for task in TASKS
        for seed in (0, 1)
        for label in (0, 1)
        for number in range(200)
    ]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 1
    assert max(seeds) <= 900_000_000


def test_digests_tell_settings_and_versions_apart(monkeypatch):
    monkeypatch.setattr(tasks, "version", lambda name: "1.0")
    digests = [
        Sample.of("quark-gluon").digest,
        Sample.of("quark-gluon", seed=1).digest,
        Sample.of("quark-gluon", pt=(400, 600)).digest,
        Sample.of("quark-gluon", radius=0.5).digest,
        Sample.of("top-qcd").digest,
    ]
    assert Sample.of("quark-gluon", pt=(500, 550), radius=0.4).digest == digests[0]
    monkeypatch.setattr(tasks, "version", lambda name: "1.1")
    digests.append(Sample.of("quark-gluon").digest)
    assert len(set(digests)) == len(digests)


def test_missing_generators_are_told_with_their_remedy(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(tasks, "version", version)
    with pytest.raises(TwofoldError, match=r"needs pythia8mc: pip install 'twofold\[jets\]'$"):
        tasks.generators()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "quark-glue"}, "did you mean 'quark-gluon'"),
        ({"pt": (550, 500)}, "pt is 550 500; give the lower end first"),
        ({"pt": (-5, 500)}, "from 20 to 5000 GeV"),
        ({"pt": (float("nan"), 500)}, "pt is nan 500"),
        ({"radius": 0.0}, "radius is 0; it must be from 0.1 to 1.5"),
        ({"seed": -1}, "seed is -1; it must be >= 0"),
    ],
)
def test_what_makes_no_jets_is_refused(settings, words):
    with pytest.raises(TwofoldError, match=words):
        Sample.of(**{"task": "quark-gluon", **settings})
