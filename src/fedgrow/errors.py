"""The one error type whose text is meant for the user's eyes.

Every message names the thing, what was found, what was expected and what to do about it.
"""


class FedgrowError(Exception):
    """Bad input or a state that fedgrow refuses; the command line prints its text and exits with code 1."""


class ShapeError(FedgrowError):
    """A shape that cannot grow into another."""


class ArchitectureError(FedgrowError):
    """A model that does not agree with its family's table."""


class ContractError(FedgrowError):
    """A message that holds something the plan's contract does not list; it is never sent."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, at most 300 characters of it; its kind, where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
