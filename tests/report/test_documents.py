"""Tables in the documents are those that the declarations make; ``python -m tests.report.test_documents`` writes them."""

import re
from pathlib import Path

import pytest

from fedgrow.approaches import BASELINES, FED_GROW
from fedgrow.federated.strategy import STRATEGIES
from fedgrow.markdown import table
from fedgrow.report import settings, tables

DOCS = Path(__file__).parents[2] / "docs"


def approach_rows() -> list[list[str]]:
    """Return the approaches with what leaves a participant, the tasks that they fit, and what they go by."""
    rows = [["approach", "what it is", "what leaves a participant", "tasks", "goes by"]]
    for name, one in {FED_GROW.name: FED_GROW, **BASELINES}.items():
        tasks, by = ", ".join(one.tasks or ("all",)), ", ".join(f"`{setting}`" for setting in one.goes_by)
        rows.append([f"`{name}`", one.title, one.travels.rstrip(", "), tasks, by or "nothing"])
    return rows


def strategy_rows() -> list[list[str]]:
    """Return the server's strategies with their options and how many answers a round has to bring."""
    rows = [["strategy", "options", "answers that a round needs"]]
    for name, one in STRATEGIES.items():
        each, more = one.needed
        needed = f"{each} x `num_malicious_nodes` + {more}" if each else str(more)
        rows.append([name, ", ".join(f"`{option}`" for option in one.options), needed])
    return rows


PARTS = {
    ("compare.md", "approaches"): lambda: "\n".join(table(approach_rows())),
    ("plan.md", "strategies"): lambda: "\n".join(table(strategy_rows())),
    ("exactness.md", "exactness"): tables.exactness_document,
    ("growth.md", "families"): lambda: "\n".join(table(tables.family_rows())),
    ("growth.md", "operators"): lambda: "\n".join(table(tables.operator_rows())),
    ("settings.md", "settings"): settings.settings_document,
    ("growth.md", "methods"): lambda: "\n".join(table(tables.initialiser_rows())),
}


def pattern(part):
    return re.compile(rf"(<!-- generated: {part} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize(("document", "part"), PARTS)
def test_the_document_holds_what_is_declared(document, part):
    found = pattern(part).search((DOCS / document).read_text("utf-8"))
    assert found is not None
    assert found[2] == PARTS[document, part]() + "\n"


def write():
    for (document, part), make in PARTS.items():
        path, text = DOCS / document, make()
        path.write_text(
            pattern(part).sub(lambda m, text=text: f"{m[1]}{text}\n{m[3]}", path.read_text("utf-8")), "utf-8"
        )


if __name__ == "__main__":
    write()
