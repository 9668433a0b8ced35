"""Why a run on one machine failed: the simulation sees every site's own log, which a real coordinator does not."""

import re

from fedgrow.errors import FedgrowError
from fedgrow.runs.folder import RunFolder


def why(run: RunFolder, error: Exception, began: float) -> str:
    """Return the reason, with the participant's name; ``began``: when this attempt did, for logs may be older."""
    reason = str(error)
    if isinstance(error, FedgrowError) and "a participant failed" in reason:
        logs = {name: run.participant(name) / "private" / "site.log" for name in run.plan.names}
        told = [
            _last(name, log.read_text("utf-8"))
            for name, log in logs.items()
            if log.is_file() and log.stat().st_mtime >= began
        ]
        return "\n".join([reason.partition(":")[0], *told])
    return reason


def _last(name: str, log: str) -> str:
    """Return the last line of a site's log without its time, and with the participant's name."""
    line = re.sub(r"^\d{4}-\S+ ", "", log.strip().splitlines()[-1])
    return line if line.startswith(f"participant {name}") else f"participant {name}: {line}"
