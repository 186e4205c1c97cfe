from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import omniconv

SOURCE = Path(omniconv.__file__).parent
DOCUMENTED = (
    "surfaces",
    "nn",
    "generation",
    "models",
    "summaries",
    "explain",
    "exporting",
    "audit",
    "convert",
    "data",
    "report",
    "metrics",
    "tasks",
    "training",
    "inference",
    "runs",
)
LEVELS = (
    ("errors",),
    ("checks", "files"),
    ("locks", "progress"),
    ("arithmetic", "processes", "run_folder", "surfaces"),
    ("report",),
    ("data", "explain"),
    ("nn",),
    ("generation",),
    ("models",),
    ("summaries", "convert"),
    ("metrics",),
    ("tasks",),
    ("training",),
    ("inference",),
    ("exporting", "audit"),
    ("runs",),
    ("demo",),
    ("commands",),
    ("cli",),
)
"""Packages and modules from the bottom up; each imports only from levels below its own."""
README = Path(__file__).parents[1] / "README.md"
ALSO_FORBIDDEN = {
    "surfaces": {"torch"},
    "report": {"torch"},
    "explain": {"torch", "data"},
    "nn": {"data", "report", "explain"},
    "generation": {"data", "report", "explain"},
    "models": {"data", "report", "explain"},
    "summaries": {"data", "report", "explain"},
}
"""Imports that no package of this name needs, although they lie below it."""


def public_names():
    for package in (
        "omniconv", "omniconv.nn", "omniconv.models", "omniconv.audit", "omniconv.convert", "omniconv.metrics",
    ):  # fmt: skip
        for name in importlib.import_module(package).__all__:
            yield package, name


def documented_modules():
    yield from (f"omniconv.{name}" for name in ("arithmetic", "checks", "errors", "files"))
    for package in DOCUMENTED:
        yield f"omniconv.{package}"
        yield from (m.name for m in pkgutil.walk_packages([str(SOURCE / package)], f"omniconv.{package}."))


def imported_packages(path):
    """First names below ``omniconv``, and first names of other packages, that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "omniconv":
            modules = [f"omniconv.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports by a relative name"
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            first, _, rest = module.partition(".")
            yield rest.partition(".")[0] if first == "omniconv" else first


@pytest.mark.parametrize(("package", "name"), list(public_names()))
def test_public_name_is_there_and_described(package, name):
    value = getattr(importlib.import_module(package), name)
    if callable(value) or isinstance(value, type(ast)):
        assert value.__doc__


@pytest.mark.parametrize(
    "package", ["omniconv", "omniconv.nn", "omniconv.models", "omniconv.surfaces", "omniconv.audit", "omniconv.metrics"]
)
def test_list_of_public_names_has_no_name_twice(package):
    names = importlib.import_module(package).__all__
    assert len(names) == len(set(names))


def test_type_checkers_see_every_public_name():
    tree = ast.parse(Path(omniconv.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    names = [alias.name for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(names) == sorted(omniconv.__all__)


def test_every_public_name_is_there_on_first_use():
    script = "import sys, omniconv as oc; [getattr(oc, name) for name in sys.argv[1:]]"
    for names in ([name] for name in ("surfaces", "export", "open_run")):
        subprocess.run([sys.executable, "-c", script, *names], check=True)


def test_names_in_readme_exist():
    names = set(re.findall(r"\boc((?:\.\w+)+)", README.read_text(encoding="utf-8")))
    assert {".surfaces.resample", ".nn.Conv", ".open_run"} <= names
    for name in names:
        value = omniconv
        for part in name.split(".")[1:]:
            value = getattr(value, part)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S))
def test_code_of_readme_runs(block, tmp_path, monkeypatch, segment_run, segment_data, generate_run):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/boxes").symlink_to(segment_run.path)
    (tmp_path / "runs/digits").symlink_to(generate_run.path)
    (tmp_path / "photo.jpg").symlink_to(segment_data / "images/0.png")
    exec(compile(block, "README.md", "exec"), {})


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Plain'"):
        omniconv.Plain  # noqa: B018


def test_dir_lists_every_public_name():
    assert set(omniconv.__all__) <= set(dir(omniconv))


@pytest.mark.parametrize("module", list(documented_modules()))
def test_examples_in_docstrings_run(module):
    found = importlib.import_module(module)
    results = doctest.testmod(found, extraglobs={"torch": torch}, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert results.failed == 0


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import omniconv", {"torch", "numpy", "scipy"}),
        ("import omniconv.arithmetic, omniconv.checks", {"torch", "numpy"}),
        ("import omniconv.surfaces", {"torch", "matplotlib"}),
        ("import omniconv.explain.api", {"torch", "matplotlib"}),
        ("import omniconv.nn", {"torch._dynamo", "scipy.spatial", "scipy.sparse.linalg", "omniconv.models"}),
        ("import omniconv.models, omniconv.training.settings", {"torch", "numpy", "scipy"}),
        ("from omniconv.models import UNet, load", {"torch._dynamo", "lightning", "matplotlib", "torchmetrics"}),
        ("import omniconv.convert", {"lightning", "matplotlib", "torchmetrics"}),
    ],
)
def test_import_loads_nothing_heavier_than_it_needs(statement, absent):
    script = f"{statement}; import sys; assert not {absent!r} & set(sys.modules), {absent!r} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("package", [name for level in LEVELS for name in level])
def test_imports_run_downward_only(package):
    own = next(number for number, level in enumerate(LEVELS) if package in level)
    forbidden = {name for level in LEVELS[own:] for name in level} - {package} | ALSO_FORBIDDEN.get(package, set())
    for path in (*(SOURCE / package).rglob("*.py"), *SOURCE.glob(f"{package}.py")):
        wrong = forbidden & set(imported_packages(path))
        assert not wrong, f"{path.relative_to(SOURCE)} imports {wrong}"


def test_every_package_has_a_level():
    present = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert present - {"__init__", "__main__"} <= {name for level in LEVELS for name in level}
