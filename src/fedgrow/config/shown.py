"""A plan as a coordinator shows it: text from the network, read before anybody approved it.

Reading it takes little time and memory, and looks at nothing on this machine: it is JSON, not YAML, whose aliases make
much of little, and nothing in it is taken for a path.
"""

import json
from collections.abc import Iterator
from typing import Any

from fedgrow.config.load import validate
from fedgrow.config.plan import Plan
from fedgrow.errors import FedgrowError

LONGEST = 500_000  # characters; a site takes about 100


def read_shown(text: str) -> Plan:
    """Check a plan's text.

    Raises:
        FedgrowError: it is too long, no JSON, nested without end, holds what no screen shows, or a setting is wrong.
    """
    what = "the coordinator's plan"
    if len(text) > LONGEST:
        raise FedgrowError(f"{what} has {len(text):,} characters; at most {LONGEST:,} are read")
    try:
        raw = json.loads(text)
        for part in _texts(raw):
            if not part.isprintable():
                raise FedgrowError(f"{what} holds {part[:80]!r}; expected characters that a screen shows")
        return validate(Plan, raw, what)
    except ValueError as error:
        raise FedgrowError(f"{what} is no JSON: {error}") from None
    except RecursionError:
        raise FedgrowError(f"{what} is nested too deeply; expected settings (key: value)") from None


def _texts(raw: Any) -> Iterator[str]:
    """Yield every text in it, keys too."""
    if isinstance(raw, str):
        yield raw
    elif isinstance(raw, dict | list):
        for item in raw:
            yield from _texts(item)
        for value in raw.values() if isinstance(raw, dict) else ():
            yield from _texts(value)
