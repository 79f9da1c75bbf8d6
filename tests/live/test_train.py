"""A trainer is started, paused, reset and steered while it runs."""

import gc
import time
import weakref

import ipywidgets
import pytest
import torch

from gmnm_lib.errors import InputError
from gmnm_lib.figures import digit, digit_grid
from gmnm_lib.live import Slider, explore, live_train, set_interactive
from gmnm_lib.models.vae import VAE
from gmnm_lib.trainer import Trainer


def preview(model):
    return digit_grid(model.sample(9))


@pytest.fixture
def panel(trainer):
    panel = live_train(trainer, preview=preview, epochs=10_000)
    yield panel
    panel.close()


def click(button: ipywidgets.Button) -> None:
    button._handle_button_msg(button, {"event": "click"}, [])


def test_start_trains_in_the_background_and_pause_stops(panel, trainer, eventually):
    before = bytes(panel.image.value)
    click(panel.start_button)
    assert panel.start_button.description == "Pause"
    assert eventually(
        lambda: trainer.step > 20 and bytes(panel.image.value) != before and "Training" in panel.status.value
    )
    click(panel.start_button)
    assert panel.start_button.description == "Start"
    assert eventually(lambda: "Paused" in panel.status.value)
    stopped = trainer.step
    time.sleep(0.1)
    assert trainer.step == stopped
    click(panel.start_button)
    assert eventually(lambda: trainer.step > stopped)


def test_curves_and_status_follow_the_training(panel, trainer, eventually):
    before = bytes(panel.curves.value)
    assert panel.curves.tooltip == "training curves: total"
    alone = int(panel.curves.width)
    panel.start()
    assert eventually(lambda: bytes(panel.curves.value) != before and "steps/s" in panel.status.value)
    assert panel.curves.tooltip == "training curves: total, reconstruction, kl"
    assert int(panel.curves.width) == pytest.approx(3 * alone, abs=3)
    panel.pause()
    assert eventually(lambda: f"step {trainer.step} " in panel.status.value)
    assert f"{trainer.history[-1].total:.1f}" in panel.status.value
    assert "distortion" in panel.status.value
    assert "rate" in panel.status.value


def test_training_stops_by_itself_after_its_epochs_and_goes_on_as_far_again(trainer, eventually):
    panel = live_train(trainer, preview=preview, epochs=3)
    panel.start()
    assert eventually(lambda: not panel.running)
    assert trainer.epoch == 3
    assert "Done" in panel.status.value
    panel.start()
    assert eventually(lambda: not panel.running)
    assert trainer.epoch == 6
    panel.close()


def test_a_knob_acts_on_the_next_step_while_training_goes_on(panel, trainer, eventually):
    panel.start()
    assert eventually(lambda: trainer.step > 5)
    panel.handles["noise"].value = 0.25
    moved_at = trainer.step
    assert trainer.knobs["noise"] == 0.25
    assert eventually(lambda: trainer.history and trainer.history[-1].step > moved_at + 1)
    assert trainer.history[-1].knobs["noise"] == 0.25
    assert panel.running


def test_training_goes_on_while_sliders_move(panel, trainer, model, eventually):
    explorer = explore(lambda z: digit(model.decode(torch.tensor([z, 0.0])).mean), z=Slider(-3, 3))
    panel.start()
    assert eventually(lambda: trainer.step > 0)
    first = trainer.step
    for move in range(100):
        explorer.handles["z"].value = -3 + 6 * move / 99
        time.sleep(0.002)
    assert panel.running
    assert trainer.step > first + 5
    panel.pause()
    explorer.set()
    wanted = digit(model.decode(torch.tensor([3.0, 0.0])).mean)
    assert explorer.picture.tobytes() == wanted.tobytes()
    explorer.close()


def test_open_explorers_follow_the_model_in_training(panel, model, trainer, eventually):
    explorer = explore(lambda z: digit(model.decode(torch.tensor([z, 0.0])).mean), z=Slider(-3, 3))
    before = bytes(explorer.image.value)
    panel.start()
    assert eventually(lambda: bytes(explorer.image.value) != before)
    explorer.close()


def test_every_knob_has_a_slider_over_its_range(panel, trainer):
    assert set(panel.handles) == set(trainer.knobs)
    for name, knob in trainer.knobs.ranges.items():
        for value in (knob.low, knob.high):
            panel.handles[name].value = value
            assert trainer.knobs[name] == pytest.approx(value)


def test_reset_gives_the_same_first_steps(panel, trainer, eventually):
    untrained = [p.clone() for p in trainer.model.parameters()]
    after_forty = []
    for _ in range(2):
        panel.start()
        assert eventually(lambda: trainer.step >= 40)
        panel.reset()
        assert eventually(lambda: "untrained" in panel.status.value)
        assert (trainer.step, trainer.history) == (0, [])
        assert all(torch.equal(p, q) for p, q in zip(trainer.model.parameters(), untrained, strict=True))
        panel.finish(5)  # 40 steps
        after_forty.append([p.clone() for p in trainer.model.parameters()])
        panel.reset()
        assert eventually(lambda: trainer.step == 0)
    assert all(torch.equal(p, q) for p, q in zip(*after_forty, strict=True))


def test_a_diverging_loss_shows_in_the_panel_and_start_works_again(panel, trainer, eventually):
    panel.handles["lr"].value = 1.0
    panel.start()
    loss = trainer.model.loss
    trainer.model.loss = lambda x, **knobs: loss(x * float("nan"), **knobs)
    assert eventually(lambda: panel.error.value)
    assert "diverged" in panel.error.value
    assert "lower lr" in panel.error.value
    assert not panel.running
    assert panel.start_button.description == "Start"
    trainer.model.loss = loss
    stopped = trainer.step
    panel.handles["lr"].value = 1e-3
    panel.start()
    assert panel.error.value == ""
    assert eventually(lambda: trainer.step > stopped)


def test_an_error_in_the_preview_shows_in_the_panel(trainer, eventually):
    calls = []

    def fails_later(model):
        calls.append(model)
        if len(calls) > 2:
            raise KeyError("no such digit")
        return preview(model)

    panel = live_train(trainer, preview=fails_later, epochs=10_000)
    panel.start()
    assert eventually(lambda: "no such digit" in panel.error.value)
    assert not panel.running
    panel.close()


def test_only_one_training_runs_at_a_time(panel, trainer, eventually):
    other = Trainer(VAE(pixels=16, hidden=8, latent=2), torch.rand(64, 16), batch_size=32, device="cpu")
    second = live_train(other, preview=preview, epochs=10_000)
    panel.start()
    assert eventually(lambda: trainer.step > 0)
    second.start()
    assert eventually(lambda: other.step > 0 and "another panel" in panel.status.value)
    assert (panel.running, second.running) == (False, True)
    assert panel.start_button.description == "Start"
    second.close()


def test_a_new_panel_of_a_trainer_stops_the_old_one_and_leaves_one_thread(trainer, eventually, live_threads):
    panels = []
    for _ in range(3):
        panels.append(live_train(trainer, preview=preview, epochs=10_000))
        panels[-1].start()
        assert eventually(lambda: panels[-1].running)
        assert len(live_threads()) == 1
    assert [panel.running for panel in panels] == [False, False, True]
    assert [panel.widget.comm is None for panel in panels] == [True, True, False]
    panels[-1].close()
    assert eventually(lambda: not live_threads())


def test_finish_trains_what_is_missing_in_the_foreground(panel, trainer, eventually, capsys):
    panel.start()
    assert eventually(lambda: trainer.epoch > 1)
    panel.finish(trainer.epoch + 2)
    finished = trainer.step
    assert not panel.running
    assert finished == round(trainer.epoch * trainer.steps_per_epoch)
    panel.finish(1)
    assert trainer.step == finished
    assert eventually(lambda: "Trained" in panel.status.value)


def test_finish_after_no_start_equals_training_by_hand(panel, trainer):
    panel.finish(2)
    torch.manual_seed(0)
    by_hand = Trainer(VAE(pixels=16, hidden=8, latent=2), trainer.data, batch_size=32, seed=0, device="cpu")
    for _ in by_hand.run(epochs=2):
        pass
    for ours, theirs in zip(trainer.model.parameters(), by_hand.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_closed_panel_lets_its_model_go(eventually, live_threads):
    def train_and_close() -> weakref.ref:
        model = VAE(pixels=16, hidden=8, latent=2)
        panel = live_train(Trainer(model, torch.rand(64, 16), batch_size=32, device="cpu"), preview=preview, epochs=1)
        panel.start()
        assert eventually(lambda: not panel.running)
        panel.close()
        return weakref.ref(model)

    gone = train_and_close()
    assert eventually(lambda: not live_threads())
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("arguments", "said"), [({"epochs": 0}, "epochs"), ({"knobs": ["beta"]}, "'beta'")])
def test_bad_arguments_are_named(trainer, arguments, said):
    with pytest.raises(InputError, match=said):
        live_train(trainer, preview=preview, **arguments)
    with pytest.raises(InputError, match="give it a Trainer"):
        live_train(5, preview=preview)


def test_the_still_panel_trains_at_once_and_shows_previews_along_the_way(trainer, live_threads):
    set_interactive(False)
    panel = live_train(trainer, preview=preview, epochs=4)
    assert trainer.epoch == 4
    assert not live_threads()
    frames = panel._repr_mimebundle_()["application/vnd.gmnm.frames+json"]
    (slider,) = frames["sliders"]
    assert (slider["name"], slider["values"][0], slider["values"][-1]) == ("step", 0, trainer.step)
    assert len(frames["frames"]) == len(slider["values"])
    panel.finish(6)
    assert trainer.epoch == 6
    assert panel._repr_mimebundle_()["application/vnd.gmnm.frames+json"] == frames
