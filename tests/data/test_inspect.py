from __future__ import annotations

import numpy as np
import pytest
from pictures import cut, labels, noise, pattern, save, stored

from omniconv.data.folders import find_splits, scan
from omniconv.data.inspect import inspect, require_objects
from omniconv.errors import FileError


def segment(root):
    mask = labels()
    mask[0, :5] = 255
    save(root / "images/a.png", pattern())
    save(root / "masks/a.png", mask)
    save(root / "images/b.jpg", stored(pattern(), 6), 6)
    save(root / "masks/b.png", stored(labels(), 6))
    save(root / "images/c.png", pattern(8, 8))
    save(root / "masks/c.png", labels(8, 8))
    return root


def test_segment(tmp_path):
    folder = scan("segment", segment(tmp_path))
    found = inspect(folder)
    assert found.folder == folder
    assert found.sizes == {(12, 20): 2, (8, 8): 1}
    assert found.class_counts.tolist() == [136, 131, 136, 136]
    assert found.ignored == 5


def test_classify(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        save(tmp_path / name, pattern())
    found = inspect(scan("classify", tmp_path))
    assert found.class_counts.tolist() == [2, 1]
    assert found.class_counts.dtype == np.int64
    assert found.ignored == 0


def test_binary(tmp_path):
    save(tmp_path / "images/a.png", pattern())
    save(tmp_path / "masks/a.png", (labels() == 2).astype(np.uint8) * 255)
    folder = scan("segment", tmp_path)
    assert inspect(folder, binary=True).class_counts.tolist() == [180, 60]
    require_objects([inspect(folder, binary=True)])
    with pytest.raises(FileError, match=f"^{tmp_path}: the masks hold only the values 0 and 255.*add --binary"):
        require_objects([inspect(folder)])


def test_objects_in_any_split_are_enough(tmp_path):
    segment(tmp_path / "train")
    save(tmp_path / "val/images/a.png", pattern())
    save(tmp_path / "val/masks/a.png", (labels() == 2).astype(np.uint8) * 255)
    require_objects([inspect(folder) for folder in find_splits("segment", tmp_path).values()])


def test_the_first_bad_file_raises(tmp_path):
    root = segment(tmp_path)
    image = cut(save(root / "images/b.jpg", noise()))
    with pytest.raises(FileError, match=f"^{image}: is cut short or damaged"):
        inspect(scan("segment", root))


def test_bad_samples_are_skipped_with_reason(tmp_path):
    root = segment(tmp_path)
    cut(save(root / "images/b.jpg", noise()))
    save(root / "masks/c.png", labels(8, 9))
    (root / "images/notes.txt").touch()
    found = inspect(scan("segment", root), skip_bad=True)
    assert [sample.image.name for sample in found.folder.samples] == ["a.png"]
    reasons = {path.name: reason for path, reason in found.folder.skipped}
    assert list(reasons) == ["notes.txt", "b.jpg", "c.png"]
    assert reasons["b.jpg"].startswith("is cut short or damaged")
    assert reasons["c.png"].startswith(f"{root / 'masks/c.png'}: the mask is 8 x 9 but its image is 8 x 8")
    assert found.sizes == {(12, 20): 1}
    assert found.class_counts.sum() + found.ignored == 12 * 20


def test_labels_beyond_the_classes(tmp_path):
    root = segment(tmp_path)
    (root / "classes.txt").write_text("sea\nland\n")
    with pytest.raises(FileError, match=r"a\.png: has the label 3 at row 6, column 0, but there are 2 classes"):
        inspect(scan("segment", root))


def test_nothing_good(tmp_path):
    root = segment(tmp_path)
    for mask in (root / "masks").iterdir():
        mask.write_text("no mask")
    with pytest.raises(FileError, match=rf"^{root}: all 3 samples are bad; mend them, first .*a\.png: "):
        inspect(scan("segment", root), skip_bad=True)
