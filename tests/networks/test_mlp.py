"""Heads: built again from their shape, read layer by layer, numbers read out at an even scale."""

import pytest
import torch

from twofold.networks import Readout, mlp, mlp_arguments, mlp_stages


@pytest.mark.parametrize("widths", [(8, 4), (8, 16, 4), (8, 16, 12, 4)])
@pytest.mark.parametrize("norm", [False, True, "layer"])
@pytest.mark.parametrize("last", ["affine", "linear", "scaled", "standard", "readout"])
def test_a_head_is_built_again_from_its_shape(widths, norm, last):
    head = mlp(*widths, norm=norm, last=last)
    found = mlp_arguments(head)
    again = mlp(*found.pop("widths"), **found)
    assert repr(again) == repr(head)
    again.load_state_dict(head.state_dict())
    rows = torch.randn(5, 8)
    torch.testing.assert_close(again(rows), head(rows))


@pytest.mark.parametrize("head", [torch.nn.Linear(3, 2), torch.nn.Sequential(torch.nn.ReLU())])
def test_another_head_has_no_shape_to_tell(head):
    assert mlp_arguments(head) is None


@pytest.mark.parametrize("norm", [False, True, "layer"])
@pytest.mark.parametrize("last", ["affine", "scaled", "readout"])
def test_stages_make_the_head_one_after_another(norm, last):
    head, rows = mlp(8, 16, 12, 4, norm=norm, last=last).eval(), torch.randn(5, 8)
    stages, found = mlp_stages(head), rows
    assert [layer for stage in stages for layer in stage] == list(head)
    for stage, width in zip(stages, (16, 12, 4), strict=True):
        found = stage(found)
        assert found.shape == (5, width)
    torch.testing.assert_close(found, head(rows))
    assert all((stage(torch.randn(5, stage[0].in_features)) >= 0).all() for stage in stages[:-1])


def test_layer_norm_takes_the_place_of_batch_norm_alone():
    names = [type(layer).__name__ for layer in mlp(8, 16, 4, norm="layer")]
    assert names == ["Linear", "LayerNorm", "ReLU", "Linear"]
    assert mlp(8, 16, 4, norm="layer")[0].bias is not None
    assert mlp(8, 16, 4, norm=True)[0].bias is None  # BatchNorm would take it away


@pytest.mark.parametrize("width", [4, 400])
def test_a_step_moves_what_is_read_out_by_the_same_whatever_the_width(width):
    readout, inputs = Readout(width, 1), torch.ones(3, width)
    plain = torch.nn.functional.linear(inputs, readout.weight) / width**0.5 + readout.bias
    torch.testing.assert_close(readout(inputs), plain)
    before = readout(inputs).detach()
    readout(inputs).mean().backward()
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.sub_(0.1 * parameter.grad)
    torch.testing.assert_close(readout(inputs), before - 0.2)  # 0.1 by weights, 0.1 by offset
