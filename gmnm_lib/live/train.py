"""A trainer that the reader starts, pauses and steers."""

import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ipywidgets
from tqdm.auto import tqdm

from gmnm_lib import hardware
from gmnm_lib.errors import InputError
from gmnm_lib.figures import COLOURS, INK, TERM_NAMES, Picture, curves, film_strip, stacked, to_image, to_png
from gmnm_lib.live import appearance, cells
from gmnm_lib.live.explore import close_all, open_explorers, picture_widget
from gmnm_lib.live.pictures import picture_of
from gmnm_lib.live.sliders import Slider
from gmnm_lib.live.still import bundle, is_interactive, shown_width, spread
from gmnm_lib.live.worker import THREADS, worker
from gmnm_lib.trainer import Report, Trainer

Preview = Callable[[Any], Picture]

SLICE = 0.012  # seconds of training between two looks at the sliders
PREVIEW_EVERY, CURVES_EVERY, STATUS_EVERY = 1 / 15, 0.5, 0.2  # seconds, at the least
STILL_FRAMES = 13


def live_train(
    trainer: Trainer, *, preview: Preview, epochs: float = 20, knobs: Sequence[str] | None = None
) -> "TrainingPanel":
    """Show a panel that trains `trainer` in the background: start, pause, reset, its knobs, its curves, and a preview.

    preview: a picture of the model, drawn again and again with the same random numbers, so that only learning moves it.
    epochs: where training stops by itself; Start goes on as far again. knobs: those to show; all of the trainer's unless given.
    In the still mode it trains `epochs` at once and shows previews along the way.
    """
    if not isinstance(trainer, Trainer):
        raise InputError(f"live_train got {trainer!r}: give it a Trainer")
    if not epochs > 0:
        raise InputError(f"epochs is {epochs!r}: give the panel a number above 0 to train")
    shown = list(trainer.knobs) if knobs is None else list(knobs)
    for name in shown:
        if name not in trainer.knobs:
            raise InputError(f"there is no knob {name!r}: choose from {', '.join(trainer.knobs)}")
    if is_interactive():
        return _LivePanel(trainer, preview, epochs, shown)
    return _StillPanel(trainer, preview, epochs)


class TrainingPanel(ABC):
    """What `live_train` shows."""

    def __init__(self, trainer: Trainer, preview: Preview, epochs: float):
        self.trainer, self.preview, self.epochs = trainer, preview, epochs

    @abstractmethod
    def finish(self, epochs: float) -> None:
        """Train what is missing up to `epochs` in all, in the foreground, so that the cells below have a trained model."""

    @abstractmethod
    def close(self) -> None:
        """Stop training and take the panel off the page."""


class _StillPanel(TrainingPanel):
    def __init__(self, trainer: Trainer, preview: Preview, epochs: float):
        super().__init__(trainer, preview, epochs)
        first, last = trainer.step, round(epochs * trainer.steps_per_epoch)
        # Early steps change most: the frames stand closer there.
        steps = sorted({first + round((last - first) * (k / (STILL_FRAMES - 1)) ** 2) for k in range(STILL_FRAMES)})
        self.frames: list[tuple[int, Picture]] = []
        for step in steps:
            _train(trainer, step / trainer.steps_per_epoch, report_every=max(1, last // 200))
            self.frames.append((trainer.step, picture_of(preview, trainer.model)))

    def finish(self, epochs: float) -> None:
        _train(self.trainer, epochs)

    def close(self) -> None:
        """A still form has nothing to stop."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        steps, pictures = zip(*self.frames, strict=True)
        track = {"name": "step", "label": "step", "values": list(steps), "default": len(steps) - 1}
        images = [to_image(picture) for picture in pictures]
        shown = spread(len(steps), 5)
        strip = film_strip(
            [images[k] for k in shown], [f"step {steps[k]}" for k in shown], size=min(180, images[0].width)
        )
        history = [report for report in self.trainer.history if report.step <= steps[-1]]
        learned = to_image(curves(history))
        learned = learned.resize((strip.width, round(learned.height * strip.width / learned.width)))
        sentence = f"training for {self.epochs:g} epochs"
        return bundle(pictures, [track], caption=sentence, strip=stacked(strip, learned) if history else strip)


class _LivePanel(TrainingPanel):
    def __init__(self, trainer: Trainer, preview: Preview, epochs: float, knobs: list[str]):
        super().__init__(trainer, preview, epochs)
        if earlier := _panels.get(id(trainer)):
            earlier.close()
        self.limit = epochs
        self.figure = worker.call(lambda: curves(trainer.history))
        self._due = dict.fromkeys(("preview", "curves", "status"), 0.0)
        self._pace = (time.monotonic(), trainer.step, 0.0)  # when, at which step, steps a second
        self._build(worker.call(lambda: picture_of(preview, trainer.model)), knobs)
        self._say("Ready", "press Start")
        _panels[id(trainer)] = self
        cells.adopt(self)

    def _build(self, picture: Picture, knobs: list[str]) -> None:
        self.start_button = ipywidgets.Button(
            description="Start", icon="play", button_style="primary", tooltip="Start or pause training"
        )
        self.reset_button = ipywidgets.Button(description="Reset", icon="undo", tooltip="Back to the untrained model")
        self.start_button.on_click(lambda button: self.pause() if self.running else self.start())
        self.reset_button.on_click(lambda button: self.reset())
        self.sliders = {name: Slider.of(self.trainer.knobs.ranges[name], self.trainer.knobs[name]) for name in knobs}
        self.handles = {name: slider.widget(name) for name, slider in self.sliders.items()}
        for name, handle in self.handles.items():
            handle.observe(lambda change, name=name: self._turn(name, change["new"]), "value")
        self.status = ipywidgets.HTML()
        self.error = ipywidgets.HTML()
        self.error.layout.display = "none"
        self.image = picture_widget(picture, "preview of the model in training")
        self.curves = picture_widget(self.figure, self.figure.alt)
        self.curves.remove_class("gmnm-picture")
        buttons = ipywidgets.HBox([self.start_button, self.reset_button])
        controls = ipywidgets.VBox([buttons, *self.handles.values(), self.status, self.error])
        controls.add_class("gmnm-controls")
        columns = ipywidgets.HBox([controls, self.image])
        columns.add_class("gmnm-columns")
        self.widget = ipywidgets.VBox([ipywidgets.HTML(appearance.STYLE), columns, self.curves])
        self.widget.add_class("gmnm-panel")

    # --- what the reader does ---

    @property
    def running(self) -> bool:
        return worker.trains(self)

    def start(self) -> None:
        """Train in the background, as far as the panel's epochs; from there, as far again."""
        self._clear_error()
        if self.trainer.epoch >= self.limit:
            self.limit = self.trainer.epoch + self.epochs
        self._show_button(running=True)
        worker.train(self, self._slices())

    def pause(self) -> None:
        """Stop after the slice in progress."""
        worker.pause(self)
        self._show_button(running=False)
        worker.submit(self, "draw", lambda: self._draw_all("Paused"))

    def reset(self) -> None:
        """Back to the untrained model. The knobs stay where they are; training stops."""
        worker.pause(self)
        self._show_button(running=False)
        self._clear_error()
        self.limit = self.epochs
        worker.submit(self, "reset", self._reset)

    def finish(self, epochs: float) -> None:
        worker.pause(self)
        self._show_button(running=False)
        worker.call(lambda: None)  # its last slice is over: the trainer is ours
        first, last = self.trainer.step, round(epochs * self.trainer.steps_per_epoch)
        if first < last:
            with tqdm(total=last - first, desc="training", unit="step", leave=False) as bar:
                _train(
                    self.trainer,
                    epochs,
                    max(1, (last - first) // 100),
                    lambda: bar.update(self.trainer.step - first - bar.n),
                )
        worker.submit(self, "draw", lambda: self._draw_all("Trained"))

    def close(self) -> None:
        worker.pause(self)
        worker.call(lambda: None)
        close_all(self.widget)

    # --- what the worker hears and does ---

    def failed(self, error: BaseException) -> None:
        self.error.value, self.error.layout.display = appearance.error_line(error), None
        self._show_button(running=False)
        self._say("Stopped", "Start goes on from here")

    def displaced(self) -> None:
        self._show_button(running=False)
        worker.submit(self, "draw", lambda: self._draw_all("Paused", "another panel's training took over"))

    def _slices(self) -> Iterator[None]:
        """Train a few steps at a time: as many as take about `SLICE` seconds."""
        every = 1
        self._pace = (time.monotonic(), self.trainer.step, 0.0)
        while self.trainer.epoch < self.limit - 1e-9:
            began = time.perf_counter()
            for _ in self.trainer.run(until=self.limit, report_every=every):
                seconds = time.perf_counter() - began
                self._draw_what_is_due()
                yield
                fitting = min(200, max(1, round(every * SLICE / seconds)))
                if not every / 2 < fitting < every * 2:
                    every = fitting
                    break  # and run again from here, with longer or shorter slices
                began = time.perf_counter()
        self._show_button(running=False)
        self._draw_all("Done", "Start trains on")

    def _draw_what_is_due(self) -> None:
        """The next drawing of each kind waits at least five times what this one took: training gets most of the time."""
        for kind, pause, draw in (
            ("preview", PREVIEW_EVERY, self._draw_preview),
            ("status", STATUS_EVERY, lambda: self._say_progress("Training")),
            ("curves", CURVES_EVERY, self._draw_curves),
        ):
            began = time.monotonic()
            if began >= self._due[kind]:
                draw()
                now = time.monotonic()
                self._due[kind] = began + max(pause, 5 * (now - began))

    def _draw_preview(self) -> None:
        self.image.value = to_png(picture_of(self.preview, self.trainer.model))

    def _draw_curves(self) -> None:
        self.figure = curves(self.trainer.history, figure=self.figure)
        self.curves.value = to_png(self.figure)
        self.curves.width, self.curves.tooltip = str(shown_width(self.figure)), self.figure.alt
        for explorer in list(open_explorers):  # their pictures may be of this model
            explorer.redraw()

    def _draw_all(self, word: str, *more: str) -> None:
        self._draw_preview()
        self._draw_curves()
        self._say_progress(word, *more)

    def _reset(self) -> None:
        self.trainer.reset()
        self._draw_all("Ready", "back at the untrained model")

    def _say_progress(self, word: str, *more: str) -> None:
        trainer = self.trainer
        when, step, rate = self._pace
        now = time.monotonic()
        if now - when > 1:
            rate = (trainer.step - step) / (now - when)
            self._pace = (now, trainer.step, rate)
        facts = [f"step {trainer.step}", f"epoch {trainer.epoch:.1f} of {self.limit:g}"]
        if word == "Training" and rate:
            facts.append(f"{rate:.0f} steps/s")
        self._say(word, *facts, *more, report=trainer.history[-1] if trainer.history else None)

    def _say(self, word: str, *facts: str, report: Report | None = None) -> None:
        text = appearance.status_line(word, *facts)
        if report is not None:
            colours = dict(zip(report.terms, COLOURS, strict=False))
            terms = [f'<span style="color:{INK}">loss <b>{report.total:.1f}</b></span>']
            terms += [
                f"{TERM_NAMES.get(name, name).split(' (')[0]} <b>{value:.1f}</b>"
                for name, value in report.terms.items()
                if name in colours
            ]
            text += appearance.status_line("", *terms, "nats an example")
        self.status.value = text

    def _turn(self, name: str, value: float) -> None:
        try:
            self.trainer.knobs[name] = self.sliders[name].within(value)
        except InputError as error:
            self.failed(error)

    def _show_button(self, *, running: bool) -> None:
        self.start_button.description = "Pause" if running else "Start"
        self.start_button.icon = "pause" if running else "play"

    def _clear_error(self) -> None:
        self.error.value, self.error.layout.display = "", "none"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return self.widget._repr_mimebundle_(include=include, exclude=exclude)


def _train(
    trainer: Trainer, until: float, report_every: int | None = None, hear: Callable[[], object] = lambda: None
) -> None:
    """In the foreground, on as many threads as the worker has: two of torch's on a busy machine are far slower than one."""
    with hardware.threads(THREADS):
        for _ in trainer.run(until=until, report_every=report_every):
            hear()


_panels: "weakref.WeakValueDictionary[int, _LivePanel]" = weakref.WeakValueDictionary()  # by the id of their trainer
