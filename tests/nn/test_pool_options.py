from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from omniconv.errors import InputError
from omniconv.nn import AvgPool, LpPool, MaxPool, MaxUnpool
from omniconv.surfaces import Equirectangular, Icosphere, Plane

SIZES = ((9,), (8, 7), (6, 5, 7))


def torch_function(name, ndim):
    return getattr(F, f"{name}{ndim}d")


def options(*others):
    for kernel, stride, padding, ceil_mode, *rest in itertools.product(
        (2, 3), (1, 2, 3), (0, 1), (False, True), *others
    ):
        if 2 * padding <= kernel:
            yield kernel, stride, padding, ceil_mode, *rest


@pytest.mark.parametrize("sizes", SIZES)
def test_max_pool_and_switches_equal_torch(sizes):
    ndim = len(sizes)
    x = torch.randn(2, 3, *sizes)
    for kernel, stride, padding, ceil_mode, dilation in options((1, 2)):
        pool = MaxPool(kernel, stride, padding, dilation, ceil_mode, return_switches=True, surface=Plane(ndim))
        expected = torch_function("max_pool", ndim)(
            x, kernel, stride, padding, dilation, ceil_mode=ceil_mode, return_indices=True
        )
        for ours, theirs in zip(pool(x), expected, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("sizes", SIZES)
def test_avg_pool_equals_torch(sizes):
    ndim = len(sizes)
    x = torch.randn(2, 3, *sizes)
    for kernel, stride, padding, ceil_mode, counted in options((False, True)):
        pool = AvgPool(kernel, stride, padding, ceil_mode, counted, surface=Plane(ndim))
        expected = torch_function("avg_pool", ndim)(x, kernel, stride, padding, ceil_mode, counted)
        torch.testing.assert_close(pool(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_lp_pool_equals_torch(sizes, p):
    ndim = len(sizes)
    x = torch.rand(2, 3, *sizes)  # torch takes powers without the absolute value
    for kernel, stride, ceil_mode in itertools.product((2, 3), (1, 2), (False, True)):
        pool = LpPool(kernel, stride, ceil_mode=ceil_mode, p=p, surface=Plane(ndim))
        got, expected = pool(x), torch_function("lp_pool", ndim)(x, p, kernel, stride, ceil_mode)
        inner = tuple(slice(0, (size - kernel) // stride + 1) for size in sizes)  # torch scales windows that hang over
        torch.testing.assert_close(got[(..., *inner)], expected[(..., *inner)], rtol=1e-4, atol=1e-5)
        assert got.shape == expected.shape


def test_lp_pool_takes_absolute_values():
    x = torch.tensor([[[-3.0, 4.0]]])
    assert LpPool(2, p=3.0, surface=Plane(1))(x).item() == pytest.approx(91 ** (1 / 3))


@pytest.mark.parametrize("dilation", [2, 3])
def test_dilated_avg_pool_skips_samples(dilation):
    x = torch.randn(2, 3, 11)
    windows = x.unfold(2, dilation + 1, 1)[..., ::dilation]
    pool = AvgPool(2, 1, dilation=dilation, surface=Plane(1))
    torch.testing.assert_close(pool(x), windows.mean(-1))


@pytest.mark.parametrize("poles", ["over", "zeros", "replicate", "reflect"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1)])
@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_switches_point_at_maxima_beyond_the_edges_too(poles, kernel, stride, size):
    x = torch.randn(2, 3, *size)
    pool = MaxPool(kernel, stride, "same_upper", return_switches=True, surface=Equirectangular(poles))
    values, switches = pool(x)
    torch.testing.assert_close(x.flatten(2).gather(2, switches.flatten(2)).view_as(values), values)
    torch.testing.assert_close(values, MaxPool(kernel, stride, "same_upper", surface=Equirectangular(poles))(x))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)])
def test_unpooling_restores_maxima(kernel, stride, padding):
    x = torch.rand(2, 3, 9, 8) + 1
    values, switches = MaxPool(kernel, stride, padding, return_switches=True)(x)
    back = MaxUnpool(kernel, stride, padding)(values, switches, x.shape)
    taken = torch.zeros_like(x, dtype=torch.bool).flatten(2).scatter(2, switches.flatten(2), True).view_as(x)
    torch.testing.assert_close(back, torch.where(taken, x, torch.zeros_like(x)))


def test_unpooling_equals_torch_where_windows_do_not_overlap():
    x = torch.randn(2, 3, 8, 6)
    values, switches = MaxPool(2, return_switches=True)(x)
    torch.testing.assert_close(MaxUnpool(2)(values, switches), F.max_unpool2d(values, switches, 2))


def test_unpooling_on_a_mesh():
    surface = Icosphere(2)
    x = torch.rand(2, 3, 162) + 1
    values, switches = MaxPool(2, return_switches=True, surface=surface)(x)
    torch.testing.assert_close(values, MaxPool(2, surface=surface)(x))
    back = MaxUnpool(2, surface=surface.coarser())(values, switches)
    assert back.shape == x.shape
    assert ((back == 0) | (back == x)).all()
    torch.testing.assert_close(back.gather(2, switches), values)


def test_norm_on_a_mesh_of_a_constant():
    pool = LpPool(2, p=2.0, surface=Icosphere(1))
    torch.testing.assert_close(
        pool(torch.full((1, 2, 42), 3.0)), torch.full((1, 2, 12), 3.0 * 6**0.5), atol=1e-4, rtol=1e-4
    )


def test_gradients_of_switched_pooling_and_unpooling():
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)

    def there_and_back(x):
        values, switches = MaxPool(3, 2, 1, return_switches=True)(x)
        return MaxUnpool(3, 2, 1)(values, switches, x.shape)

    assert torch.autograd.gradcheck(there_and_back, x)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LpPool(2, p=0), "p=0: must be a number above 0"),
        (lambda: MaxUnpool()(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 3, dtype=torch.int64)), "switches=.*shape"),
        (
            lambda: MaxUnpool()(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)),
            "switches=torch.float32: must have an integer",
        ),
        (lambda: AvgPool(2, dilation=2, surface=Icosphere(1)), "dilation=2: must be 1 on a mesh"),
    ],
)
def test_invalid_arguments_are_refused(make, text):
    with pytest.raises(InputError, match=text):
        make()


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_mean_of_a_padded_window_that_is_wider_than_the_signal(rank, counted):
    x = torch.rand(2, 3, *[6] * rank)
    y = AvgPool(9, 1, "same", count_include_pad=counted, surface=Plane(rank))(x)
    padded, ones = (F.pad(one, [4, 4] * rank) for one in (x, torch.ones_like(x)))
    windows, counts = (one.unfold(2, 9, 1) for one in (padded, ones))
    for axis in range(3, rank + 2):
        windows, counts = windows.unfold(axis, 9, 1), counts.unfold(axis, 9, 1)
    dims = tuple(range(rank + 2, 2 * rank + 2))
    number = 9**rank if counted else counts.sum(dims)
    torch.testing.assert_close(y, windows.sum(dims) / number)
