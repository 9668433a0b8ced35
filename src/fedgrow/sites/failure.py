"""What the other end of a connection raises where it does not answer, or not as it should."""

import httpx
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

Failure = (httpx.HTTPError, ConnectionError, ObjectPushError)
