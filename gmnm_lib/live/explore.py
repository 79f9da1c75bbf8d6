"""A picture that answers to sliders."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import ipywidgets
import traitlets
from PIL import Image

from gmnm_lib.errors import InputError
from gmnm_lib.figures import Picture, to_png
from gmnm_lib.live import appearance, cells
from gmnm_lib.live.pictures import Draw, check_arguments, picture_of
from gmnm_lib.live.sliders import Slider
from gmnm_lib.live.still import explorer_bundle, is_interactive, shown_width
from gmnm_lib.live.worker import worker


def explore(draw: Draw, *, caption: str = "", **sliders: Slider) -> "Explorer":
    """Show `draw(**values)` and a slider for each of its arguments.

    draw: a pure function of numbers to a PIL image or a matplotlib Figure: the same values give the same picture (it always
    draws the same random numbers). In the notebook it is redrawn as a slider moves, and now and then while a trainer runs.
    """
    check_arguments(draw, list(sliders), "explore")
    for name, slider in sliders.items():
        if not isinstance(slider, Slider):
            raise InputError(f"explore got {name}={slider!r}: give a Slider(low, high)")
    return (_LiveExplorer if is_interactive() else _StillExplorer)(draw, sliders, caption)


class Explorer(ABC):
    """What `explore` shows. `picture` is the last one drawn, `values` what it was drawn for.

    followers: called without arguments, at once, whenever a slider has moved.
    """

    picture: Picture

    def __init__(self, draw: Draw, sliders: dict[str, Slider], caption: str):
        self.draw, self.sliders, self.caption = draw, sliders, caption
        self.followers: list[Callable[[], object]] = []

    @property
    @abstractmethod
    def values(self) -> dict[str, float]: ...

    @abstractmethod
    def set(self, **values: float) -> None:
        """Move sliders and wait for the picture."""

    @abstractmethod
    def close(self) -> None:
        """Take it off the page."""

    def _tell_followers(self) -> None:
        for follower in list(self.followers):
            follower()

    def _checked(self, values: dict[str, float]) -> dict[str, float]:
        if unknown := set(values) - set(self.sliders):
            raise InputError(f"there is no slider {min(unknown)!r}: choose from {', '.join(self.sliders)}")
        return {name: self.sliders[name].check(name, value) for name, value in values.items()}


class _StillExplorer(Explorer):
    def __init__(self, draw: Draw, sliders: dict[str, Slider], caption: str):
        super().__init__(draw, sliders, caption)
        self._values = {name: slider.start for name, slider in sliders.items()}
        self.picture = picture_of(draw, **self._values)

    @property
    def values(self) -> dict[str, float]:
        return dict(self._values)

    def set(self, **values: float) -> None:
        self._values |= self._checked(values)
        self.picture = picture_of(self.draw, **self._values)
        self._tell_followers()

    def close(self) -> None:
        """A still form has nothing to stop."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return explorer_bundle(self.draw, self.sliders, self.caption)


class _LiveExplorer(Explorer):
    def __init__(self, draw: Draw, sliders: dict[str, Slider], caption: str):
        super().__init__(draw, sliders, caption)
        self.handles = {name: slider.widget(name) for name, slider in sliders.items()}
        self.picture = worker.call(lambda: picture_of(draw, **self.values))
        self.image = picture_widget(self.picture, caption or "picture for " + ", ".join(sliders))
        self.error = ipywidgets.HTML()
        self.error.layout.display = "none"
        controls = ipywidgets.VBox([*self.handles.values(), self.error])
        controls.add_class("gmnm-controls")
        columns = ipywidgets.HBox([controls, self.image])
        columns.add_class("gmnm-columns")
        text = ipywidgets.HTML(appearance.STYLE + appearance.caption_line(caption))
        self.widget = ipywidgets.VBox([text, columns])
        self.widget.add_class("gmnm-panel")
        for handle in self.handles.values():
            handle.observe(lambda change: self._moved(), "value")
        cells.adopt(self)
        open_explorers.add(self)

    @property
    def values(self) -> dict[str, float]:
        return {name: slider.within(self.handles[name].value) for name, slider in self.sliders.items()}

    def set(self, **values: float) -> None:
        for name, value in self._checked(values).items():
            self.handles[name].value = value
        self.redraw()
        worker.call(lambda: None)  # jobs are done in order: the picture is there

    def redraw(self) -> None:
        """Draw again soon, for the sliders' values of that moment."""
        worker.submit(self, "draw", self._draw)

    def close(self) -> None:
        open_explorers.discard(self)
        close_all(self.widget)

    def failed(self, error: BaseException) -> None:
        self.error.value = appearance.error_line(error)
        self.error.layout.display = None

    def displaced(self) -> None:
        """Explorers train nothing."""

    def _moved(self) -> None:
        self.redraw()
        self._tell_followers()

    def _draw(self) -> None:
        self.picture = picture_of(self.draw, **self.values)
        self.image.value = to_png(self.picture)
        if self.error.value:
            self.error.value, self.error.layout.display = "", "none"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return self.widget._repr_mimebundle_(include=include, exclude=exclude)


open_explorers: "weakref.WeakSet[_LiveExplorer]" = weakref.WeakSet()


class TitledImage(ipywidgets.Image):
    """An image that a screen reader can name. The front end shows a `tooltip` only beside a `description`, which images lack."""

    description = traitlets.Unicode("").tag(sync=True)


def picture_widget(picture: Picture, title: str) -> ipywidgets.Image:
    """An image of the picture's own size on the page, small ones by whole pixels."""
    image = TitledImage(value=to_png(picture), format="png", width=str(shown_width(picture)), tooltip=title)
    image.add_class("gmnm-picture")
    if isinstance(picture, Image.Image):
        image.add_class("gmnm-pixels")
    return image


def close_all(widget: ipywidgets.Widget) -> None:
    for child in getattr(widget, "children", ()):
        close_all(child)
    widget.close()
