from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pictures import cut, labels, noise, pattern, save, stored
from tiny import scan, segment_folder

from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError
from omniconv.surfaces import Plane
from omniconv.tasks import get_task
from omniconv.tasks.segment import Segment
from omniconv.training import dataset_summary, datasets
from omniconv.training.datasets import SampleReader
from omniconv.training.settings import RunConfig


def reader(folder, task="segment", binary=False):
    preprocessing = Preprocessing(Plane(), (8, 8), binary=binary)
    return SampleReader(get_task(task), preprocessing, len(folder.samples))


def inspect(folder, skip_bad=False, task="segment", binary=False):
    return dataset_summary.inspect(folder, reader(folder, task, binary), skip_bad)


def summarize(root, **settings):
    return dataset_summary.summarize_dataset(RunConfig(task="segment", data=str(root), **settings))


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
    assert found.counts == {0: 136, 1: 131, 2: 136, 3: 136, 255: 5}


def test_classify(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        save(tmp_path / name, pattern())
    assert inspect(scan("classify", tmp_path), task="classify").counts == {0: 2, 1: 1}


def test_binary(tmp_path):
    save(tmp_path / "images/a.png", pattern())
    save(tmp_path / "masks/a.png", (labels() == 2).astype(np.uint8) * 255)
    assert inspect(scan("segment", tmp_path), binary=True).counts == {0: 180, 1: 60}
    assert summarize(tmp_path, binary=True).splits.class_frequencies == (0.75, 0.25)
    with pytest.raises(FileError, match=f"^{tmp_path}: the masks hold only the values 0 and 255.*add binary=True"):
        summarize(tmp_path)


def test_objects_in_any_split_are_enough(tmp_path):
    segment(tmp_path / "train")
    save(tmp_path / "val/images/a.png", pattern())
    save(tmp_path / "val/masks/a.png", (labels() == 2).astype(np.uint8) * 255)
    assert summarize(tmp_path).splits.classes == ("class 0", "class 1", "class 2", "class 3")


def test_classes_without_names_are_numbered_up_to_the_largest_label(tmp_path):
    segment_folder(tmp_path / "train", 2)
    segment(tmp_path / "val")
    splits = summarize(tmp_path).splits
    assert splits.classes == splits.validation.classes == ("class 0", "class 1", "class 2", "class 3")


def test_there_are_two_classes_at_least(tmp_path):
    save(tmp_path / "images/a.png", pattern())
    save(tmp_path / "masks/a.png", np.zeros((12, 20), np.uint8))
    assert summarize(tmp_path).splits.classes == ("class 0", "class 1")


def test_nothing_labelled(tmp_path):
    segment(tmp_path / "val")
    save(tmp_path / "train/images/a.png", pattern())
    save(tmp_path / "train/masks/a.png", np.full((12, 20), 255, np.uint8))
    with pytest.raises(FileError, match="train: has no labelled pixel: all are 255"):
        summarize(tmp_path)


@pytest.mark.parametrize("cache_bytes", [2**30, 0])
def test_masks_are_decoded_once(tmp_path, monkeypatch, cache_bytes):
    decoded = Counter()
    original = Segment.load_target

    def load(self, sample, preprocessing):
        decoded[sample.target.name] += 1
        return original(self, sample, preprocessing)

    monkeypatch.setattr(Segment, "load_target", load)
    monkeypatch.setattr(datasets, "CACHE_BYTES", cache_bytes)
    summary = summarize(segment(tmp_path), validation=0.0)
    if cache_bytes:
        dataset_summary.write_samples(summary.splits, summary.reader, tmp_path / "samples.png")
        assert set(decoded.values()) == {1}
    assert set(decoded) == {"a.png", "b.png", "c.png"}


def test_skipped_images_do_not_count_for_the_size(tmp_path):
    segment(tmp_path)
    save(tmp_path / "masks/c.png", labels(8, 9))
    assert summarize(tmp_path, skip_bad=True).splits.preprocessing.size == (12, 20)
    (tmp_path / "images/c.png").write_bytes(b"no image")
    assert summarize(tmp_path, skip_bad=True).splits.preprocessing.size == (12, 20)


def test_the_first_bad_file_raises(tmp_path):
    root = segment(tmp_path)
    image = cut(save(root / "images/b.jpg", noise()))
    with pytest.raises(FileError, match=f"^{image}: is truncated or damaged"):
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
    assert reasons["b.jpg"].startswith("is truncated or damaged")
    assert reasons["c.png"].startswith(f"{root / 'masks/c.png'}: the mask is 8 x 9 but its image is 8 x 8")
    assert found.sizes == {(12, 20): 1}
    assert found.counts.total() == 12 * 20


def test_labels_beyond_the_classes(tmp_path):
    root = segment(tmp_path)
    (root / "classes.txt").write_text("sea\nland\n")
    with pytest.raises(FileError, match=r"a\.png: has the label 3 at row 6, column 0, but there are 2 classes"):
        inspect(scan("segment", root))


def test_nothing_good(tmp_path):
    root = segment(tmp_path)
    for mask in (root / "masks").iterdir():
        mask.write_text("no mask")
    with pytest.raises(FileError, match=rf"^{root}: all 3 samples are bad; repair them; the first is .*a\.png: "):
        inspect(scan("segment", root), skip_bad=True)
