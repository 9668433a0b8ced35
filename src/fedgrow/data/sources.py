"""Sources: from a plan's ``data.source`` to examples. Add a kind by adding a reader and a line here."""

import re
from collections.abc import Callable
from pathlib import Path

from fedgrow.config.home import at_home
from fedgrow.config.plan import DataPlan
from fedgrow.data.examples import Examples
from fedgrow.data.forms import Cells, Form
from fedgrow.data.hub import SAVED, read_hub, read_saved
from fedgrow.data.names import present
from fedgrow.data.readers import Table, read_csv, read_digits, read_json, read_jsonl, read_npz, read_parquet
from fedgrow.data.rows import drawn
from fedgrow.data.values import strings
from fedgrow.errors import FedgrowError, first_line

BUNDLED: dict[str, Callable[[str], Table]] = {"bundled:digits": read_digits}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
READERS: dict[str, Callable[[str], Table]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".npz": read_npz,
}


def load(plan: DataPlan, form: Form, seed: int, extra: tuple[str, ...] = ()) -> Examples:
    """Load and check the examples that a plan names.

    Args:
        plan: source, columns, closed list of labels, and limit (only the rows drawn are then checked).
        form: what the task's examples are made of.
        seed: the limit's draw depends on it.
        extra: further columns to keep, such as the one that a partition goes by.

    Raises:
        FedgrowError: the source is missing or unreadable, lacks a column, is empty, or a row is unfit.
    """
    try:
        return _load(plan, form, seed, extra)
    except FedgrowError as error:
        raise FedgrowError(f"data.source {plan.source}: {error}") from error.__cause__


def _load(plan: DataPlan, form: Form, seed: int, extra: tuple[str, ...]) -> Examples:
    table = open_table(plan)
    if not table.names:
        raise FedgrowError("it holds no rows")
    columns = form.columns(plan, table.names)
    for name in extra:
        present(name, "partition.column", table.names)
    wanted = list(dict.fromkeys([*columns.values(), *extra]))
    rows = drawn(_count(table, wanted), plan.limit, seed)
    cells = form.spread(Cells(columns, {name: table.values(name, rows) for name in wanted}, rows))
    inputs, labels = form.read(cells, plan.labels)
    return Examples(
        inputs, labels, {name: strings(cells.values[name], cells.rows, name, "values") for name in extra}
    )


def open_table(plan: DataPlan) -> Table:
    """Open a plan's source: bundled, a local file, or else a hub id.

    Raises:
        FedgrowError: it is unknown, missing or unreadable.
    """
    source, path = plan.source, at_home(plan.source)
    suffix = path.suffix.lower()
    if source.startswith("bundled:"):
        if source not in BUNDLED:
            raise FedgrowError(f"nothing bundled has this name; choose from {', '.join(BUNDLED)}")
        _no_split(plan)
        return BUNDLED[source](source)
    if path.is_dir():
        if any((path / name).is_file() for name in SAVED):
            return read_saved(path, plan.split)
        raise FedgrowError(f"it is a folder; name a file in it ({', '.join(READERS)})")
    if suffix in READERS:
        if not path.is_file():
            raise FedgrowError(f"there is no such file ({path.absolute()}); correct the path")
        if suffix != ".npz":  # whose arrays may be named by split
            _no_split(plan)
        return _read(suffix, path)
    if path.is_file() or not HUB_ID.fullmatch(source):
        raise FedgrowError(
            f"expected a file ending in {', '.join(READERS)}, a hub id OWNER/NAME, or {', '.join(BUNDLED)}"
        )
    return read_hub(source, plan.split)


def _no_split(plan: DataPlan) -> None:
    if plan.split != "train":
        raise FedgrowError(f"data.split is {plan.split!r}, but this source has no splits; leave it out")


def _read(suffix: str, path: Path) -> Table:
    try:
        return READERS[suffix](str(path))
    except FedgrowError:
        raise
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise FedgrowError(
            f"it cannot be read as {suffix} (byte 0x{byte:02x} is not UTF-8); save it in UTF-8"
        ) from error
    except Exception as error:  # the formats' libraries raise what they like at a damaged file
        raise FedgrowError(
            f"it cannot be read as {suffix} ({first_line(error)}); check that the file is whole"
        ) from error


def _count(table: Table, names: list[str]) -> int:
    counts = {name: table.count(name) for name in names}
    if len(set(counts.values())) > 1:
        raise FedgrowError(
            "columns differ in length: " + ", ".join(f"{name!r} has {n} rows" for name, n in counts.items())
        )
    count = counts[names[0]]
    if not count:
        raise FedgrowError("it holds no rows")
    return count
