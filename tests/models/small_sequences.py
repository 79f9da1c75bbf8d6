"""Small sequence models of every kind, and sequences for them: bits where the third number of each step is to be one."""

import torch
from torch import nn

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.rnn import RNN
from gmnm_lib.models.storn import STORN
from gmnm_lib.models.vrae import VRAE
from gmnm_lib.models.vrnn import VRNN
from gmnm_lib.recurrences import recurrent_cell

LENGTHS = [6, 1, 4]
MODELS = {
    "storn": lambda: STORN(3, 5, 2),
    "storn, bidirectional": lambda: STORN(3, 5, 2, recognition="bidirectional", cell="gru"),
    "storn, learned prior": lambda: STORN(3, 5, 2, prior="learned", cell="lstm", output="gaussian"),
    "vrnn": lambda: VRNN(3, 5, 2, width=4),
    "vrnn-i": lambda: VRNN(3, 5, 2, width=4, conditional_prior=False, cell="lstm", output="pen", components=2),
    "vrnn-gmm": lambda: VRNN(3, 5, 2, cell="tanh", output="gmm", components=2),
    "rnn": lambda: RNN(3, 5),
    "rnn-gmm": lambda: RNN(3, 5, output="gmm", components=2, cell="lstm"),
    "vrae": lambda: VRAE(3, 5, 2),
    "vrae, lstm": lambda: VRAE(3, 5, 2, cell="lstm", output="gaussian"),
}
STEPWISE = [name for name in MODELS if "vrae" not in name]


def small(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return MODELS[name]().double()


def sequences(seed: int = 0) -> Sequences:
    """Bits, so that every output accepts them; zero from each one's end on."""
    generator = torch.Generator().manual_seed(seed)
    batch = Sequences((torch.rand(3, 6, 3, generator=generator) < 0.4).double(), torch.tensor(LENGTHS))
    return Sequences(batch.x * batch.mask.unsqueeze(2), batch.lengths)


def noise_for(model: nn.Module, batch: Sequences, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    steps = () if isinstance(model, VRAE) else (batch.x.shape[1],)
    return torch.randn(len(batch.x), *steps, model.latent, generator=generator).double()


def with_weights_of(rnn: nn.RNNBase, cell: str) -> nn.RNNCellBase:
    own = recurrent_cell(cell, rnn.input_size, rnn.hidden_size).to(rnn.weight_ih_l0.dtype)
    own.load_state_dict({name.removesuffix("_l0"): value for name, value in rnn.state_dict().items()})
    return own
