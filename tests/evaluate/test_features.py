import copy

import numpy as np
import pytest
import torch
from torch import nn

from twofold.clips import Clips
from twofold.errors import TwofoldError
from twofold.evaluate import features, frozen
from twofold.evaluate.features import encoding
from twofold.preprocess import measure


@pytest.fixture
def items():
    return np.random.default_rng(0).integers(0, 256, (21, 2, 6, 6), dtype=np.uint8)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()
    )


def test_equals_one_pass_in_evaluation_mode_for_any_batch_size(encoder, items):
    preprocess = measure(items)
    expected = copy.deepcopy(encoder).eval()(preprocess(items)).detach()
    for batch_size in (1, 4, 21, 512):
        found = features(encoder, items, preprocess, batch_size=batch_size)
        assert found.dtype == torch.float32
        assert not found.requires_grad
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_memory_map_gives_the_same_features(encoder, items, tmp_path):
    np.save(tmp_path / "items.npy", items)
    stored = np.load(tmp_path / "items.npy", mmap_mode="c")
    preprocess = measure(items)
    found = features(encoder, stored, preprocess, batch_size=8)
    assert torch.equal(found, features(encoder, items, preprocess, batch_size=8))


def test_bf16_is_near_float32_and_returns_float32(encoder, items):
    preprocess = measure(items)
    exact = features(encoder, items, preprocess)
    rough = features(encoder, items, preprocess, precision="bf16")
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05)


def test_every_submodule_gets_its_own_mode_back(encoder, items):
    encoder.train()
    encoder[1].eval()  # as someone does who freezes BatchNorm
    modes = [module.training for module in encoder.modules()]
    features(encoder, items, measure(items))
    assert [module.training for module in encoder.modules()] == modes


def test_modes_come_back_after_an_error(encoder, items):
    def fail(items, device):
        raise KeyError("preprocess")

    encoder.train()
    with pytest.raises(KeyError):
        features(encoder, items, fail)
    assert all(module.training for module in encoder.modules())


def test_batch_norm_statistics_do_not_move(encoder, items):
    encoder.train()
    before = copy.deepcopy(encoder.state_dict())
    features(encoder, items, measure(items))
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


class Counting(nn.Module):
    """Changes a buffer that no state_dict shows."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.calls += 1
        return x.flatten(1)


def test_an_encoder_that_moves_is_refused(items):
    with pytest.raises(TwofoldError, match="changed its own 'calls'"):
        features(Counting(), items, measure(items))


@pytest.mark.parametrize(
    "change",
    [
        lambda encoder: encoder[0].weight.data.view(-1)[3].mul_(1 + 2e-7),
        lambda encoder: encoder[1].running_mean.add_(1),
        lambda encoder: encoder[1].num_batches_tracked.add_(1),
        lambda encoder: encoder[1].register_buffer("new", torch.zeros(1)),
    ],
)
def test_frozen_notices_the_smallest_change(encoder, change):
    with pytest.raises(TwofoldError, match="changed its own"), frozen(encoder):
        change(encoder)


def test_frozen_turns_gradients_off(encoder):
    with frozen(encoder):
        assert not encoder(torch.ones(1, 2, 6, 6)).requires_grad


def test_bf16_and_empty_parameters_have_a_checksum():
    encoder = nn.Linear(2, 2).bfloat16()
    encoder.register_buffer("empty", torch.zeros(0))
    with frozen(encoder):
        pass


def test_progress_counts_items(encoder, items):
    seen = []
    features(encoder, items, measure(items), batch_size=10, progress=seen.append)
    assert seen == [10, 20, 21]


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (nn.Identity(), {}, r"\(21, 2, 6, 6\) for 21 items; it must return \(batch, num_features"),
        (nn.Flatten(0), {}, "end it with global pooling"),
        (nn.Flatten(), {"precision": "bf61"}, "did you mean 'bf16'"),
        (nn.Flatten(), {"batch_size": 0}, "batch_size is 0; it must be > 0"),
    ],
)
def test_mistakes_are_told_in_one_line(items, network, options, message):
    with pytest.raises(TwofoldError, match=message) as error:
        features(network, items, measure(items), **options)
    assert "\n" not in str(error.value)


def test_other_outputs_and_no_items_are_refused(items):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(TwofoldError, match="returned a tuple"):
        features(Pair(), items, measure(items))
    with pytest.raises(TwofoldError, match="no items"):
        features(nn.Flatten(), items[:0], measure(items))


def test_features_that_are_not_finite_are_refused(items):
    class Diverged(nn.Module):
        def forward(self, x):
            x = x.flatten(1)
            x[1, 0] = torch.nan
            return x

    with pytest.raises(TwofoldError, match="of 1 of 21 items are NaN or infinite"):
        features(Diverged(), items, measure(items))


def test_batches_of_any_origin_are_encoded_as_an_array_is(encoder, items):
    preprocess = measure(items)
    with encoding(encoder, preprocess) as encode:
        found = torch.cat([encode(items[:4]), encode(items[4:])])
    assert torch.equal(found[:4], features(encoder, items[:4], preprocess))
    torch.testing.assert_close(found, features(encoder, items, preprocess))


def test_an_encoder_that_moves_between_batches_is_found_out(encoder, items):
    with pytest.raises(TwofoldError, match="changed its own"), encoding(encoder, measure(items)):
        encoder[0].bias.data += 1


LENGTHS = (7, 40, 16, 23)


@pytest.fixture
def clips():
    samples = np.random.default_rng(1).normal(size=(sum(LENGTHS), 1)).astype(np.float32)
    starts = np.cumsum([0, *LENGTHS[:-1]])
    return Clips(samples, starts, np.array(LENGTHS), window=8, sample_rate=8000)


@pytest.mark.parametrize("batch_size", [1, 3, 512])
def test_features_of_a_clip_are_the_mean_over_its_windows(clips, batch_size):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.ReLU())
    found = features(encoder, clips, lambda x, device: torch.from_numpy(x), batch_size=batch_size)
    for clip, feature in zip(range(len(LENGTHS)), found, strict=True):
        windows, _ = clips.select(np.array([clip])).windows()
        assert len(windows) == -(-LENGTHS[clip] // 8)
        alone = encoder(torch.from_numpy(windows[:])).detach()
        torch.testing.assert_close(feature, alone.mean(dim=0))
