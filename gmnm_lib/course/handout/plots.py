"""Figures of plotly that the reader can turn and zoom, drawn by plotly's own script inside the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gmnm_lib.errors import InputError

PLOT = "application/vnd.plotly.v1+json"
HEIGHT = 450  # CSS pixels, plotly's own default


def plot(figure: Mapping[str, Any]) -> str:
    """The place of one figure, with its data; `script` draws them all."""
    kept = {name: figure[name] for name in ("data", "layout", "frames") if name in figure}
    data = json.dumps(kept, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")
    height = int(figure.get("layout", {}).get("height") or HEIGHT)
    return f'<div class="plot" style="height:{height}px"><script type="application/json">{data}</script></div>'


def script() -> str:
    """The minified library of the installed plotly. Raises InputError where there is none."""
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "the lecture shows a figure of plotly, which is not installed here: run python -m pip install plotly."
        )
    path = Path(next(iter(found.submodule_search_locations)), "package_data", "plotly.min.js")
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script")
