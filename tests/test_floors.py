"""The house stands on its floors: a module imports from lower floors alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "twofold"

FLOORS = {
    "errors": 0,
    "items": 0,
    "plain": 0,
    "allocation": 0,
    # what stands alone: numbers, networks, files
    "folder": 2,
    "clips": 2,
    "spectrogram": 2,
    "preprocess": 3,
    "distributed": 1,
    "normalization": 3,
    "losses": 2,
    "networks": 2,
    "augment": 2,
    "positives": 4,
    "erasure": 2,
    # what a method is made of
    "adapters": 3,
    "objectives": 3,
    "optim": 3,
    "balance": 3,
    "hardware": 3,
    "checkpoint": 3,
    "divergence": 4,
    "interruption": 3,
    "profiling": 4,
    "log": 5,
    "gradient_cache": 4,
    # what data are, and how they are augmented and read
    "domains": 4,
    "simulation": 5,
    "packing": 5,
    # methods, and how they are fed and read
    "choice": 5,
    "method": 5,
    "tuning": 5,
    "distilling": 5,
    "recipes": 5,
    "loader": 5,
    "reading": 5,
    # a run, piece by piece
    "evaluate": 6,
    "config": 6,
    "train": 6,
    "comparison": 7,
    "catalogue": 7,
    "stages": 7,
    "aligning": 7,
    "encoder": 7,
    "monitor": 7,
    # what people see and call
    "report": 8,
    "interchange": 8,
    "display": 8,
    "embeddings": 8,
    "track": 8,
    "flags": 8,
    "arguments": 8,
    "assembly": 8,
    "sharing": 8,
    "renderers": 8,
    "tuned": 8,
    "calibration": 8,
    "launch": 9,
    "hits": 9,
    "proof": 10,
    "finetuning": 10,
    "alignment": 10,
    "evaluation": 10,
    "distillation": 11,
    "run": 12,
    "semisupervision": 12,
    "studies": 11,
    "estimator": 13,
    "commands": 14,
    "cli": 15,
    "__main__": 16,
}
NEVER_MEET = {("domains", "objectives"), ("objectives", "domains")}
FORBIDDEN_NAMES = {"utils", "core", "base", "helper", "helpers", "manager", "common", "misc"}


def modules():
    return sorted(SOURCE.rglob("*.py"))


def part(path):
    """The top-level module or package a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path):
    """Every part of twofold that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = node.module.split(".")
            if names == ["twofold"]:
                yield from (alias.name for alias in node.names if alias.name in FLOORS)
            elif names[0] == "twofold":
                yield names[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                names = alias.name.split(".")
                if names[0] == "twofold" and len(names) > 1:
                    yield names[1]


def test_every_module_has_a_floor():
    assert {part(path) for path in modules()} - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_come_from_lower_floors(path):
    own = part(path)
    if own == "__init__":
        return
    for other in set(imports(path)) - {own}:
        assert FLOORS[other] < FLOORS[own], f"{own} imports {other}"
        assert (own, other) not in NEVER_MEET


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_are_short_and_named_for_what_they_do(path):
    assert len(path.read_text().splitlines()) <= 400
    assert not FORBIDDEN_NAMES & {path.stem, path.parent.name}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_class_tree_is_deeper_than_one(path):
    """A class of ours is derived from nothing, a foreign class, or one of ours that is not."""
    assert all(depth(name, CLASSES) <= 1 for name in classes(path))


def classes(path):
    return {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }


CLASSES = {name: bases for path in modules() for name, bases in classes(path).items()}


def depth(name, known):
    return max((1 + depth(base, known) for base in known.get(name, []) if base in known), default=0)


@pytest.mark.parametrize(
    "code",
    [
        "import twofold",
        "from twofold.cli import main; main(['--help'])",
        "from twofold.commands.list import main; main([])",
        "from twofold import recipes; recipes.simclr()",
        "import twofold.flags, twofold.config, twofold.commands.pretrain",
        "import twofold.comparison",
        f"from twofold.commands.runs import main; main([{str(SOURCE)!r}])",
        "import twofold.interchange.formats, twofold.commands.export",
        "import twofold.studies.plan, twofold.studies.result",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    heavy = "{'torch', 'torchvision', 'sklearn', 'scipy', 'matplotlib', 'PIL', 'timm'}"
    program = f"{code}\nimport sys\nprint(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_array_path_needs_neither_torchvision_nor_sklearn(tmp_path):
    program = f"""
import sys
import numpy as np
import twofold
images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
run = twofold.pretrain("simclr", data=images, out={str(tmp_path / "run")!r}, epochs=1,
                       batch_size=8, encoder="resnet-small", width=0.25, quiet=True)
print(run.encoder().embed(images).shape)
unasked = {{"torchvision", "sklearn", "timm", "matplotlib", "tensorboard", "wandb", "mlflow"}}
print(sorted(unasked & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(40, 64)", "[]"]
