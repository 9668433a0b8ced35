"""Examples: texts or images, with their labels, as they come from a source."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Examples:
    """Raw examples, in the order of their source.

    Attributes:
        inputs: texts; or images, float32 within 0..1, (n, channels, height, width).
        labels: one for each input; None for language modelling.
        columns: further columns by name, such as the one that a partition goes by.
    """

    inputs: list[str] | NDArray[np.float32]
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
        """The inputs of a text task.

        Raises:
            TypeError: the inputs are images.
        """
        if not isinstance(self.inputs, list):
            raise TypeError("these examples are images, not texts")
        return self.inputs

    @property
    def images(self) -> NDArray[np.float32]:
        """The inputs of an image task: float32 within 0..1, (n, channels, height, width).

        Raises:
            TypeError: the inputs are texts.
        """
        if isinstance(self.inputs, list):
            raise TypeError("these examples are texts, not images")
        return self.inputs

    def digest(self) -> str:
        """Return the SHA-256 digest of everything that is here."""
        images = b"" if isinstance(self.inputs, list) else np.ascontiguousarray(self.inputs).tobytes()
        texts = self.inputs if isinstance(self.inputs, list) else list(self.inputs.shape)
        rest = json.dumps([texts, self.labels, dict(self.columns)], ensure_ascii=False)
        return hashlib.sha256(images + rest.encode()).hexdigest()

    def take(self, indices: Iterable[int]) -> "Examples":
        """Return some of the examples, in the order of the indices."""
        rows = [int(i) for i in indices]

        def some(values: list[str]) -> list[str]:
            return [values[i] for i in rows]

        return Examples(
            some(self.inputs)
            if isinstance(self.inputs, list)
            else self.inputs[np.array(rows, dtype=np.intp)],
            None if self.labels is None else some(self.labels),
            {name: some(values) for name, values in self.columns.items()},
        )
