import json
import os
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from twofold.domains.folders import FolderOptions
from twofold.domains.image import folder as folder_module
from twofold.domains.image import open_data
from twofold.domains.image.folder import open_folder
from twofold.errors import TwofoldError


def write(path, seed=0, shape=(16, 16, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def write_classes(root, classes=("cat", "dog"), count=10, **options):
    return {
        f"{name}/{i}.png": write(root / name / f"{i}.png", seed=100 * number + i, **options)
        for number, name in enumerate(classes)
        for i in range(count)
    }


def opened(root, image_size=None, **options):
    return open_folder(root, image_size, FolderOptions(**options))


def only(root, image_size=None, **options):
    (source,), _ = opened(root, image_size, **options)
    return source


@pytest.fixture
def no_decoding(monkeypatch):
    """From the call on, looking into any image fails the test."""

    def forbid():
        for name in ("decode", "read_header"):
            monkeypatch.setattr(folder_module, name, None)

    return forbid


def test_every_image_is_found_decoded_and_mapped(tmp_path):
    written = write_classes(tmp_path, ("b/deep/er", "ünï 日本"))
    write(tmp_path / "b" / "CAPITALS.PNG")
    source = only(tmp_path)
    assert isinstance(source.items, np.memmap)
    assert not source.items.flags.writeable
    assert source.name == tmp_path.name
    assert list(source.ids) == sorted([*written, "b/CAPITALS.PNG"])
    for id, pixels in written.items():
        assert np.array_equal(source.items[source.ids.index(id)], pixels.transpose(2, 0, 1))


def test_what_is_no_image_or_hidden_is_ignored(tmp_path):
    write_classes(tmp_path)
    write(tmp_path / ".hidden.png")
    write(tmp_path / "cat" / "._0.png")
    write(tmp_path / ".thumbnails" / "0.png")
    (tmp_path / "notes.txt").write_text("cats and dogs")
    (tmp_path / "Thumbs.db").write_bytes(b"\0" * 99)
    (tmp_path / "folder.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "cat" / "pipe.png")
    source = only(tmp_path)
    assert len(source) == 20
    assert source.skipped == ()


def test_loops_of_links_end_and_links_are_followed(tmp_path):
    root = tmp_path / "root"
    write_classes(root, ("cat",))
    write_classes(tmp_path / "elsewhere", ("dog",))
    (root / "cat" / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (root / "dog again").symlink_to(root / "dog")
    (root / "cat" / "link.png").symlink_to(root / "cat" / "3.png")
    source = only(root)
    assert len(source) == 21
    assert sum("dog" in id for id in source.ids) == 10


def test_classes_are_the_folders_that_hold_the_images(tmp_path):
    write_classes(tmp_path, ("x/cat", "x/dog", "y"))
    source = only(tmp_path)
    assert source.label_names == ("x/cat", "x/dog", "y")
    expected = [source.label_names.index(id.rpartition("/")[0]) for id in source.ids]
    assert source.labels.tolist() == expected


def test_one_folder_or_loose_images_give_no_labels(tmp_path):
    write_classes(tmp_path, ("cat",))
    (source,), notes = opened(tmp_path)
    assert source.labels is None
    assert notes == ()
    write(tmp_path / "dog" / "0.png")
    assert only(tmp_path).label_names == ("cat", "dog")
    write(tmp_path / "loose.png")
    (source,), notes = opened(tmp_path)
    assert source.labels is None
    assert notes == ("images outside the class folders, so no labels: 1",)


@pytest.mark.parametrize("test", ["test", "val", "Test"])
def test_train_and_test_folders_are_the_given_split(tmp_path, test):
    train = write_classes(tmp_path / "train", ("b", "c"))
    held_out = write_classes(tmp_path / test, ("a", "b"), count=3)
    (first, second), notes = opened(tmp_path)
    assert list(first.ids) == [f"train/{id}" for id in sorted(train)]
    assert list(second.ids) == [f"{test}/{id}" for id in sorted(held_out)]
    assert first.label_names == second.label_names == ("a", "b", "c")
    assert first.labels.tolist() == [1] * 10 + [2] * 10
    assert second.labels.tolist() == [0] * 3 + [1] * 3
    assert np.array_equal(second.items[4], held_out["b/1.png"].transpose(2, 0, 1))
    assert notes == ()


def test_what_lies_beside_a_given_split_is_mentioned(tmp_path):
    for name in ("train", "test", "val"):
        write_classes(tmp_path / name, count=4)
    (first, second), notes = opened(tmp_path)
    assert (len(first), len(second)) == (8, 8)
    assert all(id.startswith("test/") for id in second.ids)
    assert notes == ("images outside train/ and test/ not used: 8",)


def test_a_test_folder_without_classes_has_no_labels(tmp_path):
    write_classes(tmp_path / "train")
    write(tmp_path / "test" / "0.png")
    data = open_data(tmp_path)
    assert data.train.label_names == ("cat", "dog")
    assert data.test.labels is None
    assert "2 classes (test set: no labels)" in data.note


@pytest.mark.parametrize("side", [8, 256])
def test_images_of_one_square_size_keep_it(tmp_path, side):
    write_classes(tmp_path, count=2, shape=(side, side, 3))
    assert only(tmp_path).items.shape == (4, 3, side, side)
    assert only(tmp_path, 10).items.shape == (4, 3, 10, 10)


@pytest.mark.parametrize("shape", [(257, 257), (20, 30)])
def test_other_images_are_scaled_to_96(tmp_path, shape):
    write_classes(tmp_path, count=2, shape=shape)
    for _ in range(2):
        (source,), notes = opened(tmp_path)
        assert source.items.shape == (4, 1, 96, 96)
        assert notes == ("scaled to 96 px: 4",)
    write_classes(tmp_path, count=1, shape=(96, 96))
    assert only(tmp_path).height == 96


def test_one_deep_or_colourful_image_decides_for_all(tmp_path):
    grey = write_classes(tmp_path, shape=(16, 16))
    assert only(tmp_path).items.shape == (20, 1, 16, 16)
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "cat" / "deep.tif", deep)
    source = only(tmp_path)
    assert source.items.dtype == np.uint16
    assert np.array_equal(source.items[source.ids.index("cat/deep.tif"), 0], deep)
    assert np.array_equal(source.items[source.ids.index("cat/3.png"), 0], grey["cat/3.png"] * 257.0)
    write(tmp_path / "dog" / "colour.png")
    assert only(tmp_path).channels == 3


def test_images_of_many_channels_need_the_same_number(tmp_path):
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 5), dtype=np.uint8)
        tifffile.imwrite(
            tmp_path / f"{i}.tif", pixels, photometric="minisblack", planarconfig="contig"
        )
    source = only(tmp_path)
    assert source.items.shape == (3, 5, 16, 16)
    assert np.array_equal(source.items[2], pixels.transpose(2, 0, 1))
    write(tmp_path / "colour.png")
    with pytest.raises(TwofoldError, match=r"'colour.png' has 3, '\d.tif' has 5"):
        only(tmp_path)


def test_unreadable_files_are_skipped_and_listed(tmp_path):
    written = write_classes(tmp_path, count=30)
    whole = (tmp_path / "cat" / "7.png").read_bytes()
    (tmp_path / "cat" / "7.png").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "dog" / "half.jpg", shape=(200, 200, 3))
    photo = (tmp_path / "dog" / "half.jpg").read_bytes()
    (tmp_path / "dog" / "half.jpg").write_bytes(photo[: len(photo) // 2])
    (tmp_path / "dog" / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere")
    for _ in range(2):  # the second time from the cache
        source = only(tmp_path, 16, max_bad=0.1)
        skipped = dict(source.skipped)
        assert skipped.keys() == {"cat/7.png", "dog/half.jpg", "dog/page.jpg", "dog/gone.png"}
        assert skipped["dog/gone.png"] == "No such file or directory"
        assert skipped["dog/page.jpg"] == "not an image"
        assert "truncated" in skipped["dog/half.jpg"]
        assert len(source) == 59
        for id, pixels in written.items():
            if id not in skipped:
                found = source.items[source.ids.index(id)]
                assert np.array_equal(found, pixels.transpose(2, 0, 1))
    note = open_data(tmp_path, image_size=16, max_bad=0.1).note
    assert note.endswith("unreadable files left out: 4")


def test_too_many_unreadable_files_are_an_error(tmp_path):
    write_classes(tmp_path)
    for i in range(4):
        (tmp_path / "cat" / f"bad{i}.png").write_text("")
    with pytest.raises(
        TwofoldError, match=r"4 of 24 images in .*, more than max_bad=0.05"
    ) as error:
        only(tmp_path)
    assert str(error.value).count("not an image") == 3
    assert "\n" not in str(error.value)
    only(tmp_path, max_bad=0.5)
    with pytest.raises(TwofoldError, match="more than max_bad=0"):  # the cache excuses nothing
        only(tmp_path, max_bad=0)


def test_images_that_all_fail_are_an_error_whatever_max_bad(tmp_path):
    (tmp_path / "a.png").write_text("")
    with pytest.raises(TwofoldError, match=r"no image in folder .* a.png \(not an image\)"):
        only(tmp_path, max_bad=1)


def test_a_part_that_fails_is_an_error(tmp_path):
    write_classes(tmp_path / "train")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.png").write_text("")
    with pytest.raises(TwofoldError, match="test' holds no readable image"):
        only(tmp_path, max_bad=0.5)


def test_doubtful_files_give_no_warnings(tmp_path):
    """Pillow warns of this palette; warnings are errors here."""
    write_classes(tmp_path)
    image = Image.fromarray(write(tmp_path / "a.png")).quantize(8)
    image.save(tmp_path / "a.png", transparency=bytes(range(8)))
    assert only(tmp_path).skipped == ()


def test_the_second_time_no_file_is_decoded(tmp_path, cache, no_decoding):
    write_classes(tmp_path)
    first = only(tmp_path)
    no_decoding()
    second = only(tmp_path)
    assert second.fingerprint() == first.fingerprint()
    assert second.ids == first.ids
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("change", ["touch", "rewrite", "add", "remove", "rename", "size"])
def test_any_change_decodes_again(tmp_path, change, no_decoding):
    write_classes(tmp_path)
    before = only(tmp_path)
    path, size = tmp_path / "cat" / "0.png", None
    if change == "touch":
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    elif change == "rewrite":
        write(path, seed=999)
    elif change == "add":
        write(tmp_path / "cat" / "new.png")
    elif change == "remove":
        path.unlink()
    elif change == "rename":
        path.rename(path.with_name("other.png"))
    elif change == "size":
        size = 8
    after = only(tmp_path, size)
    same = after.fingerprint() == before.fingerprint() and after.ids == before.ids
    assert same == (change == "touch")
    no_decoding()
    assert only(tmp_path, size).ids == after.ids


def test_two_folders_that_look_alike_do_not_share_a_cache(tmp_path):
    for i, name in enumerate("ab"):
        for j in range(4):
            path = tmp_path / name / f"{j}.bmp"  # of one length whatever the pixels
            write(path, seed=10 * i + j)
            os.utime(path, ns=(0, 0))
    assert only(tmp_path / "a").fingerprint() != only(tmp_path / "b").fingerprint()


def test_a_failed_build_leaves_no_cache(tmp_path, cache, monkeypatch):
    write_classes(tmp_path)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder_module, "_write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        only(tmp_path)
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_is_told(tmp_path, cache):
    write_classes(tmp_path)
    only(tmp_path)
    (stored,) = cache.iterdir()
    (stored / "items.npy").write_bytes((stored / "items.npy").read_bytes()[:-5])
    with pytest.raises(TwofoldError, match=r"the cache '.*' is damaged \(.*\); delete it"):
        only(tmp_path)


def test_the_cache_may_be_elsewhere(tmp_path, cache):
    write_classes(tmp_path / "data")
    only(tmp_path / "data", cache=tmp_path / "mine")
    assert list(cache.iterdir()) == []
    (stored,) = (tmp_path / "mine").iterdir()
    assert np.load(stored / "items.npy").shape == (20, 3, 16, 16)
    assert len(json.loads((stored / "index.json").read_text())["ids"]) == 20


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_unicode(tmp_path):
    write_classes(tmp_path, count=2)
    os.rename(tmp_path / "cat" / "0.png", os.fsencode(tmp_path) + b"/cat/\xff.png")
    for _ in range(2):
        source = only(tmp_path)
        assert source.ids[1] == "cat/\udcff.png"
        assert source.fingerprint()


def test_an_empty_folder_and_one_of_other_files(tmp_path):
    with pytest.raises(TwofoldError, match=r"holds no .jpg, .*; it is empty"):
        only(tmp_path)
    (tmp_path / "a.npy").write_text("")
    (tmp_path / "b.npy").write_text("")
    (tmp_path / "c.csv").write_text("")
    with pytest.raises(TwofoldError, match=r"only 3 others such as .npy, .csv"):
        only(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do all")
def test_a_folder_that_cannot_be_listed(tmp_path):
    write_classes(tmp_path)
    (tmp_path / "dog").chmod(0)
    with pytest.raises(TwofoldError, match=r"cannot list folder '.*dog': Permission denied"):
        only(tmp_path)
    (tmp_path / "dog").chmod(0o700)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers is 0; it must be at least 1"),
        ({"max_bad": 1.5}, r"max_bad is 1.5; .* in \[0, 1\]"),
        ({"max_bad": -1}, "max_bad is -1"),
        ({"image_size": 0}, "image_size is 0; it must be at least 1"),
    ],
)
def test_options_are_checked(tmp_path, options, message):
    write_classes(tmp_path, count=1)
    with pytest.raises(TwofoldError, match=message):
        open_data(tmp_path, **options)
