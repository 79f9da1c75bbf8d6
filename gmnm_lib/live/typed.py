"""Words from the reader: texts that explorers read, and a dialogue that the reader holds with a model.

    texts = Typed(first="the sailor fears the storm", second="the hens eat the corn")
    explorer = explore(lambda t: between(texts["first"], texts["second"], t), t=Slider(0, 1))
    texts.changes(explorer)

In the still form the texts stand as they are given, and the dialogue is the one that its turns make.
"""

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ipywidgets

from gmnm_lib.errors import InputError
from gmnm_lib.live import appearance, cells
from gmnm_lib.live.explore import Explorer, close_all
from gmnm_lib.live.sliders import LABEL_STYLE, readable
from gmnm_lib.live.still import is_interactive

Answer = Callable[[list[str]], str]  # of all turns so far, the reader's the last


class Typed(Mapping[str, str]):
    """Texts by name. In the notebook each has a box; Enter takes what it holds."""

    def __init__(self, **texts: str):
        if not texts:
            raise InputError("Typed has no text: give one as a keyword, such as first='a sentence'")
        self._texts = dict(texts)
        self._explorers: list[Explorer] = []
        self.widget: ipywidgets.VBox | None = None
        if is_interactive():
            self.boxes = {name: _box(readable(name), text) for name, text in texts.items()}
            for name, box in self.boxes.items():
                box.observe(lambda change, name=name: self._take(name, change["new"]), "value")
            self.widget = ipywidgets.VBox(list(self.boxes.values()))
            cells.adopt(self)

    def changes(self, explorer: Explorer) -> None:
        """Draw `explorer` anew whenever a text changes."""
        self._explorers.append(explorer)

    def close(self) -> None:
        """Take the boxes off the page."""
        if self.widget is not None:
            close_all(self.widget)

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def _take(self, name: str, text: str) -> None:
        self._texts[name] = text
        for explorer in self._explorers:
            explorer.set()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        if self.widget is not None:
            return self.widget._repr_mimebundle_(include=include, exclude=exclude)
        lines = [f"*{readable(name)}*: {_plain(text)}" for name, text in self._texts.items()]
        return {"text/markdown": "  \n".join(lines), "text/plain": "\n".join(lines)}


class Conversation:
    """A dialogue of the reader with `answer`, which is given all turns so far and says the next.

    turns: what the reader says at first, each answered at once. What `answer` refuses by an `InputError` is shown and not kept.
    """

    def __init__(self, answer: Answer, turns: Sequence[str] = ()):
        self.answer = answer
        self.turns: list[str] = []
        self.error = ""
        self.widget: ipywidgets.VBox | None = None
        for turn in turns:
            self.say(turn)
        if is_interactive():
            self.shown = ipywidgets.HTML()
            self.box = _box("you", "")
            self.box.observe(lambda change: self._typed(change["new"]), "value")
            self.widget = ipywidgets.VBox([ipywidgets.HTML(appearance.STYLE), self.shown, self.box])
            self.widget.add_class("gmnm-panel")
            self._show()
            cells.adopt(self)

    def say(self, text: str) -> str:
        """The model's answer to `text`; empty where it refuses, and says why in `error`."""
        said = [*self.turns, text]
        try:
            reply = self.answer(said)
        except InputError as error:
            self.error = appearance.error_line(error)
            return ""
        self.error, self.turns = "", [*said, reply]
        return reply

    def close(self) -> None:
        """Take it off the page."""
        if self.widget is not None:
            close_all(self.widget)

    def _typed(self, text: str) -> None:
        if text:
            self.say(text)
            self.box.value = ""
            self._show()

    def _show(self) -> None:
        lines = [f"<div><i>{who}</i>&ensp;{html.escape(text)}</div>" for who, text in self._who_said_what()]
        self.shown.value = "".join(lines) + self.error

    def _who_said_what(self) -> list[tuple[str, str]]:
        return [(("you", "model")[i % 2], text) for i, text in enumerate(self.turns)]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        if self.widget is not None:
            return self.widget._repr_mimebundle_(include=include, exclude=exclude)
        said = self._who_said_what()
        rows = "\n".join(f"| *{who}* | {_plain(text)} |" for who, text in said)
        return {
            "text/markdown": f"| | |\n|:---|:---|\n{rows}",
            "text/plain": "\n".join(f"{who}: {text}" for who, text in said),
        }


def _box(label: str, text: str) -> ipywidgets.Text:
    settings = {"continuous_update": False, "style": LABEL_STYLE, "layout": {"width": "99%"}}
    return ipywidgets.Text(value=text, description=label, tooltip=label, **settings)


def _plain(text: str) -> str:
    """Text that Markdown leaves alone."""
    return "".join("\\" + c if c in "\\`*_|<>$[]" else c for c in text)
