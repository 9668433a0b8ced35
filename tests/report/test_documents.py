"""Tables in the documents are those that the declarations make; ``python -m tests.report.test_documents`` writes them."""

import re
from pathlib import Path

import pytest

from fedgrow.markdown import table
from fedgrow.report import settings, tables

DOCS = Path(__file__).parents[2] / "docs"
PARTS = {
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
