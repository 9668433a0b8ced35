"""YAML as fedgrow reads and writes it: what is written reads back as it was."""

import re
from typing import Any

import yaml

from fedgrow.errors import first_line

EXPONENT = re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$")


class Loader(yaml.SafeLoader):
    """Safe YAML in which ``1e-12`` is a number, as in YAML 1.2 (PyYAML reads a text), and no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice: the last of them would win silently."""
        keys = [(key.value, key.start_mark) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for place, (key, mark) in enumerate(keys):
            if key != "<<" and key in (earlier for earlier, _ in keys[:place]):
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", mark)
        return super().construct_mapping(node, deep)


class Dumper(yaml.SafeDumper):
    """Safe YAML in which the text ``1e5`` is quoted, for ``Loader`` would read a number."""


for _each in (Loader, Dumper):
    _each.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))


def read_yaml(text: str) -> Any:
    """Read YAML.

    Raises:
        yaml.YAMLError: it is none, or holds what is none of the kind that it says, such as a date that there is not.
        RecursionError: it is nested too deeply.
    """
    try:
        return yaml.load(text, Loader)
    except (ValueError, LookupError, AttributeError) as error:
        raise yaml.YAMLError(f"a value cannot be read ({first_line(error)})") from None


def in_one_line(value: Any) -> str:
    """Return a value as YAML in one line, to be pasted into a plan."""
    return write_yaml(value, default_flow_style=True, width=float("inf")).strip()


def write_yaml(value: Any, **options: Any) -> str:
    """Return a value as YAML, keys in their order; ``options`` are PyYAML's."""
    return str(yaml.dump(value, Dumper=Dumper, **{"sort_keys": False} | options))
