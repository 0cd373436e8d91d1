import numpy as np

from twofold.report.contact_sheet import contact_sheet
from twofold.report.hit_sheet import abridged, hit_sheet


def test_each_query_stands_beside_its_own_hits():
    rng = np.random.default_rng(0)
    queries = rng.integers(0, 256, (2, 3, 14, 14), dtype=np.uint8)
    hits = rng.integers(0, 256, (2, 3, 3, 28, 28), dtype=np.uint8)
    captions = [["a", "b", "c"], ["d", "e", "f"]]
    sheet = hit_sheet(queries, hits, captions, names=["one", "two"], title="Hits")
    expected = contact_sheet(
        queries,
        [hits[:, 0], hits[:, 1], hits[:, 2]],
        [["a", "d"], ["b", "e"], ["c", "f"]],
        headings=["query", "1", "2", "3"],
        names=["one", "two"],
        title="Hits",
    )
    assert np.array_equal(np.asarray(sheet), np.asarray(expected))


def test_dark_items_are_brightened_by_one_factor():
    """12 bits in 16: without a common scale they would be all but black."""
    queries = np.full((1, 1, 8, 8), 4095, np.uint16)
    hits = np.full((1, 1, 1, 8, 8), 2048, np.uint16)
    picture = hit_sheet(queries, hits, [["hit"]], names=["q"], title="Hits")
    sheet = np.asarray(picture.convert("L"))
    middle = np.flatnonzero(sheet[:, 120] == 255)  # of the query, which is white
    assert len(middle) > 150
    assert (sheet[middle[10:150], 300] == 128).all()  # half as bright


def test_names_keep_their_end():
    assert abridged("a" * 22) == "a" * 22
    assert abridged("photos/of/one/summer/1.jpg") == "…s/of/one/summer/1.jpg"
    assert len(abridged("b" * 100)) == 22
