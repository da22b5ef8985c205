"""Draws the plots of docs/benchmarks.md and docs/scale.md as SVG, for a light page and for a dark one.

The same data makes the same files. Only bench/requirements.txt has matplotlib.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

INK = {"": "#1f2328", "-dark": "#e6edf3"}
FAINT = {"": "#d1d9e0", "-dark": "#3d444d"}
OURS = {"": "#2c7a4b", "-dark": "#57ab78"}
OTHERS = {"": "#9aa4af", "-dark": "#656c76"}
SERIES = {"": ("#2c7a4b", "#b35900", "#2c5a86", "#8250df"), "-dark": ("#57ab78", "#e0a458", "#6cb0f0", "#b493f0")}
WIDTH = 8.0  # inches, of 72 points each

Line = tuple[str, Sequence[float], Sequence[float]]  # label, x, y
Panel = tuple[str, str, str, Sequence[Line]]  # title, label of x, label of y


def bars(file: Path, title: str, values: Sequence[tuple[str, float, str]], ours: str) -> None:
    """Horizontal bars, each with a note at its end; those whose name begins with `ours` stand out."""

    def draw(theme: str, axes: Sequence[Axes]) -> None:
        names, numbers, notes = zip(*values, strict=True)
        colours = [OURS[theme] if name.startswith(ours) else OTHERS[theme] for name in names]
        drawn = axes[0].barh(names, numbers, color=colours, height=0.66)
        axes[0].bar_label(drawn, notes, padding=5)
        axes[0].invert_yaxis()
        axes[0].set_title(title)
        axes[0].spines["bottom"].set_visible(False)
        axes[0].tick_params(length=0)
        axes[0].set_xticks([])
        axes[0].margins(x=0.3)

    _save(file, 0.8 + 0.32 * len(values), 1, draw)


def lines(file: Path, *panels: Panel, marker: str = "", scale: Literal["linear", "log"] = "linear") -> None:
    """Lines, in panels side by side; `scale` is that of x. Panels with the same lines share a legend."""
    labels = [[label for label, *_ in series] for *_, series in panels]
    shared = labels.count(labels[0]) == len(labels) > 1 < len(labels[0])

    def draw(theme: str, axes: Sequence[Axes]) -> None:
        for on, (title, x, y, series) in zip(axes, panels, strict=True):
            for label, xs, ys in series:
                on.plot(xs, ys, label=label, marker=marker, linewidth=1.8)
            on.set_title(title)
            on.set_xlabel(x)
            on.set_ylabel(y)
            on.set_xscale(scale)
            on.set_ylim(bottom=0)
            on.grid(axis="y")
            if len(series) > 1 and not shared:
                on.legend()
        if shared:
            lines, names = axes[0].get_legend_handles_labels()
            axes[0].figure.legend(lines, names, loc="outside lower center", ncols=len(names))

    _save(file, 3.2, len(panels), draw)


def _save(file: Path, height: float, panels: int, draw: Callable[[str, Sequence[Axes]], None]) -> None:
    for theme, ink in INK.items():
        style = {
            "svg.hashsalt": "backroom", "svg.fonttype": "none", "font.size": 10.5, "axes.titlesize": 11,
            "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "text.color": ink,
            "axes.labelcolor": ink, "axes.edgecolor": FAINT[theme], "xtick.color": ink, "ytick.color": ink,
            "grid.color": FAINT[theme], "axes.prop_cycle": mpl.cycler(color=SERIES[theme]), "legend.frameon": False,
        }  # fmt: skip
        with mpl.rc_context(style):
            figure, axes = pyplot.subplots(1, panels, figsize=(WIDTH, height), squeeze=False, layout="constrained")
            draw(theme, axes[0])
            path = file.with_stem(file.stem + theme)
            figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
            pyplot.close(figure)
