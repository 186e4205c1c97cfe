"""Reading of settings from YAML: plain values and lists by name, without the parts of YAML that execute or expand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from omniconv.errors import FileError
from omniconv.files import read_text

MAX_BYTES = 2**16
"""Largest file of settings; PyYAML reads 64 KiB in 0.5 s, and the file of a run has 5 KiB."""
MAX_DEPTH = 4
"""Deepest nesting of lists and mappings below the settings."""
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class Setting(NamedTuple):
    """Value of a setting in a file, with its line, from 1."""

    value: Any
    line: int


class _SettingsLoader(yaml.SafeLoader):
    """Loader of YAML 1.1 without dates, which are texts here, and without tags and aliases.

    A tag (``!!int x``, ``!!python/name``) chooses a constructor that its text need not fit; a few nested aliases
    stand for billions of values.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # as in PyYAML, which declares no type for it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _syntax_error("anchors and aliases are not read", event)
        if getattr(event, "tag", None):
            raise _syntax_error(f"the tag {event.tag} is not read", event)
        if self.depth > MAX_DEPTH:
            raise _syntax_error("it is nested too deep", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml_settings(path: str | Path) -> dict[str, Setting]:
    """Read the settings in a YAML file, each ``name: value``, without checking their names and values.

    Raises:
        FileError: the file cannot be read, is larger than ``MAX_BYTES``, is not YAML or not a mapping, repeats a
            setting, or uses tags, anchors or aliases.
    """
    text = read_text(path, MAX_BYTES)
    try:
        loader = _SettingsLoader(text)
    except yaml.reader.ReaderError as error:  # control characters and the like
        line = text.count("\n", 0, error.position) + 1
        raise _not_yaml(path, f"the character {chr(error.character)!r} is not allowed", line) from error
    try:
        root = loader.get_single_node()
        if not isinstance(root, MappingNode):
            raise FileError(path, "must contain settings, one 'name: value' per line", "give the config.yaml of a run")
        settings: dict[str, Setting] = {}
        for key, value in root.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode) or key.value != key.value.encode(errors="ignore").decode():
                raise FileError(path, f"has no name of a setting in line {line}", "write one 'name: value' per line")
            if key.value in settings:
                rule = f"sets {key.value} in line {settings[key.value].line} and in line {line}"
                raise FileError(path, rule, "keep one of them")
            settings[key.value] = Setting(_construct(loader, value), line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _not_yaml(path, error.problem or error.context or "", mark.line + 1 if mark else 1) from error
    finally:
        loader.dispose()
    return settings


def _construct(loader: yaml.SafeLoader, node: Node) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:  # of int(): more than 4,300 digits, or a prefix such as 0b without digits
        raise _syntax_error("a number has too many digits or none", node) from error


def _syntax_error(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, problem, place.start_mark)


def _not_yaml(path: str | Path, problem: str, line: int) -> FileError:
    return FileError(
        path, f"is not valid YAML: {problem}, in line {line}", "write 'name: value' there, such as 'epochs: 20'"
    )
