"""Pictures that answer: `explore` redraws one as its sliders move, `live_train` steers a trainer while it runs.

`set_interactive(False)` turns both into still forms, which need no kernel: a film strip for the page and frames for a handout.
`DrawingPad` takes a drawing of the reader's own.
`listen` lets a piano roll sound and `Sound` any samples, with or without a kernel; `follow` makes the sound of an
explorer's values.
"""

from gmnm_lib.live.explore import Explorer, explore
from gmnm_lib.live.follow import Follower, follow
from gmnm_lib.live.pad import DrawingPad
from gmnm_lib.live.sliders import Slider
from gmnm_lib.live.sound import Sound, listen
from gmnm_lib.live.still import set_interactive
from gmnm_lib.live.train import TrainingPanel, live_train

__all__ = [
    "DrawingPad",
    "Explorer",
    "Follower",
    "Slider",
    "Sound",
    "TrainingPanel",
    "explore",
    "follow",
    "listen",
    "live_train",
    "set_interactive",
]
