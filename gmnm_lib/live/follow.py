"""A sound that follows a picture's sliders.

walk = explore(draw, z1=Slider(-3, 3), z2=Slider(-3, 3))
follow(walk, lambda z1, z2: listen(piece(z1, z2)))
"""

from collections.abc import Callable
from typing import Any

import ipywidgets

from gmnm_lib.errors import InputError
from gmnm_lib.live import appearance, cells
from gmnm_lib.live.explore import Explorer, close_all
from gmnm_lib.live.pictures import check_arguments, made_for
from gmnm_lib.live.sound import Sound
from gmnm_lib.live.still import is_interactive
from gmnm_lib.live.worker import worker


def follow(explorer: Explorer, make: Callable[..., Sound], *, caption: str = "") -> "Follower":
    """A player of `make(**values)` for the values at which the explorer's sliders stand.

    make: a pure function of the explorer's numbers to a `Sound`, as its `draw` is to a picture. In the notebook the player
    is given a new sound when a slider moves; the still form has the sound of the values at which the sliders stand.
    Raises `InputError` where `make` takes other arguments, or gives no `Sound`.
    """
    check_arguments(make, list(explorer.sliders), "follow", function="make")
    return Follower(explorer, make, caption)


class Follower:
    """What `follow` shows. `sound` is the last one made."""

    def __init__(self, explorer: Explorer, make: Callable[..., Sound], caption: str):
        self.explorer, self.make = explorer, make
        self.widget: ipywidgets.VBox | None = None
        if is_interactive():
            self.sound = worker.call(self._made)
            self.player, self.error = ipywidgets.HTML(self.sound.html), ipywidgets.HTML()
            self.error.layout.display = "none"
            text = ipywidgets.HTML(appearance.STYLE + appearance.caption_line(caption))
            self.widget = ipywidgets.VBox([text, self.player, self.error])
            self.widget.add_class("gmnm-panel")
            cells.adopt(self)
        else:
            self.sound = self._made()
        explorer.followers.append(self.refresh)

    def refresh(self) -> None:
        """Make the sound again: soon, for the sliders' values of that moment, or at once in the still form."""
        if self.widget is None:
            self.sound = self._made()
        else:
            worker.submit(self, "sound", self._play)

    def close(self) -> None:
        """Take it off the page, and follow no longer."""
        if self.refresh in self.explorer.followers:
            self.explorer.followers.remove(self.refresh)
        if self.widget is not None:
            close_all(self.widget)

    def failed(self, error: BaseException) -> None:
        self.error.value = appearance.error_line(error)
        self.error.layout.display = None

    def displaced(self) -> None:
        """Followers train nothing."""

    def _play(self) -> None:
        self.sound = self._made()
        self.player.value = self.sound.html
        if self.error.value:
            self.error.value, self.error.layout.display = "", "none"

    def _made(self) -> Sound:
        sound = made_for(self.make, **self.explorer.values)
        if not isinstance(sound, Sound):
            raise InputError(f"make gave {type(sound).__name__}, which is no sound: return listen(...) or a Sound")
        return sound

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        if self.widget is not None:
            return self.widget._repr_mimebundle_(include=include, exclude=exclude)
        return self.sound._repr_mimebundle_(include, exclude)
