"""A square of paper: the reader draws on it with the mouse, a pen or a finger, or lays a picture of their own on it.

    pad = DrawingPad(digit)             # pad.image is what is drawn
    pad = DrawingPad(mask, over=digit)  # paint over a picture: pad.mask is what is covered

The canvas has as many pixels as the image that models see, so that what is drawn is what is read. The page answers by a hidden
text field: its handlers stand in the HTML itself, and need no other library.
"""

import base64
import io
from typing import Any

import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.figures import digit, film_strip
from gmnm_lib.figures.pictures import PAPER, Array, numbers
from gmnm_lib.live import appearance, cells
from gmnm_lib.live.explore import close_all, open_explorers
from gmnm_lib.live.still import is_interactive

SHOWN = 224  # CSS pixels
COVERED = 0.5  # the grey of what is hidden, as a pixel
MARGIN = 4  # pixels of empty paper around an uploaded picture's ink, as MNIST has it

# A stroke is one line from the last place to this one; lifting the pen writes all pixels' ink as hexadecimal digits.
CANVAS = """<div class="gmnm-paper"><img alt="" style="display:none" src="data:image/png;base64,{picture}"
 onload="this.nextElementSibling.getContext('2d').drawImage(this, 0, 0)">
<canvas width="{side}" height="{side}" role="img" aria-label="paper to draw on" style="width:{shown}px;height:{shown}px;
background:{background};border:1px solid #949494;border-radius:4px;image-rendering:pixelated;cursor:crosshair;touch-action:none"
 onpointerdown="this.setPointerCapture(event.pointerId); this.last = null; this.onpointermove(event)"
 onpointermove="if (!event.buttons) return;
  const pen = this.getContext('2d'), box = this.getBoundingClientRect();
  const place = [(event.clientX - box.left) * this.width / box.width, (event.clientY - box.top) * this.height / box.height];
  pen.strokeStyle = 'rgb({tone},{tone},{tone})'; pen.lineWidth = {pen}; pen.lineCap = 'round'; pen.beginPath();
  pen.moveTo(...(this.last || place)); pen.lineTo(...place); pen.stroke(); this.last = place"
 onpointerup="const pixels = this.getContext('2d').getImageData(0, 0, this.width, this.height).data;
  let ink = ''; for (let i = 3; i &lt; pixels.length; i += 4) ink += pixels[i].toString(16).padStart(2, '0');
  const field = this.closest('.gmnm-panel').querySelector('.gmnm-ink input');
  field.value = ink; for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {{bubbles: true}}))"
></canvas></div>"""


class DrawingPad:
    """Paper that begins with `start`, (pixels,) in [0, 1], a square; `image` is what is on it now, in the same form.

    over: a picture of as many pixels that lies under the paper, in [0, 1]. The pen is then broad and grey, and `mask` says
    which pixels it has covered. Open explorers are redrawn when the drawing changes. In the still mode it is a picture of
    `start`.
    """

    def __init__(self, start: Array, *, over: Array | None = None):
        self.image = _flat(start)
        self.over = None if over is None else _flat(over)
        self.side = int(len(self.image) ** 0.5)
        if self.side**2 != len(self.image):
            raise InputError(f"a drawing pad begins with a square image, not with {len(self.image)} pixels")
        if self.over is not None and len(self.over) != len(self.image):
            raise InputError(
                f"the picture under the paper has {len(self.over)} pixels, the paper {len(self.image)}: give as many"
            )
        self.live = is_interactive()
        if self.live:
            self._build()
            cells.adopt(self)

    @property
    def mask(self) -> Tensor:
        """Where there is ink, at least half of what a pixel holds: (pixels,), bool."""
        return self.image >= 0.5

    def _build(self) -> None:
        self.paper = ipywidgets.HTML()
        self.ink = ipywidgets.Text()
        self.ink.add_class("gmnm-ink")
        self.ink.layout.display = "none"
        self.ink.observe(lambda change: self._answer(self.take_ink, change["new"]), "value")
        self.clear_button = ipywidgets.Button(description="Clear", icon="eraser", tooltip="An empty sheet")
        self.clear_button.on_click(lambda button: self.show(torch.zeros(self.side**2)))
        self.upload = ipywidgets.FileUpload(
            accept="image/*", description="A picture", tooltip="Lay a picture on the paper"
        )
        self.upload.observe(lambda change: self._answer(self.take_files, change["new"]), "value")
        self.error = ipywidgets.HTML()
        painting = self.over is not None
        task = "Paint over what is to be hidden." if painting else "Draw a digit here, or load a picture of one."
        text = ipywidgets.HTML(appearance.STYLE + appearance.caption_line(task))
        buttons = ipywidgets.HBox([self.clear_button] if painting else [self.clear_button, self.upload])
        self.widget = ipywidgets.VBox([text, self.paper, buttons, self.ink, self.error])
        self.widget.add_class("gmnm-panel")
        self._lay_out()

    def show(self, image: Array) -> None:
        """Lay `image`, (pixels,) in [0, 1], on the paper."""
        self._set(_flat(image))
        if self.live:
            self._lay_out()

    def take_ink(self, hexadecimal: str) -> None:
        """What the page sends: two hexadecimal digits a pixel. `InputError` for anything else."""
        try:
            ink = bytes.fromhex(hexadecimal)
        except ValueError:
            raise InputError("the paper sent no drawing: clear it and draw again") from None
        self._set(torch.tensor(list(ink), dtype=torch.float32) / 255)

    def take_files(self, files: tuple[dict[str, Any], ...]) -> None:
        """What the upload sends. `InputError` where the latest file is no picture."""
        if files:
            self.show(ink_of(bytes(files[-1]["content"]), self.side))

    def close(self) -> None:
        if self.live:
            close_all(self.widget)

    def _set(self, image: Tensor) -> None:
        if len(image) != self.side**2:
            raise InputError(
                f"the paper has {self.side} x {self.side} pixels, but {len(image)} came: clear it and draw again"
            )
        self.image = image
        for explorer in list(open_explorers):
            explorer.redraw()

    def _answer(self, take: Any, given: Any) -> None:
        try:
            take(given)
            self.error.value = ""
        except InputError as error:
            self.error.value = appearance.error_line(error)

    def _lay_out(self) -> None:
        ink = Image.fromarray(
            (self.image.clamp(0, 1) * 255).round().to(torch.uint8).reshape(self.side, self.side).numpy()
        )
        tone, width, background = 0, self.side / 12, PAPER
        if self.over is not None:
            tone, width = round(255 * (1 - COVERED)), self.side / 7
            background += f" url(data:image/png;base64,{_base64(digit(self.over))}) 0 0 / 100% 100%"
        drawn = Image.merge("LA", (Image.new("L", ink.size, tone), ink))
        self.paper.value = ""  # the same picture twice would not be drawn anew
        self.paper.value = CANVAS.format(
            picture=_base64(drawn), side=self.side, shown=SHOWN, pen=width, tone=tone, background=background
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        if self.live:
            return self.widget._repr_mimebundle_(include=include, exclude=exclude)
        words = (
            "a drawing pad with a digit on it"
            if self.over is None
            else "a drawing pad over a picture, some of it hidden"
        )
        seen = self.image if self.over is None else torch.where(self.mask, COVERED, self.over)
        return {"image/png": _base64(film_strip([digit(seen)], ["the paper"], size=112)), "text/plain": words}


def _flat(image: Array) -> Tensor:
    return torch.from_numpy(np.array(numbers(image), np.float32)).reshape(-1)


def _base64(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def ink_of(content: bytes, side: int) -> Tensor:
    """A picture file's ink, (side * side,) in [0, 1], cut to what is drawn and fitted with a margin, as MNIST's digits are.

    Dark on light paper is turned round. `InputError` for a file that is no picture, or has one tone alone.
    """
    try:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGBA")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise InputError("that file is no picture that can be read: choose a PNG or a JPEG") from None
    tones = np.asarray(
        Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("L"), np.float32
    )
    border = np.concatenate([tones[0], tones[-1], tones[:, 0], tones[:, -1]])
    ink = np.abs(tones - np.median(border))
    if ink.max() < 8:
        raise InputError("that picture has a single tone: choose one with a digit on it")
    ink = np.clip(ink / ink.max() - 0.2, 0, None) / 0.8  # paper's shades are no ink
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    cut = Image.fromarray((ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * 255).astype(np.uint8))
    fitted = ImageOps.pad(cut, (side - 2 * MARGIN,) * 2, Image.Resampling.LANCZOS, color=0)
    sheet = Image.new("L", (side, side))
    sheet.paste(fitted, (MARGIN, MARGIN))
    return torch.from_numpy(np.array(sheet, np.float32)).reshape(-1) / 255
