"""Pictures as a page carries them: WebP inside the HTML, a half to a third of the bytes of the notebook's PNG."""

from __future__ import annotations

import base64
import binascii
import io
from functools import lru_cache
from html import escape
from typing import Any

from PIL import Image, UnidentifiedImageError

from gmnm_lib.errors import InputError

QUALITY = 85  # of grey frames that are noisy: off by a grey level or two of 256 on average


@lru_cache(maxsize=1024)
def webp(png: str, *, exact: bool = True) -> str:
    """A PNG in base64 as the address of an image: `data:image/webp;base64,...`.

    With `exact` every pixel is kept. Without, a grey picture may be rounded where that makes it smaller: the pixels of
    a generated image are noise in their last bits, which no lossless format can pack. Raises InputError for what is no PNG.
    """
    try:
        picture: Image.Image = Image.open(io.BytesIO(base64.b64decode(png)), formats=["PNG"])
        picture.load()
    except (binascii.Error, UnidentifiedImageError, OSError) as error:
        raise InputError("a picture is no PNG: draw it with gmnm_lib.figures, or mend its bytes.") from error
    is_grey = picture.mode == "L"
    if picture.mode not in {"RGB", "RGBA"}:
        picture = picture.convert("RGBA" if "transparency" in picture.info or picture.mode == "LA" else "RGB")
    best = _encoded(picture, lossless=True, quality=60, exact=True)
    if is_grey and not exact:
        best = min(best, _encoded(picture, quality=QUALITY), key=len)
    return "data:image/webp;base64," + base64.b64encode(best).decode()


def _encoded(picture: Image.Image, **settings: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", method=4, **settings)
    return file.getvalue()


def image(kind: str, data: str, *, alt: str, width: int | None = None) -> str:
    """The `<img>` of one output of a cell, of type image/png, image/jpeg or image/svg+xml."""
    if kind == "image/png":
        source = webp(data)
    elif kind == "image/svg+xml":
        source = f"data:{kind};base64,{base64.b64encode(data.encode()).decode()}"
    else:
        source = f"data:{kind};base64,{''.join(data.split())}"
    size = f' width="{width}"' if width else ""
    return f'<img src="{source}" alt="{escape(alt or "Picture drawn by the code above")}"{size}>'
