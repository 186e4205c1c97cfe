from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pictures import labels, pattern, save
from tiny import segment_folder

from omniconv.data.classes import read_class_names
from omniconv.data.file_listing import find_images
from omniconv.data.layouts import class_folders, image_masks
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample, find_splits, has_splits, scan_folder
from omniconv.data.layouts.image_list import drop_masks, scan_images, scan_inputs
from omniconv.errors import FileError, InputError

SEGMENT = "expected images/NAME.jpg with masks/NAME.png in it"
CLASSIFY = "expected CLASS/NAME.jpg with a folder for each class in it"


def scan_masks(root):
    return scan_folder(image_masks.scan_image_masks, root, image_masks.EXPECTED)


def scan_classes(root):
    return scan_folder(class_folders.scan_class_folders, root, class_folders.EXPECTED)


def find_mask_splits(root):
    return find_splits(image_masks.scan_image_masks, root, image_masks.EXPECTED)


def find_class_splits(root):
    return find_splits(class_folders.scan_class_folders, root, class_folders.EXPECTED)


def segment(root: Path, names=("a", "b"), top=3) -> Path:
    for name in names:
        save(root / "images" / f"{name}.jpg", pattern())
        save(root / "masks" / f"{name}.png", np.minimum(labels(), top).astype(np.uint8))
    return root


def classify(root: Path, classes=("cat", "dog")) -> Path:
    for name in classes:
        save(root / name / "1.png", pattern())
    return root


def refused(path, rule, cure, call, *arguments):
    with pytest.raises(FileError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert rule in text
    assert cure in text
    assert "\n" not in text


def test_segment(tmp_path):
    root = segment(tmp_path, ("b", "rome/a.1", "rome/b"))
    samples = tuple(
        Sample(root / "images" / f"{name}.jpg", root / "masks" / f"{name}.png") for name in ("b", "rome/a.1", "rome/b")
    )
    expected = DatasetFolder(root, samples)
    assert scan_masks(root) == expected
    assert scan_masks(str(root)) == expected


def test_no_scan_decodes_a_mask(tmp_path):
    root = segment(tmp_path, top=2)
    (root / "masks/b.png").write_text("no mask")
    assert len(scan_masks(root).samples) == 2


def test_segment_skips_with_reason(tmp_path):
    root = segment(tmp_path)
    for name in ("Thumbs.db", ".DS_Store", "._a.jpg", ".cache/c.jpg", "notes.txt"):
        (root / "images" / name).parent.mkdir(exist_ok=True)
        (root / "images" / name).touch()
    save(root / "masks/z.png", labels())
    folder = scan_masks(root)
    assert len(folder.samples) == 2
    assert {str(path.relative_to(root)): reason for path, reason in folder.skipped} == {
        "images/.DS_Store": "is hidden",
        "images/._a.jpg": "is hidden",
        "images/.cache": "is hidden",
        "images/Thumbs.db": "does not have the suffix of an image",
        "images/notes.txt": "does not have the suffix of an image",
        "masks/z.png": "has no image",
    }


def test_links_to_files_are_followed_and_to_folders_not(tmp_path):
    root = segment(tmp_path / "data")
    (root / "images/c.jpg").symlink_to(root / "images/a.jpg")
    (root / "masks/c.png").symlink_to(root / "masks/a.png")
    (root / "images/loop").symlink_to(root / "images")
    folder = scan_masks(root)
    assert [sample.image.name for sample in folder.samples] == ["a.jpg", "b.jpg", "c.jpg"]
    assert folder.skipped == ((root / "images/loop", "is a link to a folder"),)


def test_files_that_cannot_be_images_are_skipped_with_reason(tmp_path):
    root = segment(tmp_path)
    (root / "images/self.png").symlink_to("self.png")
    (root / "images/gone.png").symlink_to("nowhere.png")
    os.mkfifo(root / "images/pipe.png")
    for name in ("city.hdr", "depth.EXR", "old.gif"):
        (root / "images" / name).touch()
    (root / "depth").mkdir()
    (root / "notes.txt").touch()
    (root / ".DS_Store").touch()
    folder = scan_masks(root)
    assert [sample.image.name for sample in folder.samples] == ["a.jpg", "b.jpg"]
    assert {str(path.relative_to(root)): reason for path, reason in folder.skipped} == {
        "images/self.png": "cannot be read (too many levels of symbolic links)",
        "images/gone.png": "cannot be read (no such file or directory)",
        "images/pipe.png": "is a device or pipe",
        "images/city.hdr": "is a Radiance HDR image, which omniconv does not read",
        "images/depth.EXR": "is an OpenEXR image, which omniconv does not read",
        "images/old.gif": "is a GIF image, which omniconv does not read",
        "depth": "is neither in images nor in masks",
        "notes.txt": "is neither in images nor in masks",
        ".DS_Store": "is hidden",
    }


def test_what_lies_beside_the_splits_is_skipped_with_reason(tmp_path):
    segment(tmp_path / "train")
    segment(tmp_path / "val")
    (tmp_path / "readme.md").touch()
    (tmp_path / "classes.txt").write_text("\n".join("abcd"))
    assert find_mask_splits(tmp_path)["train"].skipped == ((tmp_path / "readme.md", "is none of train, val and test"),)


NFC, NFD = "\u00e9", "e\u0301"


@pytest.mark.parametrize(("image", "mask"), [(NFC, NFD), (NFD, NFC)])
def test_names_that_look_the_same_are_paired(tmp_path, image, mask):
    save(tmp_path / f"images/{image}/{image}0.png", pattern())
    save(tmp_path / f"masks/{mask}/{mask}0.png", labels())
    (sample,) = scan_masks(tmp_path).samples
    assert sample == Sample(tmp_path / f"images/{image}/{image}0.png", tmp_path / f"masks/{mask}/{mask}0.png")


def test_two_names_that_look_the_same_are_told_apart(tmp_path):
    root = segment(tmp_path)
    for name in (NFC, NFD):
        save(root / f"images/{name}.png", pattern())
    rule = "has the same name as {} but for the Unicode form of its accents (NFC or NFD)"
    refused(root / f"images/{NFC}.png", rule.format(f"{NFD}.png"), "rename one of them", scan_masks, root)
    for name in (NFC, NFD):
        save(tmp_path / f"classes/{name}/0.png", pattern())
    rule = "has the name of another folder but for the Unicode form"
    with pytest.raises(FileError, match=f"{rule} .*; move its images into the other one"):
        scan_classes(tmp_path / "classes")


def test_a_mask_whose_name_differs_in_case_is_named(tmp_path):
    save(tmp_path / "images/IMG_0.PNG", pattern())
    mask = save(tmp_path / "masks/img_0.png", labels())
    cure = f"rename {mask}, which differs in upper and lower case"
    refused(tmp_path / "images/IMG_0.PNG", "has no mask (1 of 1 images lack one)", cure, scan_masks, tmp_path)


def test_class_folders_match_names_that_look_the_same(tmp_path):
    classify(tmp_path / "train", (NFC, "b"))
    classify(tmp_path / "val", (NFD, "b"))
    (tmp_path / "classes.txt").write_text(f"b\n{NFD}\n")
    folders = find_class_splits(tmp_path)
    assert folders["train"].classes == folders["val"].classes == ("b", NFC)
    assert [sample.target for sample in folders["val"].samples] == [0, 1]


def test_class_folders_that_differ_in_case_are_named(tmp_path):
    classify(tmp_path, ("Cat", "dog"))
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    rule = "has the class folder 'Cat', which differs from the class 'cat' in upper and lower case"
    refused(tmp_path, rule, "rename it to cat", scan_classes, tmp_path)


def test_segment_layout(tmp_path):
    refused(tmp_path / "no", "does not exist", SEGMENT, scan_masks, tmp_path / "no")
    (tmp_path / "file").touch()
    refused(tmp_path / "file", "is a file, not a folder", SEGMENT, scan_masks, tmp_path / "file")
    refused(tmp_path / "images", "does not exist", SEGMENT, scan_masks, tmp_path)
    (tmp_path / "images").mkdir()
    refused(tmp_path / "masks", "does not exist", SEGMENT, scan_masks, tmp_path)
    (tmp_path / "masks").mkdir()
    refused(tmp_path / "images", "contains no images", SEGMENT, scan_masks, tmp_path)


def test_images_without_masks(tmp_path):
    root = segment(tmp_path, ("a", "b", "rome/c"))
    (root / "masks/rome/c.png").unlink()
    image, mask = root / "images/rome/c.jpg", root / "masks/rome/c.png"
    refused(
        image,
        "has no mask (1 of 3 images lack one)",
        f"expected {mask}, or take the image out",
        scan_masks,
        root,
    )
    (root / "masks/b.png").unlink()
    refused(root / "images/b.jpg", "has no mask (2 of 3 images lack one)", "masks/b.png", scan_masks, root)


@pytest.mark.parametrize("place", ["images", "masks"])
def test_equal_stems(tmp_path, place):
    root = segment(tmp_path)
    save(root / place / "a.tif", pattern())
    other = "a.jpg" if place == "images" else "a.png"
    refused(root / place / "a.tif", f"has the same name as {other}", "rename one", scan_masks, root)


def test_class_names(tmp_path):
    root = segment(tmp_path)
    (root / "classes.txt").write_bytes("\ufeffsea\n\n  land \r\nice\nÖl\n".encode())
    assert scan_masks(root).classes == ("sea", "land", "ice", "Öl")


@pytest.mark.parametrize(
    ("content", "rule", "cure"),
    [
        (b"sea\nland\nsea\n", "names the class 'sea' twice", "give every class another name"),
        (b"", "names no classes", "write one name per line"),
        (b"\xff\xfe\x00", "is not UTF-8 text", "save it as UTF-8"),
    ],
)
def test_bad_class_names(tmp_path, content, rule, cure):
    root = segment(tmp_path)
    (root / "classes.txt").write_bytes(content)
    refused(root / "classes.txt", rule, cure, scan_masks, root)


def test_class_names_that_cannot_be_read(tmp_path):
    root = segment(tmp_path)
    (root / "classes.txt").mkdir()
    refused(root / "classes.txt", "is a folder, not a file", "give a file", scan_masks, root)


def test_too_many_classes_for_a_mask(tmp_path):
    root = segment(tmp_path)
    (root / "classes.txt").write_text("\n".join(map(str, range(256))))
    refused(root / "classes.txt", "names 256 classes: a mask can contain up to 255", "merge", scan_masks, root)


def test_classify(tmp_path):
    root = classify(tmp_path, ("class10", "class2", "class1/deep"))
    save(root / "class2/0.jpg", pattern())
    save(root / "stray.png", pattern())
    (root / ".git").mkdir()
    folder = scan_classes(root)
    assert folder.classes == ("class1", "class2", "class10")
    assert [(str(sample.image.relative_to(root)), sample.target) for sample in folder.samples] == [
        ("class1/deep/1.png", 0),
        ("class2/0.jpg", 1),
        ("class2/1.png", 1),
        ("class10/1.png", 2),
    ]
    assert folder.skipped == (
        (root / ".git", "is hidden"),
        (root / "stray.png", "is not in a class folder"),
    )


def test_classify_order_from_file(tmp_path):
    root = classify(tmp_path)
    (root / "classes.txt").write_text("dog\ncat\n")
    folder = scan_classes(root)
    assert folder.classes == ("dog", "cat")
    assert folder.samples[0] == Sample(root / "dog/1.png", 0)
    assert folder.skipped == ()


def test_classify_folders_must_be_classes(tmp_path):
    root = classify(tmp_path, ("cat", "eel"))
    (root / "classes.txt").write_text("dog\ncat\n")
    rule = "has the class folder 'eel', which is none of the classes dog, cat"
    refused(root, rule, "rename or remove the folder, or add the class to classes.txt", scan_classes, root)


@pytest.mark.parametrize("emptied", [True, False])
def test_classes_may_lack_images(tmp_path, emptied):
    root = classify(tmp_path, ("cat",))
    (root / "classes.txt").write_text("dog\ncat\n")
    if emptied:
        (root / "dog").mkdir()
    folder = scan_classes(root)
    assert folder.classes == ("dog", "cat")
    assert folder.samples == (Sample(root / "cat/1.png", 1),)


def test_one_class_is_enough_to_measure(tmp_path):
    assert scan_classes(classify(tmp_path, ["cat"])).classes == ("cat",)


def test_classify_layout(tmp_path):
    refused(tmp_path, "has no class folders", CLASSIFY, scan_classes, tmp_path)
    (tmp_path / "dog").mkdir()
    refused(tmp_path, "contains no images in its class folders", CLASSIFY, scan_classes, tmp_path)


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    root = classify(tmp_path)

    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", deny)  # a real folder would not do: root may read everything
    monkeypatch.setattr("os.listdir", deny)
    refused(root, "cannot be read (permission denied)", "check the folder's permissions", scan_classes, root)


def test_without_splits(tmp_path):
    root = segment(tmp_path)
    assert not has_splits(root)
    assert find_mask_splits(root) == {"all": scan_masks(root)}


def test_a_class_named_train_is_no_split(tmp_path):
    root = classify(tmp_path, ("car", "train"))
    assert not has_splits(root)
    assert find_class_splits(root)["all"].classes == ("car", "train")


def test_splits_without_names_have_no_classes_yet(tmp_path):
    segment(tmp_path / "train", top=2)
    segment(tmp_path / "val", top=3)
    assert [(name, folder.classes) for name, folder in find_mask_splits(tmp_path).items()] == [
        ("train", ()),
        ("val", ()),
    ]


@pytest.mark.parametrize("places", [["."], ["train", "val", "test"], [".", "val"], ["train"], ["val"]])
def test_class_names_of_splits(tmp_path, places):
    for split in ("test", "val", "train"):
        segment(tmp_path / split)
    for place in places:
        (tmp_path / place / "classes.txt").write_text("a\nb\nc\nd\n")
    splits = find_mask_splits(tmp_path)
    assert list(splits) == ["train", "val", "test"]
    assert {split.classes for split in splits.values()} == {("a", "b", "c", "d")}


def test_class_names_of_splits_differ(tmp_path):
    train, val = segment(tmp_path / "train"), segment(tmp_path / "val")
    (train / "classes.txt").write_text("a\nb\nc\nd\n")
    (val / "classes.txt").write_text("a\nc\nb\nd\n")
    cure = "make the classes the same in both"
    rule = f"has the classes in another order than {train / 'classes.txt'}"
    refused(val / "classes.txt", rule, cure, find_mask_splits, tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    rule = f"has the classes in another order than {tmp_path / 'classes.txt'}"
    refused(val / "classes.txt", rule, cure, find_mask_splits, tmp_path)


def test_classify_splits(tmp_path):
    classify(tmp_path / "train", ("cat", "dog", "eel"))
    classify(tmp_path / "test", ("cat", "dog", "eel"))
    assert [split.classes for split in find_class_splits(tmp_path).values()] == [("cat", "dog", "eel")] * 2
    classify(tmp_path / "val", ("dog", "eel"))
    splits = find_class_splits(tmp_path)
    assert splits["val"].classes == ("cat", "dog", "eel")
    assert [sample.target for sample in splits["val"].samples] == [1, 2]
    val = classify(tmp_path / "val", ["fox"])
    refused(
        val, "class folder 'fox', which is none of the classes cat, dog, eel", "rename", find_class_splits, tmp_path
    )


def test_only_wanted_splits_are_listed(tmp_path):
    classify(tmp_path / "train")
    save(tmp_path / "test/unlabelled.png", pattern())
    assert list(find_splits(class_folders.scan_class_folders, tmp_path, CLASSIFY, ("train", "val"))) == ["train"]


def test_other_folders_beside_the_splits_are_listed_as_skipped(tmp_path):
    classify(tmp_path / "train")
    classify(tmp_path / "valid")
    skipped = find_class_splits(tmp_path)["train"].skipped
    assert skipped == ((tmp_path / "valid", "is none of train, val and test"),)


def outputs(*paths):
    return [str(output) for _, output in scan_images(paths)]


def test_outputs_mirror_a_folder(tmp_path):
    for name in ("b.jpg", "rome/a.1.png", "rome/b.tif"):
        save(tmp_path / name, pattern())
    (tmp_path / "notes.txt").touch()
    assert scan_images([tmp_path])[1] == (tmp_path / "rome/a.1.png", Path("rome/a.1"))
    assert outputs(tmp_path) == ["b", "rome/a.1", "rome/b"]
    assert outputs(str(tmp_path / "rome/b.tif"), tmp_path / "rome/a.1.png") == ["b", "a.1"]


def test_outputs_never_meet(tmp_path):
    for name in ("x/a.jpg", "y/a.jpg", "y/z/a.jpg", "x/b.jpg", "x/b.png", "x/b.jpg.png", "y/c.png", "x/c.jpg"):
        save(tmp_path / name, pattern())
    found = outputs(tmp_path / "x", tmp_path / "y")
    assert found == ["x/a", "b.jpg", "b.jpg.png", "b.png", "c.jpg", "y/a", "c.png", "z/a"]
    assert len({f"{name}.png" for name in found}) == 8


def test_an_image_named_twice_is_listed_once(tmp_path, monkeypatch):
    save(tmp_path / "x/a.jpg", pattern())
    monkeypatch.chdir(tmp_path)
    assert scan_images(["x", "x/a.jpg", tmp_path / "x" / ".." / "x"]) == [(Path("x/a.jpg"), Path("a"))]


def test_skipped_inputs_are_listed_with_reason(tmp_path):
    save(tmp_path / "in/city.jpg", pattern())
    (tmp_path / "in/city.hdr").touch()
    (tmp_path / "in/.hidden.png").touch()
    listed, skipped = scan_inputs([tmp_path / "in"])
    assert listed == [(tmp_path / "in/city.jpg", Path("city"))]
    assert skipped == [
        (tmp_path / "in/.hidden.png", "is hidden"),
        (tmp_path / "in/city.hdr", "is a Radiance HDR image, which omniconv does not read"),
    ]


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").symlink_to("a.png")
    file = tmp_path / "in/a.png"
    rule = "contains no images (a.png cannot be read (too many levels of symbolic links))"
    refused(tmp_path / "in", rule, "put files in it", scan_images, [tmp_path / "in"])
    refused(file, "is a link that leads nowhere", "check the path", scan_images, [file])


def test_no_images_to_predict(tmp_path):
    with pytest.raises(InputError, match=r"paths=\[\]: must name an image or a folder; give at least one path"):
        scan_images([])
    refused(tmp_path / "no", "does not exist", "check the path", scan_images, [tmp_path / "no"])
    refused(tmp_path, "contains no images", "with the suffix .bmp, .jpeg, .jpg", scan_images, [tmp_path])


@pytest.mark.parametrize("part", [".", "train"])
def test_masks_of_a_data_set_are_no_images(tmp_path, part):
    root = segment(tmp_path / part)
    mask = root / "masks/a.png"

    def kept(*paths):
        return [file for file, _ in drop_masks(scan_images(paths), paths)]

    assert kept(tmp_path) == [root / "images/a.jpg", root / "images/b.jpg"]
    assert kept(root / "masks") == [mask, root / "masks/b.png"]
    assert kept(mask) == [mask]
    assert mask in kept(tmp_path, mask)


@pytest.mark.skipif(os.name != "posix", reason="needs links and named pipes")
def test_links_to_nothing_and_pipes_are_listed_with_the_reason(tmp_path):
    images = segment_folder(tmp_path / "data", 1) / "images"
    (images / "loop.png").symlink_to("loop.png")
    (images / "gone.png").symlink_to("nowhere.png")
    (images / "link.png").symlink_to("0.png")
    (images / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(images / "pipe.png")
    found, skipped = find_images(images)
    assert [path.name for path in found] == ["0.png", "link.png"]
    assert {path.name: reason for path, reason in skipped} == {
        "loop.png": "cannot be read (too many levels of symbolic links)",
        "gone.png": "cannot be read (no such file or directory)",
        "zero.png": "is a device or pipe", "pipe.png": "is a device or pipe",
    }  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="needs links and named pipes")
@pytest.mark.parametrize(
    ("make", "rule"),
    [(os.mkfifo, "is a named pipe, not a file"), (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
     (lambda path: path.symlink_to("gone"), "cannot be read"), (os.mkdir, "is a folder, not a file")],
)  # fmt: skip
def test_class_names_are_read_from_files_only(tmp_path, make, rule):
    make(tmp_path / "classes.txt")
    with pytest.raises(FileError, match=rf"classes\.txt: {rule}"):
        read_class_names(tmp_path)


def test_class_names_are_separated_by_line_ends_only(tmp_path):
    (tmp_path / "classes.txt").write_text("a\x85b\u2028\x0cc\r\nd\n", newline="")
    assert read_class_names(tmp_path) == ("a\x85b\u2028\x0cc", "d")
