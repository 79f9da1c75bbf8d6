import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch

from gmnm_lib.live import set_interactive
from gmnm_lib.models.vae import VAE
from gmnm_lib.trainer import Trainer


def _live_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gmnm-live"]


def _eventually(true: Callable[[], object], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def live_threads() -> Callable[[], list[threading.Thread]]:
    """The worker's threads that are alive."""
    return _live_threads


@pytest.fixture
def eventually() -> Callable[..., bool]:
    """Whether something becomes true in time."""
    return _eventually


@pytest.fixture(autouse=True)
def _interactive_and_quiet_afterwards() -> Iterator[None]:
    set_interactive(True)
    yield
    set_interactive(True)
    assert _eventually(lambda: not _live_threads()), "a test left the worker's thread running"


@pytest.fixture
def model() -> VAE:
    torch.manual_seed(0)
    return VAE(pixels=16, hidden=8, latent=2)


@pytest.fixture
def trainer(model: VAE) -> Trainer:
    return Trainer(
        model, torch.rand(256, 16, generator=torch.Generator().manual_seed(0)), batch_size=32, seed=0, device="cpu"
    )
