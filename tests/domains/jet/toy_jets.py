"""Toy jets, and the file in which physicists keep them."""

import h5py
import numpy as np

CLASSES = ("gluon", "quark")


def make_jets(count=24, size=16, seed=0, channels=3):
    """Jets `(n, channels, eta, phi)` in GeV with classes and masses: gluons hit more cells."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    jets = np.zeros((count, channels, size, size), np.float32)
    for jet, label in zip(jets, labels, strict=True):
        multiplicity = generator.poisson((30, 12)[label]) + 1
        spread = generator.normal(size / 2, size / (6, 10)[label], (2, multiplicity))
        eta, phi = np.clip(spread.astype(int), 0, size - 1)
        channel = generator.integers(0, channels, multiplicity)
        np.add.at(jet, (channel, eta, phi), generator.exponential(500 / multiplicity, multiplicity))
    masses = (jets.sum((1, 2, 3)) / 10).astype(np.float32)
    return jets, labels.astype(np.uint8), masses


def write_jets(path, jets, **columns):
    """The standard file: images with channels last, a column for each further value of a jet."""
    with h5py.File(path, "w") as file:
        last = np.moveaxis(jets, 1, -1)
        chunks = (4, *last.shape[1:])
        file.create_dataset("X_jets", data=last, chunks=chunks, compression="gzip", shuffle=True)
        for name, values in columns.items():
            file[name] = values
            if name == "y":
                file[name].attrs["classes"] = CLASSES
            elif name in {"m0", "pt"}:
                file[name].attrs["unit"] = "GeV"
    return path


def jets_of(data):
    """Every jet of both sets by its id."""
    return {
        id: jet
        for part in (data.train, data.test)
        for id, jet in zip(part.ids, part.items, strict=True)
    }


def same_jets(data, jets):
    """Whether both sets together hold exactly these jets, numbered."""
    found = jets_of(data)
    return len(found) == len(jets) and all(
        np.array_equal(found[str(number)], jet) for number, jet in enumerate(jets)
    )
