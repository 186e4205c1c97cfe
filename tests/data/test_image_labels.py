"""``labels.csv``: what it may say, and one line for each mistake."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tiny import save

from omniconv.data.layouts.dataset_folder import find_splits
from omniconv.data.layouts.image_labels import EXPECTED, UNKNOWN, has_image_labels, scan_image_labels
from omniconv.errors import FileError

TABLE = "image,cat,dog\na.png,1,0\nb.png,,1.0\n"


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b", "images/c"):
        save(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    return tmp_path


def write(root, text, encoding="utf-8"):
    (root / "labels.csv").write_text(text, encoding=encoding)
    return root


def labels(folder):
    return {sample.image.name: sample.target for sample in folder.samples}


def test_a_column_for_each_class(root):
    folder = scan_image_labels(write(root, TABLE), ())
    assert folder.classes == ("cat", "dog")
    assert labels(folder) == {"a.png": (1, 0), "b.png": (UNKNOWN, 1)}
    assert folder.skipped == ((root / "images/c.png", "is not in labels.csv"),)
    assert has_image_labels(root)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_list_of_classes(root, encoding):
    text = 'Image,labels\r\nb.png,"dog; cat"\r\nimages/c.png,\r\n\r\na.png,bird\r\n'
    folder = scan_image_labels(write(root, text, encoding), ())
    assert folder.classes == ("bird", "cat", "dog")
    assert labels(folder) == {"a.png": (1, 0, 0), "b.png": (0, 1, 1), "c.png": (0, 0, 0)}


def test_images_may_be_given_without_their_folder(root):
    assert labels(scan_image_labels(write(root, "image,cat\nc.png,1\nb.png,0\n"), ())) == {"b.png": (0,), "c.png": (1,)}


def test_known_classes_give_the_order_and_may_lack_a_column(root):
    folder = scan_image_labels(write(root, TABLE), ("emu", "dog", "cat"))
    assert folder.classes == ("emu", "dog", "cat")
    assert labels(folder)["a.png"] == (UNKNOWN, 0, 1)
    listed = scan_image_labels(write(root, "image,labels\na.png,dog\n"), ("emu", "dog"))
    assert labels(listed)["a.png"] == (0, 1)


def test_splits_have_a_table_each(tmp_path):
    for split, text in (("train", TABLE), ("val", "image,dog\na.png,1\n")):
        for name in "ab":
            save(tmp_path / split / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
        write(tmp_path / split, text)
    folders = find_splits(scan_image_labels, tmp_path, EXPECTED)
    assert labels(folders["val"]) == {"a.png": (UNKNOWN, 1)}
    assert folders["train"].classes == folders["val"].classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("image,cat\na.png,1\na.png,0\n", "names the image 'a.png' twice, also in line 3; keep one of the lines"),
        ("image,cat\na.png,1\n./a.png,0\n", "names the image './a.png' twice, also in line 3"),
        ("image,cat\nx.png,1\n", "names 'x.png' in line 2, and there is no such image in {root}; put it there"),
        (
            "image,cat\na,1\n",
            "names 'a' in line 2, and there is no such image in {root}; write its name with the suffix",
        ),
        ("image,cat\n../a.png,1\n", "has '../a.png' as an image in line 2; write its path in this folder"),
        ("image,cat\n/a.png,1\n", "has '/a.png' as an image in line 2"),
        ("image,cat,dog\na.png,1,2\n", "has the value '2' for 'dog' in line 2: a label is 0, 1 or, if unknown, empty"),
        ("image,label\na.png,cat\n", "write 0 or 1, or call the column labels if it lists classes"),
        ("image,cat,cat\na.png,1,0\n", "has the column 'cat' twice; give every column another name"),
        ("image,cat,\na.png,1,0\n", "has a column without a name"),
        ("image,cat\na.png\n", "has 1 cells in line 2, and 2 columns; save it as CSV"),
        ("image;cat\na.png;1\n", "has semicolons between its cells; save it as CSV in UTF-8, with commas"),
        ("name,cat\na.png,1\n", "does not begin with the column image and a class; expected labels.csv with"),
        ("image\na.png\n", "does not begin with the column image and a class"),
        ("", "does not begin with the column image and a class"),
        ("image,cat\n", "names no images"),
        ("image,labels\na.png,\n", "names no class for any image"),
        ('image,cat\n"a.png,1\n', "is no CSV table (unexpected end of data in line 2); save it as CSV"),
    ],
)
def test_a_mistake_is_told_in_one_line(root, text, error):
    with pytest.raises(FileError, match=re.escape(error.format(root=root))) as caught:
        scan_image_labels(write(root, text), ())
    assert str(caught.value).startswith(f"{root / 'labels.csv'}: ")
    assert "\n" not in str(caught.value)


def test_classes_that_are_not_known(root):
    for text, what in ((TABLE, "column"), ("image,labels\na.png,cat;dog\n", "label")):
        with pytest.raises(FileError, match=f"has the {what} 'dog', which is none of the classes cat, emu; rename or"):
            scan_image_labels(write(root, text), ("cat", "emu"))


def test_a_folder_without_a_table(root):
    assert not has_image_labels(root)
    with pytest.raises(FileError, match=r"has no labels\.csv; expected labels\.csv with the columns image,CLASS"):
        scan_image_labels(root, ())
    assert not has_image_labels(write(root, "stem;cat\n"))
