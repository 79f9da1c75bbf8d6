"""What the machine is asked, and that it is left as it was found."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gmnm_lib import hardware
from gmnm_lib.errors import InputError
from gmnm_lib.models.vae import VAE
from gmnm_lib.randomness import Stream
from gmnm_lib.trainer import Trainer


def test_auto_is_a_gpu_where_there_is_one():
    assert hardware.device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that the test asks for in vain")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="choose 'auto' or 'cpu'"):
        hardware.device("cuda")


@pytest.fixture
def with_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    yield
    hardware.work_on("auto")


def test_auto_means_what_a_lecture_works_on_until_it_says_auto_again(with_a_gpu):
    assert hardware.device().type == "cuda"
    hardware.work_on("cpu")
    assert (hardware.device().type, hardware.device("cuda").type) == ("cpu", "cuda")
    hardware.work_on("cuda:1")
    assert hardware.device("auto") == torch.device("cuda", 1)
    hardware.work_on("auto")
    assert hardware.device() == torch.device("cuda")


def test_a_trainer_leaves_the_model_where_the_lecture_works(with_a_gpu):
    hardware.work_on("cpu")
    model = VAE(pixels=4, hidden=2, latent=1)
    assert Trainer(model, torch.zeros(8, 4), batch_size=4).device.type == "cpu"
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_to_work_on_a_device_that_is_not_there_is_refused_and_changes_nothing(monkeypatch):
    before = hardware.device()
    with pytest.raises(InputError, match="no device 'gpu'"):
        hardware.work_on("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="torch sees no CUDA GPU here"):
        hardware.work_on("cuda")
    monkeypatch.undo()
    assert hardware.device() == before


def test_threads_and_matmul_are_put_back_even_after_an_error():
    before = torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision
    inside = []

    def fails() -> None:
        with hardware.threads(1), hardware.matmul("onednn"):
            inside.append((torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert inside == [(1, "bf16")]
    assert (torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision) == before


def test_the_chosen_matrix_product_is_as_exact_as_fp32():
    """Against float64, on shapes that the probe did not see."""
    a, b = torch.randn(96, 333), torch.randn(333, 211)
    with hardware.matmul(hardware.best_matmul()):
        product = (a @ b).double()
    exact = a.double() @ b.double()
    assert float((product - exact).norm() / exact.norm()) < 4e-6


@pytest.fixture
def probed(monkeypatch):
    """Call it with what the machine's probe is to find."""

    def finds(speedup: float, error: float) -> None:
        monkeypatch.setattr(hardware, "_probe", lambda: {"speedup": speedup, "error": error})
        hardware.best_matmul.cache_clear()

    monkeypatch.delenv("GMNM_MATMUL", raising=False)
    yield finds
    hardware.best_matmul.cache_clear()


@pytest.mark.parametrize(
    "found, choice", [((1.08, 4e-7), "onednn"), ((2.0, 1e-3), "default"), ((0.96, 4e-7), "default")]
)
def test_a_path_is_taken_only_if_it_is_faster_and_exact(probed, found, choice):
    probed(*found)
    assert hardware.best_matmul() == choice


@pytest.mark.parametrize("error, here", [(4e-7, "onednn"), (1.9e-3, "default")])
def test_a_checkpoint_keeps_its_matrix_product_only_where_it_is_exact(probed, tmp_path, error, here):
    """1.9e-3: what bf16 errs. Slower than the default it may be, for a resumed run is to give the same bits."""

    def trainer() -> Trainer:
        return Trainer(VAE(pixels=4, hidden=2, latent=1), torch.zeros(8, 4), batch_size=4, device="cpu")

    probed(2.0, 4e-7)
    trainer().save(tmp_path / "run.pt")
    probed(0.9, error)
    resumed = trainer()
    assert resumed.matmul == "default"
    resumed.load(tmp_path / "run.pt")
    assert resumed.matmul == here


def test_the_environment_may_decide(monkeypatch):
    monkeypatch.setenv("GMNM_MATMUL", "onednn")
    assert hardware.best_matmul.__wrapped__() == "onednn"
    monkeypatch.setenv("GMNM_MATMUL", "fast")
    with pytest.raises(InputError, match="GMNM_MATMUL is 'fast'"):
        hardware.best_matmul.__wrapped__()


def test_the_probe_measures_speed_and_error():
    probe = hardware.probe_matmul(32, 48, 16, rounds=2)
    assert probe["speedup"] > 0 and 0 < probe["error"] < 1e-2


def test_the_probe_times_the_products_of_a_layers_forward_and_backward_pass():
    """Against what autograd multiplies: the shapes and memory layouts are the same."""

    class Products(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            if function is torch.ops.aten.mm.default:
                seen.add(tuple((tuple(m.shape), m.is_contiguous()) for m in arguments if m.dtype == torch.float32))
            return function(*arguments, **(keywords or {}))

    seen: set = set()
    with Products():
        hardware.probe_matmul(8, 5, 3, rounds=1)
    probed, seen = seen - {()}, set()
    x = torch.randn(8, 5, requires_grad=True)
    layer = torch.nn.Linear(5, 3, bias=False)
    with Products():
        layer(x).square().sum().backward()
    assert probed == seen and len(probed) == 3


def test_a_stream_goes_on_where_it_left_off_and_leaves_the_global_one_alone():
    torch.manual_seed(5)
    expected = torch.rand(6)
    torch.manual_seed(9)
    outside = torch.rand(4)
    torch.manual_seed(9)
    stream, got = Stream(5), []
    for _ in range(2):
        with stream:
            got.append(torch.rand(3))
        got_outside = torch.rand(2)
    assert torch.equal(torch.cat(got), expected) and torch.equal(got_outside, outside[2:])


def test_streams_nest_and_survive_an_error():
    torch.manual_seed(1)
    outer, inner = Stream(1), Stream(2)
    with outer:
        first = torch.rand(1)
        with pytest.raises(ValueError), inner:
            raise ValueError
        second = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.cat([first, second]), torch.rand(2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_graphed_step_counts_like_an_eager_one():
    counter = torch.zeros((), device="cuda")
    step = hardware.GraphedStep(lambda: counter.add_(1) and None)
    for _ in range(10):
        step()
    assert float(counter) == 10.0


def test_flushing_sets_what_has_vanished_to_zero_and_touches_nothing_else():
    numbers = torch.tensor([1e-40, -1e-40, 1e-31, 0.0, 1e-29, -1e-29, 3.0, -float("inf"), float("nan")])
    kept = numbers[4:].clone()
    hardware.flush_vanished([numbers])
    assert numbers[:4].tolist() == [0.0] * 4
    torch.testing.assert_close(numbers[4:], kept, rtol=0, atol=0, equal_nan=True)
