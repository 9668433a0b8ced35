"""Examples as they come from a source: texts, images, tagged words or questions."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray


class Tagged(NamedTuple):
    """A text as words, each with its tag."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words, joined by single spaces."""
        return " ".join(self.words)


class Question(NamedTuple):
    """A question about a context; each answer is a span of it: first character, and the one after the last."""

    question: str
    context: str
    spans: tuple[tuple[int, int], ...]

    @property
    def answers(self) -> list[str]:
        """The texts of the answers; none where the context has no answer."""
        return [self.context[start:end] for start, end in self.spans]


Inputs = list[str] | list[Tagged] | list[Question] | NDArray[np.float32]
Kind = TypeVar("Kind", str, Tagged, Question)
KINDS = {str: "texts", Tagged: "tagged words", Question: "questions"}


@dataclass(frozen=True, eq=False)
class Examples:
    """Raw examples, in the order of their source.

    Attributes:
        inputs: texts; tagged words; questions with their answers; or images, float32 within 0..1,
            (n, channels, height, width).
        labels: one for each input; None where an input has no single label: language modelling, words, questions.
        columns: further columns by name, such as the one that a partition goes by.
    """

    inputs: Inputs
    labels: list[str] | None = None
    columns: Mapping[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = {len(self.inputs), *map(len, self.columns.values())}
        if self.labels is not None:
            counts.add(len(self.labels))
        if len(counts) > 1:
            raise ValueError(f"inputs, labels and columns differ in length: {sorted(counts)}")

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def texts(self) -> list[str]:
        """The inputs of a task of whole texts.

        Raises:
            TypeError: the inputs are something else.
        """
        return self._all(str)

    @property
    def tagged(self) -> list[Tagged]:
        """The inputs of a task of tagged words.

        Raises:
            TypeError: the inputs are something else.
        """
        return self._all(Tagged)

    @property
    def asked(self) -> list[Question]:
        """The inputs of a task of questions.

        Raises:
            TypeError: the inputs are something else.
        """
        return self._all(Question)

    def _all(self, kind: type[Kind]) -> list[Kind]:
        if not isinstance(self.inputs, list):
            raise TypeError(f"these examples are images, not {KINDS[kind]}")
        found = [value for value in self.inputs if isinstance(value, kind)]
        if len(found) < len(self.inputs):
            raise TypeError(f"these examples are {KINDS[type(self.inputs[0])]}, not {KINDS[kind]}")
        return found

    @property
    def images(self) -> NDArray[np.float32]:
        """The inputs of an image task: float32 within 0..1, (n, channels, height, width).

        Raises:
            TypeError: the inputs are something else.
        """
        if isinstance(self.inputs, list):
            kind = KINDS[type(self.inputs[0])] if self.inputs else "texts"
            raise TypeError(f"these examples are {kind}, not images")
        return self.inputs

    def units(self) -> list[list[int]]:
        """Return what is dealt out and held out as one, by row: questions about one context, else every example alone.

        Who has seen a context has seen part of every question about it.
        """
        if not (isinstance(self.inputs, list) and self.inputs and isinstance(self.inputs[0], Question)):
            return [[row] for row in range(len(self))]
        by_context: dict[str, list[int]] = {}
        for row, asked in enumerate(self.asked):
            by_context.setdefault(asked.context, []).append(row)
        return list(by_context.values())

    def digest(self) -> str:
        """Return the SHA-256 digest of everything that is here."""
        images = b"" if isinstance(self.inputs, list) else np.ascontiguousarray(self.inputs).tobytes()
        inputs = self.inputs if isinstance(self.inputs, list) else list(self.inputs.shape)
        rest = json.dumps([inputs, self.labels, dict(self.columns)], ensure_ascii=False)
        return hashlib.sha256(images + rest.encode()).hexdigest()

    def take(self, indices: Iterable[int]) -> "Examples":
        """Return some of the examples, in the order of the indices."""
        rows = [int(i) for i in indices]

        def some(values: list[str]) -> list[str]:
            return [values[i] for i in rows]

        inputs: Inputs
        if isinstance(self.inputs, list):
            inputs = [self.inputs[i] for i in rows]  # type: ignore[assignment]  # one kind throughout
        else:
            inputs = self.inputs[np.array(rows, dtype=np.intp)]
        return Examples(
            inputs,
            None if self.labels is None else some(self.labels),
            {name: some(values) for name, values in self.columns.items()},
        )
