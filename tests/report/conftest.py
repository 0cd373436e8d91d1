import pytest
from fabricated_run import fabricate, make_data


@pytest.fixture(scope="session")
def data():
    return make_data()


@pytest.fixture
def run_dir(tmp_path, data):
    return fabricate(tmp_path / "run", data)
