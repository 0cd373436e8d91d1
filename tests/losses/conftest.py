import pytest
import torch


@pytest.fixture
def embeddings():
    """Draws two views of a batch, standard normal in float64: `embeddings(batch, dim, seed)`."""

    def draw(batch=6, dim=5, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(2, batch, dim, dtype=torch.float64, generator=generator).unbind()

    return draw
