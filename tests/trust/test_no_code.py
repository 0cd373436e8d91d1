"""No code from data: nothing is unpickled, built from a string, or written outside its folder.

What strangers hand over, configurations, checkpoints, caches, packages, names of files, is read as
plain values, and the page of a run treats every name as text.
"""

import ast
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import twofold
from twofold.cli import main
from twofold.config import Config
from twofold.encoder import load
from twofold.plain import PlainLoader
from twofold.recipes import simclr
from twofold.studies.plan import Plan, _Values, parse_grid

ROOT = Path(__file__).parents[2]
FILES = sorted(p for part in ("src", "benchmarks", "scripts") for p in (ROOT / part).rglob("*.py"))

NEVER = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "pdb", "code"}
"""Modules that run what they read, or wait for someone to type."""
BUILTINS = {"eval", "exec", "compile", "__import__"}
SAFE = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
"""Calls that can unpickle, and the argument that keeps them from it."""
UNSAFE_YAML = {"load", "load_all", "full_load", "unsafe_load", "unsafe_load_all", "full_load_all"}
LOADERS = {ROOT / "src/twofold/plain.py"}
"""Where YAML is parsed, by a subclass of the safe loader."""


def spelled(node):
    """A dotted name as written; blank if it is something else."""
    if isinstance(node, ast.Attribute):
        above = spelled(node.value)
        return f"{above}.{node.attr}" if above else ""
    return node.id if isinstance(node, ast.Name) else ""


def dangers(source, *, loads_yaml=False):
    """Every place in a file's source that could run what is read."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            for name in [module, *(alias.name for alias in node.names)]:
                if name.split(".")[0] in NEVER:
                    yield f"line {node.lineno}: import of {name}"
        if not isinstance(node, ast.Call):
            continue
        name = spelled(node.func)
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in BUILTINS or name in {"os.system", "os.popen", "torch.hub.load"}:
            yield f"line {node.lineno}: {name}()"
        if (
            name.startswith("yaml.")
            and name.removeprefix("yaml.") in UNSAFE_YAML
            and not loads_yaml
        ):
            yield f"line {node.lineno}: {name}()"
        if name.endswith((".extractall", ".extract", ".unpack_archive")):
            yield f"line {node.lineno}: {name}() writes where an archive says"
        if isinstance(given.get("shell"), ast.Constant) and given["shell"].value:
            yield f"line {node.lineno}: a shell"
        argument, safe = SAFE.get(name, (None, None))
        value = getattr(given.get(argument), "value", None)
        if name == "torch.load" and value is not safe:
            yield f"line {node.lineno}: torch.load() without weights_only=True"
        if argument == "allow_pickle" and value not in (None, safe):
            yield f"line {node.lineno}: {name}(allow_pickle={value})"
        if name.split(".")[-1] == "NpzFile" and value_of(given, "allow_pickle") is not False:
            yield f"line {node.lineno}: NpzFile() without allow_pickle=False"


def value_of(given, name):
    return getattr(given.get(name), "value", None)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_runs_what_it_reads(path):
    assert list(dangers(path.read_text(), loads_yaml=path in LOADERS)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy\nnumpy.load(path, allow_pickle=True)",
        "NpzFile(file)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import yaml\nyaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "import os\nos.system(text)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "archive.extractall(folder)",
    ],
)
def test_whatever_could_would_be_found(code):
    assert len(list(dangers(code))) == 1


def test_the_yaml_loader_is_a_safe_one():
    for loader in (PlainLoader, _Values):
        assert issubclass(loader, yaml.SafeLoader)
        assert loader.yaml_constructors == yaml.SafeLoader.yaml_constructors
        assert loader.yaml_multi_constructors == yaml.SafeLoader.yaml_multi_constructors


def test_modules_imported_by_name_are_named_in_the_source():
    """No text from a file says which module is imported."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and spelled(node.func).endswith("import_module")
            if called and not isinstance(node.args[0], ast.Constant):
                found.setdefault(path.relative_to(ROOT / "src/twofold").as_posix(), node.lineno)
    # a command of COMMANDS; a domain's own name; of a literal tuple; of a literal table
    assert found.keys() <= {
        "cli.py",
        "domains/audio/decode.py",
        "domains/domain.py",
        "embeddings/extras.py",
        "interchange/libraries.py",
    }


def test_every_dependency_has_a_true_lower_bound():
    """None is taken in any version; an upper bound is there only where one is known to break."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for line in [*project["dependencies"], *(one for extra in extras for one in extra)]:
        if line.startswith(("twofold[", "types-")):
            continue
        assert re.fullmatch(r"[\w.-]+(\[\w+\])?>=[\d.]+(,<[\d.]+)?", line), line
    bounded = {line.split(">")[0] for line in project["dependencies"] if "<" in line}
    assert bounded == set()


@pytest.mark.parametrize("value", ["../../up", "/etc/passwd", "a/b", "..", "a\\b", "~", "\n"])
def test_a_study_makes_no_folder_outside_its_own(value):
    plan = Plan(grid={"data": (value, "digits")}, whole=Config(recipe=simclr()))
    for combination in plan.combinations:
        assert Path(combination.name).name == combination.name
        assert not {"/", "\\", "\n", "~"} & set(combination.name)
        assert combination.name.startswith("data=")


def test_values_of_a_grid_are_plain():
    with pytest.raises(twofold.TwofoldError, match="no YAML"):
        parse_grid(["epochs=!!python/object/apply:os.system [true]"])


# What a stranger may call things: text in a page, a terminal and a table.
HOSTILE = "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "{{ 7*7 }}", "'-alert(3)-'"


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.policy, self.scripts = "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        said = dict(attrs)
        if tag == "meta" and said.get("http-equiv") == "Content-Security-Policy":
            assert self.tags[:3] == ["html", "head", "meta"], "the policy comes too late"
            self.policy = said["content"]
        if tag == "script":
            self.scripts.append(said.get("type", "text/javascript"))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A run on a folder whose classes, files and own name would be markup."""
    folder = tmp_path_factory.mktemp("stranger")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    for number, image in enumerate(pixels):
        kind = HOSTILE[number % len(HOSTILE)].replace("/", "\u2215")
        place = folder / "images<b>" / kind
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f'{number}"><svg onload=alert(4)>.png')
    (folder / "images<b>" / "bad\n\t\x1b[2J<i>.png").write_bytes(b"")
    out = folder / "run<u>"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWOFOLD_CACHE", str(folder / "cache"))
        small = {"encoder": "resnet-small", "width": 0.25, "threads": 1, "batch_size": 16}
        run = twofold.pretrain("simclr", data=folder / "images<b>", out=out, epochs=1, **small)
        run.evaluate(quiet=True)
        yield run.folder


def test_a_page_takes_every_name_for_text(stranger, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", str(stranger)])
    assert ended.value.code == 0
    page = Page()
    text = (stranger / "report.html").read_text()
    page.feed(text)
    # what is run is the page's own script; points of the map are data
    assert page.scripts.count("text/javascript") <= 1
    assert set(page.scripts) <= {"text/javascript", "application/json"}
    assert not {"iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in {"src", "href", "xlink:href", "action", "data", "srcset"}:
            assert value.startswith(("#", "data:image/")), (tag, name, value[:60])
        assert "javascript:" not in value.lower()
    shown = "".join(page.text)
    assert "alert(1)" in shown, "the class is shown"
    assert "{{ 7*7 }}" in shown, "it is no template"


def test_a_page_loads_nothing_from_elsewhere(stranger):
    main_page = stranger / "report.html"
    if not main_page.exists():
        with pytest.raises(SystemExit):
            main(["report", str(stranger)])
    text, page = main_page.read_text(), Page()
    page.feed(text)
    policy = dict(rule.strip().partition(" ")[::2] for rule in page.policy.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert "'unsafe-inline'" not in policy["script-src"], "any script could run"
    assert re.fullmatch(r"'none'|'sha256-[\w+/]+='", policy["script-src"])
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert not re.search(r"@import|url\((?![\"']?(data:|#|\$\{))", text)


def test_files_that_were_left_out_are_listed_in_a_line_each(stranger):
    lines = (stranger / "skipped.tsv").read_text().splitlines()
    assert lines == ["bad\\n\\t\\x1b[2J<i>.png\tnot an image"]


def test_an_encoder_fetches_nothing_whoever_wrote_it(stranger, monkeypatch):
    """A specification that asks for published weights gets those of its own file."""
    from twofold import encoder
    from twofold.checkpoint import load_tensors, save_tensors

    path = stranger / "encoder.safetensors"
    tensors, facts = load_tensors(path)
    facts["spec"]["pretrained"] = True
    save_tensors(path, tensors, facts)
    asked = []
    build = encoder.build_encoder
    monkeypatch.setattr(
        encoder, "build_encoder", lambda *args, **how: asked.append(how) or build(*args, **how)
    )
    load(stranger)
    assert asked
    assert not any(how.get("pretrained") for how in asked)
