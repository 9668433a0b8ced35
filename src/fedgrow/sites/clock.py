"""How far a site's clock is from the coordinator's: Flower refuses a site that signs its calls too early or too late."""

import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from fedgrow.errors import FedgrowError

MOST_AHEAD, MOST_BEHIND = 5, 300  # seconds that Flower 1.41 takes
WITHIN = 10.0  # seconds for an answer


def ahead(address: str, certificate: Path) -> float:
    """Return by how many seconds this machine's clock is ahead of the coordinator's, to about one.

    Args:
        address: where the coordinator listens, as HOST:PORT.
        certificate: of the authority that signed its certificate.

    Raises:
        FedgrowError: there is no such answer; the text says why.
    """
    try:
        context = ssl.create_default_context(cafile=certificate)
        before = time.time()
        answer = httpx.get(f"https://{address}/", verify=context, timeout=WITHIN)
        now = (before + time.time()) / 2
        return (
            now - parsedate_to_datetime(answer.headers["date"]).timestamp() - 0.5
        )  # the date is cut to seconds
    except (OSError, httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError) as error:
        raise FedgrowError(
            f"{address} does not answer as the coordinator of {certificate} would ({error})"
        ) from None


def told(difference: float) -> str | None:
    """Say what is wrong with a clock that is so many seconds ahead; None: nothing is."""
    if -MOST_BEHIND < difference < MOST_AHEAD:
        return None
    way = "ahead of" if difference > 0 else "behind"
    return (
        f"this machine's clock is {abs(difference):.0f} s {way} the coordinator's; at most {MOST_AHEAD} s ahead and "
        f"{MOST_BEHIND} s behind are admitted: set the clock (NTP)"
    )
