"""What a slider ranges over, and the widget that moves through it."""

import math
import re
from dataclasses import dataclass

import ipywidgets
import numpy as np

from gmnm_lib.errors import InputError
from gmnm_lib.objectives import Knob

LABEL_STYLE = {"description_width": "7em"}  # "hidden noise" in full, and one slider below the other
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Slider:
    """A value between `low` and `high` that the reader moves.

    step: a round step near a hundredth of the range unless given. A whole step over whole bounds gives whole numbers, and so do
    whole bounds 20 or more apart: `Slider(0, 500)` counts, `Slider(-3, 3)` glides, `Slider(1, 5, step=1)` counts.
    value: where it starts; the middle unless given (the low end, if it counts). log: by powers, for rates.
    label: the name beside it; the argument's own name unless given.
    """

    low: float
    high: float
    step: float | None = None
    value: float | None = None
    label: str | None = None
    log: bool = False

    def __post_init__(self) -> None:
        span = f"Slider({self.low!r}, {self.high!r})"
        if not all(isinstance(number, (int, float)) for number in (self.low, self.high)):
            raise InputError(f"{span} has no range: give two numbers")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"{span} has no range: low must be below high, both finite")
        if self.log and self.low <= 0:
            raise InputError(f"{span} cannot go by powers: with log=True low must be above 0")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise InputError(f"{span} has step {self.step:g}: choose one above 0 and no larger than the range")
        self.check("its value", self.start)

    @classmethod
    def of(cls, knob: Knob, value: float) -> "Slider":
        """The slider of a knob that stands at `value`."""
        return cls(knob.low, knob.high, step=knob.step, value=value, log=knob.log)

    @property
    def counts(self) -> bool:
        """Whole numbers only."""
        bounds = float(self.low).is_integer() and float(self.high).is_integer() and not self.log
        if self.step is None:
            return bounds and isinstance(self.low, int) and isinstance(self.high, int) and self.high - self.low >= 20
        return bounds and float(self.step).is_integer()

    @property
    def start(self) -> float:
        if self.value is not None:
            return int(self.value) if self.counts and float(self.value).is_integer() else self.value
        if self.counts:
            return int(self.low)
        return math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2

    @property
    def stride(self) -> float:
        """From one value to the next; of the exponent, if log."""
        if self.counts:
            return int(self.step or 1)
        if self.log:
            return 0.05
        return self.step or _round_step((self.high - self.low) / 100)

    def check(self, name: str, value: float) -> float:
        """`value`, or an `InputError` that names the slider and its range."""
        if not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise InputError(f"{name} is {value!r}, outside its slider: choose from {self.low:g} to {self.high:g}")
        if self.counts and not float(value).is_integer():
            raise InputError(f"{name} is {value!r}, but its slider counts: choose a whole number")
        return int(value) if self.counts else float(value)

    def within(self, value: float) -> float:
        """The nearest value of the range: a widget's arithmetic may end a rounding error outside."""
        value = min(max(value, self.low), self.high)
        return int(value) if self.counts else float(value)

    def grid(self, count: int) -> list[float]:
        """At most `count` values from low to high, evenly spread, with `start` among them; whole steps, if a step was given."""
        values = np.geomspace(self.low, self.high, count) if self.log else np.linspace(self.low, self.high, count)
        if self.step is not None and not self.log:
            values = self.low + self.step * np.unique(np.round((values - self.low) / self.step))
            values = values[values <= self.high + 1e-9 * self.step]  # the range need not be whole steps
        if self.counts:
            values = np.unique(np.round(values))
        between = len(values) > 2 and values[0] < self.start < values[-1]
        movable = values[1:-1] if between else values  # a view; both ends stay if they can
        movable[np.abs(movable - self.start).argmin()] = self.start
        return [int(value) if self.counts else float(f"{value:.6g}") for value in values]

    def widget(self, name: str) -> ipywidgets.Widget:
        """An ipywidgets slider that answers while it moves."""
        label = self.label or readable(name)
        settings = {
            "value": self.start,
            "description": label,
            "tooltip": f"{label}: from {self.low:g} to {self.high:g}",
            "continuous_update": True,
            "step": self.stride,
            "style": LABEL_STYLE,
            "layout": {"width": "99%"},
        }
        if self.log:
            return ipywidgets.FloatLogSlider(min=math.log10(self.low), max=math.log10(self.high), **settings)
        if self.counts:
            return ipywidgets.IntSlider(min=int(self.low), max=int(self.high), **settings)
        decimals = max(1, -math.floor(math.log10(self.stride)))
        return ipywidgets.FloatSlider(min=self.low, max=self.high, readout_format=f".{decimals}f", **settings)


def readable(name: str) -> str:
    """An argument's name as a label: z1 is z₁, kl_weight is kl weight."""
    return re.sub(r"\d+$", lambda digits: digits[0].translate(SUBSCRIPTS), name).replace("_", " ")


def _round_step(size: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `size`."""
    power = 10.0 ** math.floor(math.log10(size) + 1e-9)
    return max(factor * power for factor in (1, 2, 5) if factor * power <= size * (1 + 1e-9))
