"""Line integrals against differences of a known log density; rotation against a field whose curl is known."""

import math

import pytest
import torch

from gmnm_lib.densities import GaussianMixture
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.score import (
    circulation,
    curl,
    energy_along,
    jacobian,
    line_integral,
    rotational_share,
    score_error,
)
from gmnm_lib.models.dae import DenoisingMLP

MIXTURE = GaussianMixture(
    torch.tensor([1.0, 2]).double(), torch.tensor([[-1.0, 0], [1, 0.5]]).double(), torch.tensor([0.2, 0.4]).double()
)
POINTS = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).double()
SPIN = torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double()


def turning(x):
    """The score of a standard normal, and a rotation of angular speed 0.7: curl 1.4."""
    return -x + 0.7 * x @ SPIN.T


def circle(radius: float, points: int = 400):
    angle = torch.arange(points).double() * 2 * math.pi / points
    return radius * torch.stack([angle.cos(), angle.sin()], -1)


def test_energy_along_a_path_is_the_difference_of_log_densities():
    path = torch.stack([POINTS[:3], POINTS[3:]], 0).cumsum(1)  # two paths of three points
    energy = energy_along(MIXTURE.score, path, nodes=40)
    log_p = MIXTURE.log_prob(path)
    assert torch.allclose(energy, log_p[:, :1] - log_p, atol=1e-10)


def test_the_quadrature_is_exact_for_polynomials_of_its_degree():
    line = torch.tensor([[0.0], [0.5], [2.0]]).double()
    for nodes, degree in ((1, 1), (2, 3), (4, 7)):
        found = line_integral(lambda x, d=degree: x**d, line, nodes=nodes)
        assert found.tolist() == pytest.approx(
            [0, 0.5 ** (degree + 1) / (degree + 1), 2 ** (degree + 1) / (degree + 1)]
        )
        off = line_integral(lambda x, d=degree: x ** (d + 1), line, nodes=nodes)[-1]
        assert abs(float(off) - 2 ** (degree + 2) / (degree + 2)) > 1e-6


def test_a_loop_in_a_score_comes_back_to_nothing_and_in_a_rotation_to_curl_times_area():
    """Green's theorem; a polygon of 400 corners has its own area."""
    loop = circle(1.5)
    assert float(circulation(MIXTURE.score, loop)) == pytest.approx(0, abs=1e-9)
    area = 0.5 * 400 * 1.5**2 * math.sin(2 * math.pi / 400)
    assert float(circulation(turning, loop)) == pytest.approx(1.4 * area)


def test_the_jacobian_of_a_score_is_its_closed_form_and_has_no_curl():
    assert torch.allclose(jacobian(MIXTURE.score, POINTS), MIXTURE.score_jacobian(POINTS), atol=1e-10)
    assert float(curl(MIXTURE.score, POINTS).abs().max()) < 1e-10
    assert float(rotational_share(MIXTURE.score, POINTS).max()) < 1e-20


def test_a_rotation_is_found_and_weighed():
    """J = -I + 0.7 R: curl 1.4 in the plane, share 0.49 / 1.49."""
    assert torch.allclose(curl(turning, POINTS)[:, 1, 0], torch.tensor(1.4).double())
    assert torch.allclose(rotational_share(turning, POINTS), torch.tensor(0.49 / 1.49).double())


def test_a_networks_curl_is_that_of_finite_differences():
    torch.manual_seed(0)
    model = DenoisingMLP(2, (8,)).double()
    step = 1e-6
    first, second = torch.tensor([[step, 0], [0, step]]).double()
    d = [(model.score(POINTS + h, 0.5) - model.score(POINTS - h, 0.5)) / (2 * step) for h in (first, second)]
    expected = d[0][:, 1] - d[1][:, 0]
    assert torch.allclose(curl(lambda x: model.score(x, 0.5), POINTS)[:, 1, 0], expected.detach(), atol=1e-6)


def test_score_error_is_the_mean_square_and_its_standard_error():
    """A constant shift of length 5 has error 25 and no spread; a random field's error is known."""
    found = score_error(lambda x: MIXTURE.score(x) + torch.tensor([3.0, 4.0]).double(), MIXTURE.score, POINTS)
    assert found.mean == pytest.approx(25) and found.standard_error == pytest.approx(0, abs=1e-9)
    assert found.relative == pytest.approx(25 / float(MIXTURE.score(POINTS).square().sum(1).mean()))
    torch.manual_seed(0)
    x = torch.randn(4000, 2)
    found = score_error(lambda x: 0 * x, lambda x: x, x)  # |x|^2 is chi-squared with two degrees: mean 2, deviation 2
    assert found.mean == pytest.approx(2, abs=4 * found.standard_error)
    assert found.standard_error == pytest.approx(2 / 4000**0.5, rel=0.1) and found.relative == pytest.approx(1)
    assert "own square" in str(found)


def test_paths_of_one_point_and_lone_points_are_named():
    with pytest.raises(InputError, match="two or more points"):
        energy_along(MIXTURE.score, POINTS[:1])
    with pytest.raises(InputError, match="nodes is 0"):
        energy_along(MIXTURE.score, POINTS, nodes=0)
    with pytest.raises(InputError, match="two or more points"):
        score_error(MIXTURE.score, MIXTURE.score, POINTS[:1])
