"""YAML that has one meaning: the scalars of YAML 1.2, no dates, no key twice in a mapping, and bounded."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from flagsched.client.errors import Path

MAX_VALUES = 10_000
"""An alias is a value each time that it is named."""
TAG = "tag:yaml.org,2002:"
STRING = f"{TAG}str"
MAPPING = f"{TAG}map"
SEQUENCE = f"{TAG}seq"
# Source: YAML 1.2.2, section 10.3, without octal, hexadecimal and infinite numbers, which JSON does not have.
SCALARS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    f"{TAG}null": (re.compile(r"(?:null|Null|NULL|~|)\Z"), lambda _: None),
    f"{TAG}bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), lambda text: text.lower() == "true"),
    f"{TAG}int": (re.compile(r"[-+]?[0-9]{1,18}\Z"), int),
    f"{TAG}float": (
        re.compile(r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE][-+]?[0-9]{1,2})?\Z"),
        float,
    ),
    STRING: (re.compile(r"(?s).*\Z"), str),
}


class NotYaml(ValueError):
    """The text says why, and in which line."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and in which line it says it."""

    value: Any
    lines: Mapping[Path, int]


class _Loader(yaml.SafeLoader):
    """Takes a plain scalar for what YAML 1.2 says that it is: `off` and `2026-12-01` are text."""

    yaml_implicit_resolvers = {}


for _tag, (_pattern, _) in SCALARS.items():
    if _tag != STRING:
        _Loader.add_implicit_resolver(_tag, _pattern, None)


def parse_yaml(text: str) -> Document:
    """Parse a single document; NotYaml."""
    walk = _Walk()
    try:
        root = yaml.compose(text, Loader=_Loader)
        return Document(None if root is None else walk.value(root, ()), walk.lines)
    except yaml.MarkedYAMLError as error:
        raise _fault(error.problem_mark or error.context_mark, _problem(error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYaml(f"line {line}: has a character that YAML does not allow: {error.character!r}") from error
    except RecursionError as error:
        raise NotYaml("is nested too deep") from error


@dataclass(slots=True)
class _Walk:
    """Makes values of nodes."""

    lines: dict[Path, int] = field(default_factory=dict)

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(self.lines) > MAX_VALUES:
            raise NotYaml(f"has more than {MAX_VALUES} values")
        match node:
            case yaml.MappingNode(tag=tag) if tag == MAPPING:
                return self._mapping(node, path)
            case yaml.SequenceNode(tag=tag) if tag == SEQUENCE:
                return [self.value(one, (*path, str(n))) for n, one in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key in found:
                raise _fault(key_node.start_mark, f"{key!r} appears twice in one mapping")
            self.lines[*path, key] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*path, key))
        return found


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != STRING:
        raise _fault(node.start_mark, "the name of a field must be text: write others in quotes")
    return str(node.value)


def _scalar(node: yaml.Node) -> Any:
    if node.tag not in SCALARS or not SCALARS[node.tag][0].match(node.value):
        raise _fault(node.start_mark, f"the tag {node.tag.replace(TAG, '!!')} can't be used here")
    return SCALARS[node.tag][1](node.value)


def _problem(error: yaml.MarkedYAMLError) -> str:
    if "another document" in (error.problem or ""):
        return "begins another document: a file has one plan"
    return ", ".join(part for part in (error.problem, error.context) if part)


def _fault(mark: yaml.Mark | None, problem: str) -> NotYaml:
    return NotYaml(f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem)
