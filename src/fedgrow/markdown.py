"""Markdown tables."""


def table(rows: list[list[str]]) -> list[str]:
    """Return rows, the first of them the head, as a Markdown table."""
    head, *body = rows
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in body)]
