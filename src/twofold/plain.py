"""Plain values out of YAML and JSON that may come from a stranger."""

from __future__ import annotations

import json
from typing import Any

import yaml

_LONGEST = 4 * 2**20  # characters; a configuration has some thousand
_DEEPEST = 32  # levels; a configuration has five


class PlainLoader(yaml.SafeLoader):
    """Reads values that are written out: once each, by no alias, and not without end."""

    _level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One value, after a look at what comes next."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):  # a few of them stand for more than memory holds
            raise yaml.MarkedYAMLError(problem="aliases are not read", problem_mark=mark)
        if self._level == _DEEPEST:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=mark)
        self._level += 1
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self._level -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, none of whose keys takes another's place."""
        seen = set()
        for key, _ in node.value:
            if (text := str(key.value)) in seen:
                problem = f"the key {text!r} occurs twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(text)
        return dict(super().construct_mapping(node, deep))


def plain_from_yaml(text: str, loader: type[yaml.SafeLoader] = PlainLoader) -> Any:
    """The values that a YAML text describes; it can neither run code nor grow without end.

    Args:
        text: At most 4 MiB, without aliases.
        loader: Reads the scalars.

    Raises:
        ValueError: With the reason, in one line, if it is no such text.

    Example:
        >>> plain_from_yaml("epochs: 3")
        {'epochs': 3}
        >>> plain_from_yaml("a: &a [1]\\nb: *a")
        Traceback (most recent call last):
        ValueError: aliases are not read (line 2)
    """
    if len(text) > _LONGEST:
        raise ValueError(f"it has {len(text):,} characters; at most {_LONGEST:,} are read")
    try:
        return yaml.load(text, loader)
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ValueError(f"{error.problem}{place}") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        # What the constructors of tags such as !!int raise for what is none.
        raise ValueError(str(error).replace("\n", " ") or type(error).__name__) from None


def plain_from_json(text: str | bytes) -> Any:
    """The values that a JSON text describes.

    Raises:
        ValueError: If it is none, or is nested without end.

    Example:
        >>> plain_from_json("[" * 100_000)
        Traceback (most recent call last):
        ValueError: it is nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
