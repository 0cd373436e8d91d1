import pytest
from toy_jets import make_jets, write_jets


@pytest.fixture
def jets_file(tmp_path):
    """A standard file of 24 jets, with `y`, `m0` and `pt`."""
    jets, labels, masses = make_jets()
    return write_jets(tmp_path / "jets.h5", jets, y=labels, m0=masses, pt=10 * masses)
