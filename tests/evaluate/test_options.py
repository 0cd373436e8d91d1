import pytest

from twofold.errors import TwofoldError
from twofold.evaluate.options import ProbeOptions, read_options


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"k": 0}, "k is 0; it must be >= 1"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be > 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"ks": (5, 0)}, "ks is 0; it must be >= 1"),
        ({"ks": ()}, "ks is empty"),
        ({"clusters": 1}, "clusters is 1; it must be >= 2"),
        ({"ways": 1}, "ways is 1; it must be >= 2"),
        ({"per_class": (0, 1)}, "per_class is 0; it must be >= 1"),
        ({"draws": 1}, "draws is 1; it must be >= 2"),
        ({"way": 5}, r"unknown option 'way'; did you mean 'ways'\?"),
    ],
)
def test_mistakes_are_told(given, words):
    with pytest.raises(TwofoldError, match=words):
        read_options(given)


def test_lists_are_taken_for_tuples():
    assert read_options({"per_class": [1, 5]}) == ProbeOptions(per_class=(1, 5))
