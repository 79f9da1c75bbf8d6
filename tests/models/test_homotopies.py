"""Where the ways from one code to another begin, end and lie."""

import pytest
import torch
import torch.nn.functional as F

from gmnm_lib.models.homotopies import linear_homotopy, spherical_homotopy


@pytest.mark.parametrize("homotopy", [linear_homotopy, spherical_homotopy])
def test_homotopies_begin_and_end_where_they_should(homotopy):
    z1, z2 = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(homotopy(z1, z2, 0.0), z1)
    torch.testing.assert_close(homotopy(z1, z2, 1.0), z2)
    torch.testing.assert_close(homotopy(z1, z1, 0.3), z1)


def test_the_spherical_way_stays_at_its_radius_at_even_angles():
    z1, z2 = F.normalize(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)).double(), dim=-1)
    middle = spherical_homotopy(z1, z2, 0.25)
    torch.testing.assert_close(middle.norm(dim=-1), torch.ones(5).double())
    whole, part = ((z1 * z).sum(-1).arccos() for z in (z2, middle))
    torch.testing.assert_close(part, whole / 4)
