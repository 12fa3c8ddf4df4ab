"""Inline SVG: elements whose texts are escaped, and a frame with axes. Colours come from the page's style sheet."""

from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

MINUS = "\N{MINUS SIGN}"


def element(name: str, *children: str | Markup, **attributes: str | float) -> Markup:
    """An element. An underscore in an attribute's name stands for a hyphen, one at its end for nothing (`class_`)."""
    written = Markup().join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _format_value(value))
        for key, value in attributes.items()
    )
    return Markup("<{}{}>{}</{}>").format(Markup(name), written, Markup().join(children), Markup(name))


def _format_value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def format_number(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number as the page shows it, with a true minus sign."""
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.replace("-", "").replace("+", "")
    return text.replace("-", MINUS)


def choose_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high: 1, 2 or 5 times a power of ten apart; `about`: how many."""
    if high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [number * step for number in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Frame:
    """A plot of data from (x0, y0) to (x1, y1), with room for the axes around it; sizes in the units of the viewBox."""

    x0: float
    x1: float
    y0: float
    y1: float
    width: float = 480
    height: float = 300
    left: float = 66
    right: float = 14
    top: float = 14
    bottom: float = 46

    def x(self, value: float) -> float:
        share = (value - self.x0) / ((self.x1 - self.x0) or 1)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        share = (value - self.y0) / ((self.y1 - self.y0) or 1)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def line(self, x0: float, y0: float, x1: float, y1: float, class_: str) -> Markup:
        return element("line", x1=self.x(x0), y1=self.y(y0), x2=self.x(x1), y2=self.y(y1), class_=class_)

    def axis_x(self, label: str, at: list[float]) -> Markup:
        """Numbers below the plot and what they are."""
        below = self.height - self.bottom
        marks = [
            element("text", _format_tick(value), x=self.x(value), y=below + 18, text_anchor="middle", class_="tick")
            for value in at
        ]
        middle = (self.left + self.width - self.right) / 2
        return Markup().join([*marks, element("text", label, x=middle, y=self.height - 6, text_anchor="middle")])

    def axis_y(self, label: str, at: list[float], texts: list[str] | None = None) -> Markup:
        """Lines across the plot, their numbers, and what they are."""
        names = texts or [_format_tick(value) for value in at]
        marks = [
            self.line(self.x0, value, self.x1, value, "grid")
            + element("text", name, x=self.left - 8, y=self.y(value) + 4, text_anchor="end", class_="tick")
            for value, name in zip(at, names, strict=True)
        ]
        x, y = 13, (self.top + self.height - self.bottom) / 2
        turned = element("text", label, x=x, y=y, text_anchor="middle", transform=f"rotate(-90 {x} {y:.1f})")
        return Markup().join([*marks, turned])

    def draw(self, title: str, *children: Markup) -> Markup:
        """The whole picture. `title` is what a screen reader says of it."""
        return element(
            "svg",
            element("title", title),
            *children,
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            role="img",
            class_="plot",
        )


def _format_tick(value: float) -> str:
    return f"{round(value, 10):g}".replace("-", MINUS)
