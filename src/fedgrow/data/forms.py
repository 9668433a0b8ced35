"""Forms of examples: which columns a task reads and what they make; add a form by adding a class, for tasks to name."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedgrow.config.plan import DataPlan
from fedgrow.data.examples import Inputs, Question
from fedgrow.data.images import images
from fedgrow.data.lists import is_list, tagged, tags, words
from fedgrow.data.names import column_for, column_if_any
from fedgrow.data.rows import refuse
from fedgrow.data.spans import spans
from fedgrow.data.values import labels, texts
from fedgrow.errors import FedgrowError


@dataclass(frozen=True)
class Cells:
    """Some rows of a source.

    Attributes:
        columns: the names of the columns by role.
        values: values by column name, those of further columns too.
        rows: for each value its row number in the source, for messages.
    """

    columns: Mapping[str, str]
    values: Mapping[str, Any]
    rows: NDArray[np.intp]

    def of(self, role: str) -> tuple[Any, NDArray[np.intp], str]:
        """Return the values of a role with their rows and column, as checks take them."""
        column = self.columns[role]
        return self.values[column], self.rows, column


class Form(ABC):
    """What the examples of a task are made of."""

    roles: ClassVar[tuple[str, ...]]

    def columns(self, plan: DataPlan, names: Sequence[str]) -> dict[str, str]:
        """Return the names of the columns to read, by role.

        Raises:
            FedgrowError: one is missing, or several could be it.
        """
        return {role: column_for(role, plan, names) for role in self.roles}

    def spread(self, cells: Cells) -> Cells:
        """Return the cells with one row for each example; here a row is an example."""
        return cells

    @abstractmethod
    def read(self, cells: Cells, closed: Sequence[str] | None) -> tuple[Inputs, list[str] | None]:
        """Check cells and return inputs and labels.

        Args:
            cells: the rows, as ``spread`` returns them.
            closed: the plan's closed list of labels.

        Raises:
            FedgrowError: a row is unfit; the text names column and row.
        """


class Texts(Form):
    """Texts."""

    roles = ("text",)

    def read(self, cells: Cells, closed: Sequence[str] | None) -> tuple[Inputs, list[str] | None]:
        """Return the texts."""
        return texts(*cells.of("text")), None


class LabelledTexts(Form):
    """Texts, each with a label."""

    roles = ("text", "label")

    def read(self, cells: Cells, closed: Sequence[str] | None) -> tuple[Inputs, list[str] | None]:
        """Return texts and labels."""
        return texts(*cells.of("text")), labels(*cells.of("label"), closed)


class LabelledImages(Form):
    """Images, each with a label."""

    roles = ("image", "label")

    def read(self, cells: Cells, closed: Sequence[str] | None) -> tuple[Inputs, list[str] | None]:
        """Return images and labels."""
        return images(*cells.of("image")), labels(*cells.of("label"), closed)


class TaggedWords(Form):
    """Lists of words, each word with a tag."""

    roles = ("words", "tags")

    def read(self, cells: Cells, closed: Sequence[str] | None) -> tuple[Inputs, list[str] | None]:
        """Return words and tags; a row has no single label."""
        columns = cells.columns["words"], cells.columns["tags"]
        found = words(*cells.of("words")), tags(*cells.of("tags"))
        return tagged(*found, cells.rows, columns, closed), None


class Questions(Form):
    """Questions, each about a context, with the spans that answer it."""

    roles = ("question", "context")
    answers: ClassVar[tuple[str, ...]] = ("answer", "answer_start", "answer_end")

    def columns(self, plan: DataPlan, names: Sequence[str]) -> dict[str, str]:
        """Return the columns of question and context, and whichever there are of the answer's."""
        found = {role: column_if_any(role, plan, names) for role in self.answers}
        if found["answer"] is None and found["answer_start"] is None:
            column_for("answer", plan, names)
        return super().columns(plan, names) | {role: name for role, name in found.items() if name}

    def spread(self, cells: Cells) -> Cells:
        """Where questions come in lists, several about one context, return a row for each of them.

        Other columns go along: lists value by value, single values repeated. A row that asks nothing gives none.

        Raises:
            FedgrowError: a row's lists differ in length, or no row asks anything.
        """
        asked, rows, column = cells.of("question")
        asked = list(asked)
        if not any(map(is_list, asked)):
            return cells
        refuse([not is_list(cell) for cell in asked], rows, column, "single values or nulls beside lists")
        counts = [len(cell) for cell in asked]
        if not sum(counts):
            raise FedgrowError(f"column {column!r} holds nothing but empty lists; name another data.question")
        values = {name: _spread(list(cells.values[name]), counts, name, cells) for name in cells.values}
        return Cells(cells.columns, values, np.repeat(rows, counts))

    def read(self, cells: Cells, closed: Sequence[str] | None) -> tuple[Inputs, list[str] | None]:
        """Return questions with their answers; a question has no label."""
        contexts = texts(*cells.of("context"), "data.context")
        found = spans(contexts, cells.columns, cells.values, cells.rows)
        questions = texts(*cells.of("question"), "data.question")
        return [Question(*parts) for parts in zip(questions, contexts, found, strict=True)], None


def _spread(values: list[Any], counts: list[int], name: str, cells: Cells) -> Any:
    if not any(map(is_list, values)):
        return pd.Series(values, dtype=object).repeat(counts)
    for row, value, count in zip(cells.rows, values, counts, strict=True):
        if not is_list(value) or len(value) != count:
            found = f"{len(value)} values" if is_list(value) else f"a {type(value).__name__}"
            raise FedgrowError(
                f"column {name!r} has {found} at row {row}, column {cells.columns['question']!r} a list of {count}; "
                "expected one for each question; correct the row"
            )
    return pd.Series([one for value in values for one in value], dtype=object)
