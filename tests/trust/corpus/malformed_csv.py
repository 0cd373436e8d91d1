"""Tables beside a folder's files: rows that are missing, cells too many, text that is none."""

from pathlib import Path

from malformed import PREVIEW, Refused, png

_GROUPS = PREVIEW + " --group-key patient"
_TIMES = PREVIEW + " --time-key day"


def _csv(name: str, table: bytes | str, words: str, command: str = _GROUPS) -> Refused:
    held = table.encode("utf-8", "surrogateescape") if isinstance(table, str) else table

    def write(at: Path) -> None:
        folder = at / "images"
        folder.mkdir()
        for image in ("a.png", "b.png", "c.png"):
            (folder / image).write_bytes(png(8, 8, data=bytes(72)))
        (folder / "metadata.csv").write_bytes(held)

    return Refused(f"csv {name}", write, words, "images", command)


_ROWS = "a.png,1\nb.png,2\nc.png,3\n"

REFUSED = [
    _csv("of no bytes", "", "has no column 'path' .*it has none"),
    _csv("of line breaks", "\n\n\n", "has no column 'path'"),
    _csv("without a head", _ROWS, "has no column 'path' .*it has a.png, 1"),
    _csv(
        "without the column",
        "path,patients\n" + _ROWS,
        "unknown column of .*'patient'; did you mean 'patients'",
    ),
    _csv(
        "with the column twice",
        "path,patient,patient\na.png,1,2\nb.png,2,3\nc.png,3,4\n",
        "has two columns 'patient'; rename",
    ),
    _csv("without rows", "path,patient\n", "lists no file 'a.png', one of 3"),
    _csv(
        "without one image",
        "path,patient\na.png,1\nb.png,2\n",
        "lists no file 'c.png', one of 1 it leaves out; list",
    ),
    _csv(
        "with an image twice",
        "path,patient\na.png,1\n" + _ROWS,
        "lists 'a.png' again in line 3; list",
    ),
    _csv(
        "with a cell too few",
        "path,patient\na.png,1\nb.png\nc.png,3\n",
        "has no patient in line 3; fill it in",
    ),
    _csv(
        "with a cell too many",
        "path,patient\na.png,Smith, John\nb.png,2\nc.png,3\n",
        "more cells than columns in line 2; quote",
    ),
    _csv(
        "with an empty cell",
        "path,patient\na.png,\nb.png,2\nc.png,3\n",
        "has no patient in line 2; fill it in",
    ),
    _csv(
        "with an empty path",
        "path,patient\n,1\nb.png,2\nc.png,3\n",
        "has no path in line 2; fill it in",
    ),
    _csv("with an open quote", 'path,patient\n"a.png,1\nb.png,2\nc.png,3\n', "metadata.csv"),
    _csv("in UTF-16", ("path,patient\n" + _ROWS).encode("utf-16"), "has no column 'path'"),
    _csv("in bytes that are no text", b"path,patient\n\xff\xfe,1\n", "lists no file 'a.png'"),
    _csv("with zeros", b"path,patient\na.png,1\0\n\0\n", "metadata.csv"),
    _csv(
        "of one line of 1 MB",
        "path,patient\na.png," + "x" * 10**6 + "\n",
        "field larger than field limit",
    ),
    _csv(
        "with semicolons", "path;patient\na.png;1\n", "has no column 'path' .*it has path;patient"
    ),
    _csv(
        "with one group",
        "path,patient\na.png,1\nb.png,1\nc.png,1\n",
        "one group; a split needs at least two",
    ),
    _csv(
        "with words as times",
        "path,day\na.png,1\nb.png,now\nc.png,3\n",
        "day of .* is no number: .*'now'; give times as numbers",
        _TIMES,
    ),
    _csv(
        "with NaN as time",
        "path,day\na.png,1\nb.png,nan\nc.png,3\n",
        "NaN or infinity for 1 of 3 items",
        _TIMES,
    ),
    _csv(
        "with infinite times",
        "path,day\na.png,1e999\nb.png,2\nc.png,3\n",
        "NaN or infinity for 1 of 3 items",
        _TIMES,
    ),
    Refused(
        "csv that is a folder",
        lambda at: (
            (at / "images" / "metadata.csv").mkdir(parents=True),
            (at / "images" / "a.png").write_bytes(png(8, 8, data=bytes(72))),
            (at / "images" / "b.png").write_bytes(png(8, 8, data=bytes(72))),
        ),
        "cannot read .*metadata.csv",
        "images",
        _GROUPS,
    ),
    Refused(
        "csv that is missing",
        lambda at: (
            (at / "images").mkdir(),
            (at / "images" / "a.png").write_bytes(png(8, 8, data=bytes(72))),
            (at / "images" / "b.png").write_bytes(png(8, 8, data=bytes(72))),
        ),
        "metadata.csv' does not exist; it is the table",
        "images",
        _GROUPS,
    ),
]
"""Each beside three images."""
