"""How panels look in the notebook: one style sheet, and the lines of text on them."""

import html
import traceback
from pathlib import Path

from gmnm_lib.errors import InputError

STYLE = """<style>
.gmnm-panel {
  --gmnm-ink: var(--jp-ui-font-color1, #22262b);
  --gmnm-rule: var(--jp-border-color2, #dfe3e8);
  border: 1px solid var(--gmnm-rule); border-radius: 8px; padding: 12px 16px; max-width: 860px; overflow: visible;
  background: var(--jp-layout-color1, #fff);
}
.gmnm-panel .gmnm-caption {font-size: 13px; line-height: 1.4; color: var(--gmnm-ink); margin-bottom: 4px}
.gmnm-panel .gmnm-status {font-size: 13px; line-height: 1.5; color: var(--gmnm-ink); font-variant-numeric: tabular-nums}
.gmnm-panel .gmnm-quiet {color: var(--jp-ui-font-color2, #616161)}
.gmnm-panel .gmnm-error {
  font-size: 13px; line-height: 1.4; color: #8c1500; background: #fdf0ed; border-left: 3px solid #bd1f01;
  padding: 6px 10px; border-radius: 4px; max-width: 60em; white-space: normal;
}
.gmnm-panel .gmnm-error pre {font-size: 11px; background: none; color: inherit; overflow-x: auto; margin: 6px 0 0}
.gmnm-panel img {max-width: 100%; height: auto}
.gmnm-panel img.gmnm-picture {border: 1px solid var(--gmnm-rule); border-radius: 4px; background: #fff}
.gmnm-panel img.gmnm-pixels {image-rendering: pixelated}
.gmnm-panel .gmnm-columns {flex-wrap: wrap; gap: 8px 20px; align-items: flex-start}
.gmnm-panel .gmnm-columns > .gmnm-controls {flex: 1 1 300px; min-width: 280px}
</style>"""


def caption_line(text: str) -> str:
    return f'<div class="gmnm-caption">{html.escape(text)}</div>' if text else ""


def status_line(strong: str, *quiet: str) -> str:
    """A line of what is going on: one strong word and its numbers. The arguments are HTML."""
    return f'<div class="gmnm-status"><b>{strong}</b> <span class="gmnm-quiet">{" &middot; ".join(quiet)}</span></div>'


def error_line(error: BaseException) -> str:
    """What went wrong. An `InputError` says all in its sentence; anything else brings the last calls that led to it."""
    if isinstance(error, InputError):
        return f'<div class="gmnm-error" role="alert">{html.escape(str(error))}</div>'
    calls = traceback.extract_tb(error.__traceback__)[-4:]
    where = "\n".join(f"{Path(call.filename).name}:{call.lineno} in {call.name}: {call.line}" for call in calls)
    message = html.escape(f"{type(error).__name__}: {error}")
    return f'<div class="gmnm-error" role="alert">{message}<pre>{html.escape(where)}</pre></div>'
