"""Numbers of ``summary.json`` on a page, each with where it stands there."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

_NOTHING = "–"
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")  # of 1,000 each


class Numbers:
    """Writes numbers of one summary as HTML.

    ``Numbers(summary)("counts", "kept")`` is ``<span data-number="counts.kept">1,234</span>``: whoever reads the page,
    a test above all, can follow every number back. A number that is not written as it stands is so after
    multiplication by ``data-factor``; None is a dash.
    """

    def __init__(self, summary: dict[str, Any]):
        self._summary = summary

    def value(self, *path: str | int) -> Any:
        """What stands at a path of keys and places.

        Raises:
          KeyError, IndexError: nothing stands there.
        """
        found: Any = self._summary
        for step in path:
            found = found[step]
        return found

    def __call__(self, *path: str | int, decimals: int = 0, factor: float = 1) -> Markup:
        """The number at a path, with thousands separated by commas.

        Args:
          path: of keys and places.
          decimals: that are shown.
          factor: what it is multiplied by before.
        """
        value = self.value(*path)
        text = _NOTHING if value is None else f"{value * factor:,.{decimals}f}"
        scaled = Markup("") if factor == 1 else Markup(' data-factor="{}"').format(factor)
        return Markup('<span data-number="{}"{}>{}</span>').format(".".join(map(str, path)), scaled, text)

    def size(self, *path: str | int) -> Markup:
        """A number of bytes, in the largest unit of which there is at least one."""
        value = self.value(*path)
        power = 0
        while value is not None and value >= 1000 ** (power + 1) and power + 1 < len(_BYTE_UNITS):
            power += 1
        number = self(*path, decimals=1 if power else 0, factor=1000**-power)
        return number if value is None else Markup("{} {}").format(number, _BYTE_UNITS[power])

    def duration(self, *path: str | int) -> Markup:
        """Seconds, as hours or minutes where there is more than one."""
        value = self.value(*path)
        if value is None:
            return self(*path)
        seconds, unit = next((size, unit) for size, unit in ((3600, "h"), (60, "min"), (0, "s")) if value >= size)
        return Markup("{} {}").format(self(*path, decimals=1, factor=1 / seconds if seconds else 1), unit)

    def percent(self, *path: str | int, decimals: int = 1) -> Markup:
        """A share in [0, 1] as percent."""
        number = self(*path, decimals=decimals, factor=100)
        return number if self.value(*path) is None else Markup("{} %").format(number)
