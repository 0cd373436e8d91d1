"""What the documents show works: their code runs, their commands end well, their links lead on."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from fences import NOT_RUN, Block, blocks, command_lines, prose

from twofold import flags, recipes
from twofold.cli import COMMANDS
from twofold.commands import simulate
from twofold.domains import DOMAINS
from twofold.errors import TwofoldError

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


@pytest.mark.slow
@pytest.mark.filterwarnings(  # Lightning's own: of torch, and of loaders without processes
    "ignore:.*LeafSpec:FutureWarning", "ignore:.*does not have many workers"
)
@every_document
def test_blocks_run(document, reader):
    """All blocks of a document in turn, in one folder and one namespace."""
    for block in blocks(document):
        reader.follow(block)


@every_document
def test_blocks_are_of_a_known_language(document):
    known = {"python", "sh", "text", "yaml"}
    assert {block.language for block in blocks(document)} <= known


def block(language, text):
    return Block(Path("page.md"), 1, language, text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "twofold pretrian simclr --data fashion-mnist --out runs/c",
        "twofold pretrain simcrl --data fashion-mnist --out runs/c",
        "twofold pretrain simclr --data fashion-mnist \\\n    --out runs/c --temprature 1",
        "twofold embed runs/c --data fashion-mnist --out e.npz  # a run that nobody made",
        "twofold compare runs/a",
        "rm -r runs",
    ],
)
def test_a_line_that_would_fail_is_found(line, reader):
    with pytest.raises(AssertionError):
        reader.follow(block("sh", line))


@pytest.mark.slow
def test_runs_are_short_and_given_only_if_nobody_made_them(reader):
    reader.follow(block("sh", "twofold pretrain simsiam --data fashion-mnist --out runs/a"))
    reader.follow(block("python", 'twofold.load("runs/a"), twofold.load("runs/b")'))
    assert "name: simsiam" in Path("runs/a/config.yaml").read_text()


def test_a_line_is_read_whole():
    text = "twofold embed runs/a \\\n  --out e.npz  # all\n\nmake test\n"
    assert list(command_lines(text)) == [["embed", "runs/a", "--out", "e.npz"]]
    assert "twofold" not in NOT_RUN


INLINE = sorted(
    {code for document in DOCUMENTS for code in re.findall(r"`(--[^`]+)`", prose(document))}
)
KINDS = {
    command: kind
    for command in COMMANDS
    if (kind := vars(import_module(f"twofold.commands.{command}")).get(command.capitalize()))
} | {
    "simulate emoji": simulate.Emoji,
    "simulate jets": simulate.Jets,
    "simulate notes": simulate.Notes,
    "simulate pendulum": simulate.Trajectories,
    "simulate speech": simulate.Speech,
}


@pytest.mark.parametrize("code", INLINE)
def test_flags_in_running_text_exist(code):
    """With a value some command takes them; a flag alone is known if it lacks but its value."""
    if re.match(r"--(resume|config|help|version)\b", code):
        return
    assert any(knows(command, code) for command in KINDS)


def knows(command, code):
    kind = KINDS[command]
    needs_recipe = command in {"pretrain", "preview", "semisupervise", "study"}
    made = [recipes.simclr(domain) for domain in DOMAINS]
    defaults = [kind(recipe=recipe) for recipe in made] if needs_recipe else [None]
    return any(reads(kind, code, default) for default in defaults)


def reads(kind, code, default):
    try:
        flags.parse(kind, shlex.split(code), prog="twofold", default=default)
    except TwofoldError as refusal:
        return f"{code} needs" in str(refusal)
    return True


@every_document
def test_links_within_the_repository_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not re.match(r"\w+:", target):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
