"""The contact sheet: items beside their views, with what was drawn printed under each view."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from twofold.domains.names import domain_by_name
from twofold.errors import TwofoldError
from twofold.report.pictures import Scale, displayable, scale_of

if TYPE_CHECKING:
    from twofold.augment import Views
    from twofold.domains import Data, Source
    from twofold.positives import Groups
    from twofold.preprocess import Preprocess

_CELL = 168
_MARGIN, _GAP = 40, 20
_TITLE, _BODY, _CAPTION = 22, 13, 12
_PAPER, _INK, _MUTED, _FRAME = (250, 250, 248), (28, 30, 33), (92, 98, 106), (206, 208, 210)


def contact_sheet(
    originals: np.ndarray,
    views: Sequence[np.ndarray],
    captions: Sequence[Sequence[str]],
    *,
    headings: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    title: str = "",
    notes: Sequence[str] = (),
    scale: Scale | None = None,
) -> Image.Image:
    """Rows of items, each with its views and what was drawn for them.

    Small images are enlarged by a whole factor without smoothing, so that pixels stay visible.

    Args:
        originals: Items `(n, channels, height, width)`, uint8 or floats in [0, 1].
        views: One array `(n, channels, height, width)` per column.
        captions: `captions[column][row]`, the text under each view; parts that belong together
            are separated by two blanks.
        headings: One per column, the column of originals first.
        names: One per row, printed under the original.
        title: Printed above the sheet; nothing if empty.
        notes: Sentences printed below the title.
        scale: Values that are black and white in all pictures; those of the type if None.

    Returns:
        The sheet as an RGB image.

    Raises:
        TwofoldError: If the numbers of rows or columns do not agree.

    Example:
        >>> items = np.zeros((2, 1, 28, 28), np.uint8)
        >>> sheet = contact_sheet(items, [items], [["crop 43 %", "crop 9 %  flip"]])
        >>> sheet.mode, sheet.width
        ('RGB', 436)
    """
    _check(originals, views, captions, headings, names)
    columns = [displayable(np.asarray(items), scale) for items in (originals, *views)]
    texts = [list(names or [""] * len(originals)), *map(list, captions)]
    width = 2 * _MARGIN + len(columns) * _CELL + (len(columns) - 1) * _GAP
    head = _header(title, notes, headings, width)
    rows = [
        _row([_enlarged(column[i]) for column in columns], [text[i] for text in texts], width)
        for i in range(len(originals))
    ]
    sheet = Image.new("RGB", (width, head.height + sum(r.height for r in rows) + _GAP), _PAPER)
    top = 0
    for part in (head, *rows):
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def preview(
    data: Data | Source,
    views: Views,
    out: str | Path,
    *,
    rows: int = 6,
    epochs: int = 2,
    seed: int = 0,
    preprocess: Preprocess | None = None,
    groups: Groups | None = None,
) -> Path:
    """Draw what training would see, before paying for it, and write it as a PNG.

    Each row is an item as stored and its views, drawn as training draws them; where positives are
    by group, a group: one of its items as stored, and views of others, whose ids are given.

    Args:
        data: Where the items come from; of a data set its training part.
        views: The views to look at.
        out: Where to write the image.
        rows: How many items, taken across the classes where labels are known.
        epochs: How many epochs to show; each adds one column per view.
        seed: Which items are shown.
        preprocess: The scale that views are made on; that of the domain's default input if None.
        groups: Groups whose items are positives of each other.

    Returns:
        The path that was written.

    Raises:
        TwofoldError: If `rows` or `epochs` is below 1.
    """
    if rows < 1 or epochs < 1:
        raise TwofoldError(f"a preview needs rows and epochs of at least 1; got {rows}, {epochs}")
    from twofold.domains import Source

    source = data if isinstance(data, Source) else data.train
    index, names = chosen(source, rows, seed=seed, groups=groups)
    unit, columns, captions, headings = rendered(source, views, index, epochs, preprocess, groups)
    scale = scale_of(unit, 0, 1, domain=source.domain)
    sheet = contact_sheet(
        unit,
        columns,
        captions,
        headings=headings,
        names=names,
        title=f"What training sees of {source.name}",
        notes=[*prescription_lines(views), *filter(None, [scale.note])],
        scale=scale,
    )
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, format="PNG")
    return out


def chosen(
    source: Source, count: int, *, seed: int, groups: Groups | None = None
) -> tuple[np.ndarray, list[str]]:
    """Which items to show, in turn from every class, or which groups; and what to call each."""
    if groups is not None:
        index = spread(None, len(groups), count, seed=seed)
        return index, [f"group {name}" for name in groups.names[index]]
    index = spread(source.labels, len(source), count, seed=seed)
    return index, item_names(source, index)


def rendered(
    source: Source,
    views: Views,
    index: np.ndarray,
    epochs: int,
    preprocess: Preprocess | None,
    groups: Groups | None = None,
) -> tuple[np.ndarray, list[np.ndarray], list[list[str]], list[str]]:
    """Items on the scale of views, their views by epoch, captions and headings, by column.

    Where `index` are groups, the items are those of their first views, and captions begin with ids.
    """
    from twofold.positives import read

    if preprocess is None:
        preprocess = domain_by_name(source.domain).tools.measure(source.items)
    first = index if groups is None else groups.members(index, 0)[:, 0]
    unit = preprocess.unit(source.items[first])
    columns, captions, headings = [], [], ["stored"]
    for epoch in range(epochs):
        shown = index if groups is None else groups.members(index, epoch)
        stored = read(source.items, shown, preprocess, seed=views.seed, epoch=epoch)
        images, draws = views(stored, shown, epoch)
        for number, (image, draw) in enumerate(zip(images, draws, strict=True), start=1):
            columns.append(image.numpy())
            words = [views.describe(draw, i) for i in range(len(index))]
            if groups is not None:
                words = [
                    [source.ids[item[number - 1]], *text]
                    for item, text in zip(shown, words, strict=True)
                ]
            captions.append(["  ".join(text) for text in words])
            headings.append(f"epoch {epoch + 1}, view {number}")
    return unit.numpy(), columns, captions, headings


def spread(labels: np.ndarray | None, size: int, count: int, *, seed: int) -> np.ndarray:
    """Positions of `count` of `size` items, drawn at random but in turn from every class.

    Example:
        >>> labels = np.array([0] * 90 + [1] * 10)
        >>> labels[spread(labels, 100, 4, seed=0)].tolist()
        [0, 1, 0, 1]
    """
    order = np.random.default_rng(seed).permutation(size)
    if labels is None:
        return order[:count]
    shuffled = np.asarray(labels)[order]
    turn = np.zeros(size, np.int64)
    for label in np.unique(shuffled):
        members = shuffled == label
        turn[members] = np.arange(members.sum())
    return order[np.lexsort((shuffled, turn))][:count]


def item_names(source: Source, index: np.ndarray) -> list[str]:
    """What to call each item: its class where that is known, else its id."""
    if source.labels is None:
        return [str(source.ids[int(i)]) for i in index]
    return [label_name(source, int(source.labels[int(i)])) for i in index]


def label_name(source: Source, label: int) -> str:
    """The name of a class, or its number where it has none."""
    named = 0 <= label < len(source.label_names)
    return str(source.label_names[label]) if named else f"class {label}"


def prescription_lines(views: Views) -> list[str]:
    """One line per word of the prescription, and one for what these images have no use for."""
    by_word: dict[str, list[str]] = {}
    for name, word in views.prescription.items():
        if word != "off":
            idle = f"without effect on items of {views.channels} channel"
            idle += "s" if views.channels != 1 else ""
            key = word if name in views.augmentations else idle
            by_word.setdefault(key, []).append(name.replace("_", " "))
    return [f"{word}: {', '.join(names)}" for word, names in by_word.items()]


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Pillow's own font has no × and no Greek."""
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def _check(
    originals: np.ndarray,
    views: Sequence[np.ndarray],
    captions: Sequence[Sequence[str]],
    headings: Sequence[str] | None,
    names: Sequence[str] | None,
) -> None:
    rows = len(originals)
    if rows == 0:
        raise TwofoldError("a contact sheet needs at least one item; got none")
    if len(captions) != len(views):
        raise TwofoldError(f"{len(views)} views need as many captions; got {len(captions)}")
    lengths = [len(part) for part in (*views, *captions, *([names] if names else []))]
    if set(lengths) - {rows}:
        raise TwofoldError(f"every view and caption needs {rows} rows; got {lengths}")
    if headings is not None and len(headings) != len(views) + 1:
        raise TwofoldError(f"{len(views) + 1} columns need as many headings; got {len(headings)}")


def _enlarged(picture: np.ndarray) -> Image.Image:
    """A picture that fills a cell: whole factors for small images, smooth shrinking for large."""
    image = Image.fromarray(picture).convert("RGB")
    longest = max(image.size)
    if longest > _CELL:
        image.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS)
        return image
    factor = _CELL // longest
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _header(
    title: str, notes: Sequence[str], headings: Sequence[str] | None, width: int
) -> Image.Image:
    lines = [(title, _TITLE, _INK)] if title else []
    for note in notes:
        wrapped = _wrapped(note, _BODY, width - 2 * _MARGIN, separator=" ")
        lines += [(line, _BODY, _MUTED) for line in wrapped]
    height = _MARGIN + sum(round(1.5 * size) for _, size, _ in lines)
    height += (_GAP if lines else 0) + (_BODY + 12 if headings else 0)
    head = Image.new("RGB", (width, height), _PAPER)
    pen, top = ImageDraw.Draw(head), _MARGIN
    for text, size, colour in lines:
        pen.text((_MARGIN, top), text, colour, _font(size))
        top += round(1.5 * size)
    for column, heading in enumerate(headings or []):
        left = _MARGIN + column * (_CELL + _GAP)
        pen.text((left, height - _BODY - 10), heading, _INK, _font(_BODY))
    return head


def _row(pictures: Sequence[Image.Image], texts: Sequence[str], width: int) -> Image.Image:
    lines = [_wrapped(text, _CAPTION, _CELL) for text in texts]
    line_height = round(1.35 * _CAPTION)
    tallest = max(picture.height for picture in pictures)
    height = tallest + 8 + line_height * max(map(len, lines)) + _GAP
    row = Image.new("RGB", (width, height), _PAPER)
    pen, font = ImageDraw.Draw(row), _font(_CAPTION)
    for column, (picture, caption) in enumerate(zip(pictures, lines, strict=True)):
        left = _MARGIN + column * (_CELL + _GAP)
        row.paste(picture, (left, 0))
        pen.rectangle((left, 0, left + picture.width - 1, picture.height - 1), outline=_FRAME)
        for number, line in enumerate(caption):
            colour = _INK if column == 0 else _MUTED
            pen.text((left, tallest + 8 + number * line_height), line, colour, font)
    return row


def _wrapped(text: str, size: int, width: int, *, separator: str = "  ") -> list[str]:
    """Text in lines of at most `width` pixels, broken between parts, inside one if it must be."""
    font, lines = _font(size), [""]
    for part in filter(None, text.split(separator)):
        joined = f"{lines[-1]}{separator}{part}" if lines[-1] else part
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        if separator != " " and font.getlength(part) > width:
            lines[-1:] = _wrapped(part, size, width, separator=" ")
        else:
            lines[-1] = part
    return lines
