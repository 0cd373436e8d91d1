import pytest
from toy_sounds import tone, write_sound


@pytest.fixture
def birds(tmp_path):
    """Twelve recordings of 16 bits in two class folders, each of its own frequency."""
    root = tmp_path / "birds"
    for number in range(12):
        wave = tone(frequency=300 + 50 * number)
        write_sound(root / ("owl" if number % 2 else "wren") / f"{number}.wav", wave)
    return root
