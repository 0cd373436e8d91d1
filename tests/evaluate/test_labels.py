import numpy as np
import pytest
import torch

from twofold.errors import TwofoldError
from twofold.evaluate.labels import class_labels

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_whole_numbers_become_int64(dtype):
    labels = np.array([3, 0], dtype)
    labels.flags.writeable = False
    found = class_labels(labels, 2, CPU)
    assert found.dtype == torch.int64
    assert found.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1, 2]), r"shape \(3,\); 2 items need \(2,\)"),
        (np.zeros((2, 1), int), r"shape \(2, 1\)"),
        (np.array([0.0, 1.0]), "whole class numbers"),
        (np.array([0, -1]), "smallest label is -1"),
    ],
)
def test_what_is_no_label_is_refused(labels, message):
    with pytest.raises(TwofoldError, match=message):
        class_labels(labels, 2, CPU)
