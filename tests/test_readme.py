"""The documents hold what they show: Python blocks run, command lines parse."""

import re
import shlex
import textwrap
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import twofold
from twofold import flags, recipes, run
from twofold.cli import COMMANDS
from twofold.config import Config
from twofold.errors import TwofoldError

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for path in [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
    if path.exists()
]
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SMALL = {"encoder": "resnet-small", "width": 0.25, "batch_size": 16, "epochs": 1, "threads": 1}


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    remark: str
    text: str

    def __str__(self):
        return f"{self.document.name}:{self.line}"


def blocks(document, *languages):
    text = document.read_text()
    return [
        Block(
            document,
            text.count("\n", 0, found.start()) + 1,
            found[2],
            found[3].strip(),
            textwrap.dedent(found[4]),
        )
        for found in FENCE.finditer(text)
        if found[2] in languages
    ]


def command_lines(text):
    """Every `twofold ...` line of a shell block, with the lines that continue it."""
    whole = re.sub(r"\\\n\s*", " ", text)
    for line in whole.splitlines():
        words = shlex.split(line.strip().removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            words = words[1:]  # variables for this command alone
        if words and words[0] == "twofold":
            end = next((i for i, word in enumerate(words) if word in {"|", ">", "&&", ";"}), None)
            yield words[1:end]


MODULES = {command: import_module(f"twofold.commands.{command}") for command in COMMANDS}
KINDS = {
    command: vars(module)[command.capitalize()]
    for command, module in MODULES.items()
    if command.capitalize() in vars(module)
}


def parse_flags(command, args, *, recipe="simclr"):
    kind, default = KINDS[command], None
    if command in {"pretrain", "preview", "study"}:
        default = kind(recipe=recipes.recipe_by_name(recipe))
    return flags.parse(kind, args, prog=f"twofold {command}", default=default)


def parse(args):
    """Reads the flags of a command line as `twofold` does, and does nothing."""
    command, *rest = args or ["--help"]
    if command in {"--help", "--version"}:
        return
    assert command in COMMANDS, f"unknown command {command}"
    if {"--help", "-h"} & set(rest) or command == "list":
        return
    if command == "compare":
        runs = rest[: rest.index("--out")] if "--out" in rest else rest
        assert len(runs) >= 2
        assert rest[len(runs) + 1 :] == [] or rest[-1].endswith(".html")
        assert not any(run.startswith("-") for run in runs)
        return
    if command == "pretrain" and rest[0] == "--resume":
        assert len(rest) == 2
        return
    if command == "pretrain" and rest[0] == "--config":
        name, rest = "simclr", rest[2:]
    else:
        name, *rest = rest
    assert not name.startswith("-"), f"{command} needs a name before its flags"
    if command == "report":
        assert not rest
        return
    parsed = parse_flags(command, rest, recipe=name)
    if command in {"embed", "preview"}:
        assert parsed.out is not None
        assert parsed.out.suffix == {"embed": ".npz", "preview": ".png"}[command]
    if command not in {"evaluate", "prove"} or name.partition("/")[0] in {"timm", "torchvision"}:
        assert parsed.data.data


SHELL = [block for path in DOCUMENTS for block in blocks(path, "sh", "bash", "console", "shell")]
LINES = [(block, line) for block in SHELL for line in command_lines(block.text)]


@pytest.mark.parametrize(("block", "args"), LINES, ids=[f"{b}-{' '.join(a)}" for b, a in LINES])
def test_command_lines_parse(block, args):
    parse(args)


INLINE = [
    (path, code)
    for path in DOCUMENTS
    for code in re.findall(r"`(--[^`]+)`", FENCE.sub("", path.read_text()))
]


@pytest.mark.parametrize(("document", "code"), INLINE, ids=[code for _, code in INLINE])
def test_flags_in_running_text_exist(document, code):
    """With a value some command takes them; a flag alone is known if it lacks but its value."""
    if re.match(r"--(resume|config|help|version)\b", code):
        return
    refusals = []
    for command in KINDS:
        try:
            parse_flags(command, shlex.split(code))
        except TwofoldError as error:
            refusals.append(str(error))
    known = len(refusals) < len(KINDS) or any(f"{code} needs" in words for words in refusals)
    assert known, f"{document.name}: {refusals}"


@pytest.mark.parametrize(
    "line",
    [
        "twofold pretrian simclr --data digits --out runs/a",
        "twofold pretrain simcrl --data digits --out runs/a",
        "twofold pretrain simclr --data digits --out runs/a --epoch 3",
        "$ twofold pretrain simclr --data digits \\\n    --out runs/a --temprature 1",
        "OMP_NUM_THREADS=1 twofold embed runs/a --data digits --out x.npy  # a remark",
        "twofold evaluate --data digits | tee figures.txt",
    ],
)
def test_a_line_that_would_fail_is_found(line):
    (args,) = command_lines(line)
    with pytest.raises((TwofoldError, AssertionError)):
        parse(args)


def test_a_line_is_found_whole():
    block = (
        "$ twofold pretrain simclr --data digits --out a \\\n  --epochs 3  # quick\n\nmake test\n"
    )
    (args,) = command_lines(block)
    assert " ".join(args) == "pretrain simclr --data digits --out a --epochs 3"
    parse(args)


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Names and data that blocks may use, and a `pretrain` that makes short work of it."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (120, 1, 12, 12), dtype=np.uint8)
    labels = np.arange(120) % 3
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", images)
    np.savez("images.npz", images=images, labels=labels)
    _photos(tmp_path / "photos", images, labels)
    real = run.start

    def quick(whole: Config, folder, **options):
        own = options.get("backbone") is not None
        if not whole.found:
            whole = run.change(whole, _quick(whole, own=own))
        return real(whole, folder, **options | {"quiet": True})

    monkeypatch.setattr(run, "start", quick)
    return {"images": images, "labels": labels, "np": np, "twofold": twofold}


def _photos(folder, images, labels):
    from PIL import Image

    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / "abc"[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)


def _quick(whole, *, own):
    if own or whole.recipe.encoder.startswith(("timm/", "torchvision/")):
        return {name: value for name, value in SMALL.items() if name not in {"encoder", "width"}}
    return SMALL


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(document, stand_ins):
    """All blocks of a document in turn, in one namespace; ```python no-run is left out."""
    for block in blocks(document, "python"):
        if block.remark == "no-run":
            continue
        # The line numbers of a failure are those of the document.
        code = compile("\n" * block.line + block.text, str(document), "exec")
        exec(code, stand_ins)


def test_a_block_trains_in_short(stand_ins):
    exec(
        'run = twofold.pretrain("simclr", data=images, out="runs/a", epochs=500)\n'
        "features = run.encoder().embed(images)\n",
        stand_ins,
    )
    assert stand_ins["run"].config.recipe.epochs == 1
    assert stand_ins["features"].shape == (120, 64)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not re.match(r"\w+:", target):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
