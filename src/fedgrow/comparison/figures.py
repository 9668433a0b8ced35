"""Figures as SVG, drawn without a display."""

import io
from collections.abc import Mapping, Sequence


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str) -> str | None:
    """Draw curves into one figure and return it as SVG; None where there is nothing to draw.

    Args:
        lines: points (x, y) by name.
        x: label of the first axis; logarithmic where the curves' ends lie more than a factor of 20 apart.
        y: label of the second.
    """
    if not lines:
        return None
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "fedgrow", "svg.fonttype": "none"}):
        figure, pane = pyplot.subplots(figsize=(7, 3.6))
        for name, points in lines.items():
            pane.plot(*zip(*points, strict=True), label=name, marker="o", markersize=3, linewidth=1.2)
        ends = [points[-1][0] for points in lines.values()]
        if max(ends) > 20 * min(ends):
            pane.set_xscale("log")
        pane.set(xlabel=x, ylabel=y)
        pane.grid(alpha=0.3)
        pane.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", bbox_inches="tight", metadata=nothing)
        pyplot.close(figure)
    return text.getvalue()
