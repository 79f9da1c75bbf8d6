"""A square of paper: the reader draws on it with the mouse, a pen or a finger, or lays a picture of their own on it.

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
from gmnm_lib.figures.pictures import Array, numbers
from gmnm_lib.live import appearance, cells
from gmnm_lib.live.explore import close_all, open_explorers
from gmnm_lib.live.still import is_interactive

SHOWN = 224  # CSS pixels
MARGIN = 4  # pixels of empty paper around an uploaded picture's ink, as MNIST has it

# A stroke is one line from the last place to this one; `send` writes all pixels' ink as hexadecimal digits into the text field.
CANVAS = """<div class="gmnm-paper"><img alt="" style="display:none" src="data:image/png;base64,{picture}"
 onload="this.nextElementSibling.getContext('2d').drawImage(this, 0, 0)">
<canvas width="{side}" height="{side}" role="img" aria-label="paper to draw on" style="width:{shown}px;height:{shown}px;
background:#fff;border:1px solid #949494;border-radius:4px;image-rendering:pixelated;cursor:crosshair;touch-action:none"
 onpointerdown="this.setPointerCapture(event.pointerId); this.last = null; this.onpointermove(event)"
 onpointermove="if (!event.buttons) return;
  const pen = this.getContext('2d'), box = this.getBoundingClientRect();
  const place = [(event.clientX - box.left) * this.width / box.width, (event.clientY - box.top) * this.height / box.height];
  pen.lineWidth = {pen}; pen.lineCap = 'round'; pen.beginPath();
  pen.moveTo(...(this.last || place)); pen.lineTo(...place); pen.stroke(); this.last = place"
 onpointerup="const pixels = this.getContext('2d').getImageData(0, 0, this.width, this.height).data;
  let ink = ''; for (let i = 3; i &lt; pixels.length; i += 4) ink += pixels[i].toString(16).padStart(2, '0');
  const field = this.closest('.gmnm-panel').querySelector('.gmnm-ink input');
  field.value = ink; for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {{bubbles: true}}))"
></canvas></div>"""


class DrawingPad:
    """Paper that begins with `start`, (pixels,) in [0, 1], a square; `image` is what is on it now, in the same form.

    Open explorers are redrawn when it changes. In the still mode it is a picture of `start`.
    """

    def __init__(self, start: Array):
        self.image: Tensor = torch.from_numpy(np.array(numbers(start), np.float32)).reshape(-1)
        self.side = int(len(self.image) ** 0.5)
        if self.side**2 != len(self.image):
            raise InputError(f"a drawing pad begins with a square image, not with {len(self.image)} pixels")
        self.live = is_interactive()
        if self.live:
            self._build()
            cells.adopt(self)

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
        text = ipywidgets.HTML(
            appearance.STYLE + appearance.caption_line("Draw a digit here, or load a picture of one.")
        )
        buttons = ipywidgets.HBox([self.clear_button, self.upload])
        self.widget = ipywidgets.VBox([text, self.paper, buttons, self.ink, self.error])
        self.widget.add_class("gmnm-panel")
        self._lay_out()

    def show(self, image: Array) -> None:
        """Lay `image`, (pixels,) in [0, 1], on the paper."""
        self._set(torch.from_numpy(np.array(numbers(image), np.float32)).reshape(-1))
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
        ink = (self.image.clamp(0, 1) * 255).round().to(torch.uint8).reshape(self.side, self.side).numpy()
        file = io.BytesIO()
        Image.merge("LA", (Image.new("L", (self.side, self.side)), Image.fromarray(ink))).save(file, "png")
        picture = base64.b64encode(file.getvalue()).decode()
        self.paper.value = ""  # the same picture twice would not be drawn anew
        self.paper.value = CANVAS.format(picture=picture, side=self.side, shown=SHOWN, pen=self.side / 12)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        if self.live:
            return self.widget._repr_mimebundle_(include=include, exclude=exclude)
        file = io.BytesIO()
        film_strip([digit(self.image)], ["the paper"], size=112).save(file, "png")
        return {
            "image/png": base64.b64encode(file.getvalue()).decode(),
            "text/plain": "a drawing pad with a digit on it",
        }


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
