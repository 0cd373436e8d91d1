from pathlib import Path

import pytest

from twofold.errors import TwofoldError
from twofold.interchange.formats import FORMATS, check_format, infer_format


@pytest.mark.parametrize(("format", "suffix"), FORMATS.items())
def test_a_file_is_named_after_its_format(format, suffix):
    for other in FORMATS.values():
        if other == suffix:
            check_format(Path(f"a{other}"), format)
        else:
            with pytest.raises(TwofoldError, match=f"format {format}; its name must end in"):
                check_format(Path(f"a{other}"), format)


def test_a_name_may_leave_the_format_open_but_not_unknown():
    check_format(Path("a.safetensors"), None)
    with pytest.raises(TwofoldError, match=r"must end in .safetensors or .onnx or .pt2"):
        check_format(Path("a.pt"), None)
    with pytest.raises(TwofoldError, match="unknown format 'onx'; did you mean 'onnx'"):
        check_format(Path("a.onnx"), "onx")


@pytest.mark.parametrize(
    ("path", "encoder", "format"),
    [
        ("a.onnx", "resnet18", "onnx"),
        ("a.pt2", None, "torch"),
        ("a.safetensors", "timm/resnet10t", "timm"),
        ("a.safetensors", "torchvision/resnet18", "torchvision"),
    ],
)
def test_the_format_is_inferred_where_there_is_no_doubt(path, encoder, format):
    assert infer_format(Path(path), encoder) == format


@pytest.mark.parametrize("encoder", ["resnet18", "resnet-small", None])
def test_several_formats_are_named(encoder):
    with pytest.raises(TwofoldError, match="several formats; name one: torchvision or timm"):
        infer_format(Path("a.safetensors"), encoder)
