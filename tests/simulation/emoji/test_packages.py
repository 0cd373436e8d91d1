"""Packages of icon sets."""

import os
import shutil
import sys
from hashlib import sha256

import pytest

from twofold.errors import TwofoldError
from twofold.simulation.emoji import packages
from twofold.simulation.emoji.packages import fetch_packages, find_packages, read_package
from twofold.simulation.emoji.sets import SETS, Pinned


def test_a_package_is_read_with_all_names_of_a_drawing(three_sets):
    noto, openmoji = (
        read_package(path) for path in find_packages(three_sets, ["noto", "openmoji"])
    )
    assert (noto.name, noto.version, noto.licence, noto.author) == (
        "noto",
        "1.0.0",
        "MIT",
        "noto's artist",
    )
    heart, *_ = noto.drawings
    assert (heart.name, heart.others, heart.category) == ("heart", ("U+2764",), "Symbols")
    assert {drawing.name: drawing.others for drawing in openmoji.drawings} == {
        "heavy-heart": ("U+2764",),  # its mirror image is another drawing
        "man-artist": (),
        "sun": ("star",),
    }
    assert all(not drawing.category for drawing in openmoji.drawings)


def test_what_an_artist_hides_is_not_read(tmp_path, pack_set):
    icons = {"now": "<g/>", "before": {"body": "<g/>", "hidden": True}}
    found = read_package(pack_set(tmp_path, "toy", icons, aliases={"old": {"parent": "before"}}))
    assert [drawing.name for drawing in found.drawings] == ["now"]


def test_a_drawing_says_its_place_before_its_set_does(tmp_path, pack_set):
    path = pack_set(tmp_path, "toy", {"wide": {"body": "<g/>", "width": 32, "left": -2}})
    (drawing,) = read_package(path).drawings
    assert 'viewBox="-2 0 32 16"' in drawing.svg


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b"no package"),
        lambda path: path.write_bytes(b""),
    ],
)
def test_a_damaged_package_is_told_in_one_line(tmp_path, pack_set, damage):
    path = pack_set(tmp_path, "toy", {"a": "<g/>"})
    damage(path)
    with pytest.raises(TwofoldError, match="is damaged or no package of icons") as caught:
        read_package(path)
    assert "\n" not in str(caught.value)


def test_a_package_of_something_else_is_told(tmp_path, pack_set):
    path = pack_set(tmp_path, "toy", {"a": {"width": 3}})
    with pytest.raises(TwofoldError, match=r"damaged or no package of icons \('body'\)"):
        read_package(path)


def test_packages_of_a_folder_come_in_the_known_order(three_sets):
    found = [path.name.split("-")[2] for path in find_packages(three_sets)]
    assert found == ["noto", "openmoji", "toy"]
    chosen = find_packages(three_sets, ["toy", "noto"])
    assert [path.name.split("-")[2] for path in chosen] == ["toy", "noto"]


def test_a_folder_without_the_set_says_which_it_has(three_sets, tmp_path):
    with pytest.raises(TwofoldError, match="unknown set 'notto'; did you mean 'noto'"):
        find_packages(three_sets, ["notto"])
    with pytest.raises(TwofoldError, match="there is no such folder"):
        find_packages(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TwofoldError, match=r"holds no \.tgz; fetch one there"):
        find_packages(tmp_path / "empty")


def test_two_versions_of_a_set_are_refused(three_sets, pack_set):
    pack_set(three_sets, "noto", {"a": "<g/>"}, version="2.0.0")
    with pytest.raises(TwofoldError, match=r"several packages of noto: .*2\.0\.0\.tgz"):
        find_packages(three_sets)


def test_all_pins_are_whole():
    assert len({pinned.sha256 for pinned in SETS.values()}) == len(SETS) == 7
    for pinned in SETS.values():
        assert len(bytes.fromhex(pinned.sha256)) == 32
        assert len(pinned.version.split(".")) == 3


@pytest.fixture
def npm(tmp_path, monkeypatch, pack_set):
    """An npm that hands out one toy set, and notes what it is asked for."""
    shelf = pack_set(tmp_path / "shelf", "toy", {"a": "<g/>"})
    digest = sha256(shelf.read_bytes()).hexdigest()
    monkeypatch.setattr(packages, "SETS", {"toy": Pinned("1.0.0", digest)})
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(then):
        program = folder / "npm"
        program.write_text(
            f"#!{sys.executable}\nimport shutil, sys\n"
            f"open({str(folder / 'asked')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n{then}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder / "asked"

    install.give = f"shutil.copy({str(shelf)!r}, '.')"
    return install


def test_a_package_is_fetched_once_and_kept(npm, tmp_path):
    asked = npm(npm.give)
    for _ in range(2):
        (path,) = fetch_packages(["toy"], tmp_path / "cache")
    assert read_package(path).name == "toy"
    (line,) = asked.read_text().splitlines()
    assert line == (
        "pack --ignore-scripts --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000 "
        "--fetch-retry-maxtimeout=3000 --fetch-timeout=60000 @iconify-json/toy@1.0.0"
    )
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_package_that_was_damaged_in_the_cache_is_fetched_again(npm, tmp_path):
    asked = npm(npm.give)
    (path,) = fetch_packages(["toy"], tmp_path / "cache")
    path.write_bytes(b"damaged")
    assert fetch_packages(["toy"], tmp_path / "cache") == [path]
    assert read_package(path).name == "toy"
    assert len(asked.read_text().splitlines()) == 2


def test_another_package_than_the_pinned_one_is_refused(npm, tmp_path):
    npm("open('iconify-json-toy-1.0.0.tgz', 'w').write('something else')")
    with pytest.raises(TwofoldError, match=r"the package of toy 1\.0\.0 has SHA-256 \w{12}, not"):
        fetch_packages(["toy"], tmp_path / "cache")
    assert not list((tmp_path / "cache" / "simulate" / "emoji").iterdir())


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("sys.exit('npm error code X\\nnpm error errno X\\nnpm error no way')", r"\(no way\)"),
        ("sys.exit(7)", r"\(status 7\)"),
    ],
)
def test_what_npm_says_is_told_in_one_line(npm, tmp_path, then, reason):
    npm(then)
    with pytest.raises(
        TwofoldError, match=f"npm cannot fetch toy {reason}; .*--packages"
    ) as caught:
        fetch_packages(["toy"], tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_an_npm_that_never_ends_is_left(npm, tmp_path, monkeypatch):
    npm("import time; time.sleep(60)")
    monkeypatch.setattr(packages, "_PATIENCE", 0.2)
    with pytest.raises(TwofoldError, match=r"npm has not fetched toy in 0\.2 s"):
        fetch_packages(["toy"], tmp_path / "cache")


def test_without_npm_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(TwofoldError, match="npm, which fetches the drawings, is not found"):
        fetch_packages(["noto"], tmp_path)


def test_an_unknown_set_is_told_before_anything_is_fetched(tmp_path):
    with pytest.raises(TwofoldError, match="unknown set 'notto'; did you mean 'noto'"):
        fetch_packages(["notto"], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
