"""The folders of the source import in one order, and no class name stands twice."""

import ast
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import fedgrow

SOURCE = Path(fedgrow.__file__).parent


def imported(file: Path) -> set[str]:
    """Return what a file imports of the package, functions' own imports among it, by folder or top module."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fedgrow."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "fedgrow":
            names |= {alias.name for alias in node.names if not alias.name.startswith("__")}
    return names


def test_no_folder_imports_what_imports_it():
    graph: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        name = file.relative_to(SOURCE).parts[0].removesuffix(".py")
        graph.setdefault(name, set()).update(imported(file) - {name})
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("errors") < order.index("growth") < order.index("federated") < order.index("cli")


def test_no_two_classes_have_one_name():
    trees = (ast.parse(file.read_text("utf-8")) for file in SOURCE.rglob("*.py"))
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []
