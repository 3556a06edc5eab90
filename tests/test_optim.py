import copy

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from thirtytwo.errors import UserError
from thirtytwo.optim import averages, optimizers, schedules
from thirtytwo.optim.muon import orthogonalise
from thirtytwo.optim.optimizer import Optimizer, parameter_groups


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return torch.tensor(data.images / 16, dtype=torch.float32)[:, None], torch.tensor(data.target)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8),
        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def build(name, net, *, lr=0.05, momentum=0.9, weight_decay=0.0, clip=None, **groups):
    parts = optimizers.build(
        name, groups=parameter_groups(net, lr=lr, weight_decay=weight_decay, **groups), lr=lr, momentum=momentum,
        nesterov=True, betas=(0.9, 0.99),
    )  # fmt: skip
    return Optimizer(parts, clip)


def fit(net, optimizer, digits, steps, start=0, average=None):
    images, labels = digits
    losses = []
    for step in range(start, start + steps):
        batch = slice(step * 64 % 1700, step * 64 % 1700 + 64)
        loss = cross_entropy(net(images[batch]), labels[batch])
        loss.backward()
        optimizer.step(1.0, epoch=step / 10)
        if average is not None:
            average.update((step + 1) / 20)
        losses.append(float(loss.detach()))
    return losses


RATES = {"sgd": 0.05, "adam": 0.003, "adamw": 0.003, "rmsprop": 0.001, "muon": 0.1}


@pytest.mark.parametrize("name", [name for name in optimizers.names() if name in RATES])
def test_it_learns_the_digits_and_resumes_exactly(name, digits):
    """Ten steps, state taken through its tensors, ten more: the same bits as twenty steps."""
    whole = network()
    losses = fit(whole, build(name, whole, lr=RATES[name]), digits, 20)
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])

    first = network()
    optimizer = build(name, first, lr=RATES[name])
    fit(first, optimizer, digits, 10)
    second = copy.deepcopy(first)
    again = build(name, second, lr=RATES[name])
    again.load_tensors({key: tensor.clone() for key, tensor in optimizer.tensors().items()})
    fit(second, again, digits, 10, start=10)
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("weights, biases", [(0.1, 0.0), (0.0, 0.1)])
@pytest.mark.parametrize("name", optimizers.names())
def test_norms_and_biases_have_a_decay_of_their_own(name, weights, biases):
    """With zero gradients only decay moves a parameter, and it moves towards zero."""
    net = network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.rand_like(parameter) + 1)
    before = copy.deepcopy(net)
    optimizer = build(name, net, momentum=0.0, weight_decay=weights, bias_weight_decay=biases)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0, epoch=0)
    for (key, one), other in zip(net.named_parameters(), before.parameters(), strict=True):
        if key == "8.weight":
            assert (one < other).all() if weights else torch.equal(one, other)
        elif key.endswith("bias") or key in ("1.weight", "4.weight"):
            assert (one < other).all() if biases else torch.equal(one, other)


def test_groups_hold_every_trainable_parameter_once():
    net = network()
    net[0].weight.requires_grad_(False)
    groups = parameter_groups(net, lr=1.0, weight_decay=0.1, bias_lr=2.0, head_lr=3.0, head=["8.weight"],
                              until={"0.bias": 2.0})  # fmt: skip
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in net.parameters() if p.requires_grad)
    rates = {(group["role"], group["until"]): group["lr"] for group in groups}
    inf = float("inf")
    assert rates == {("biases", 2.0): 2.0, ("biases", inf): 2.0, ("filters", inf): 1.0, ("head", inf): 3.0}


def test_a_parameter_with_an_end_is_frozen_there(digits):
    net = network()
    optimizer = build("sgd", net, until={"0.bias": 1.0})
    fit(net, optimizer, digits, 5)
    middle = net[0].bias.clone()
    fit(net, optimizer, digits, 6, start=5)
    end = net[0].bias.clone()
    fit(net, optimizer, digits, 5, start=11)
    assert not torch.equal(middle, end) and torch.equal(end, net[0].bias)
    assert not net[0].bias.requires_grad


def test_clipping_bounds_the_step():
    net = network()
    before = copy.deepcopy(net)
    optimizer = build("sgd", net, lr=1.0, momentum=0.0, clip=0.5)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 10.0)
    optimizer.step(1.0, epoch=0)
    moved = (
        sum(float(((a - b).detach() ** 2).sum()) for a, b in zip(net.parameters(), before.parameters(), strict=True))
        ** 0.5
    )
    assert moved == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("shape", [(16, 16), (64, 9), (9, 64)])
def test_orthogonalised_singular_values_are_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalise(matrix, steps=5).float())
    assert values.max() < 1.3 and values.min() > 0.3
    assert orthogonalise(matrix).dtype == torch.bfloat16


@pytest.mark.parametrize("name", schedules.names())
def test_every_schedule_stays_between_zero_and_its_peak(name):
    schedule = schedules.build(name)
    values = [schedule(step / 100) for step in range(100)]
    assert all(0 <= value <= 1 + 1e-12 for value in values)
    assert max(values) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "text", ["constant(warmup=0.2)", "cosine(warmup=0.2)", "step(warmup=0.2)", "plateau(warmup=0.2)"]
)
def test_warm_up_is_a_straight_line_from_zero(text):
    schedule = schedules.build(text)
    assert [schedule(t) for t in (0, 0.05, 0.1)] == pytest.approx([0, 0.25, 0.5])


def test_known_points_of_the_schedules():
    cosine, triangle = schedules.build("cosine"), schedules.build("triangular(start=0.2, peak=0.2, end=0.1)")
    assert [cosine(t) for t in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert [triangle(t) for t in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0.2, 0.6, 1, 0.55, 0.1])
    step = schedules.build("step(at=(0.5, 0.75), gamma=0.1)")
    assert [step(t) for t in (0.49, 0.5, 0.75)] == pytest.approx([1, 0.1, 0.01])
    cycle = schedules.build("one_cycle(peak=0.4, start=0.1)")
    assert [cycle(t) for t in (0, 0.4, 1)] == pytest.approx([0.1, 1, 0])


def test_plateau_falls_when_val_stops_improving_and_remembers():
    schedule = schedules.build("plateau(factor=0.5, patience=2)")
    for loss in (1.0, 0.9, 0.95, 0.95):
        schedule.observe(loss)
    assert schedule(0.5) == 0.5
    again = schedules.build("plateau(factor=0.5, patience=2)")
    again.restore(schedule.state())
    for each in (schedule, again):
        each.observe(0.95)
        each.observe(0.95)
    assert again(0.6) == schedule(0.6) == 0.25


@pytest.mark.parametrize(
    "text", ["cosine(warmup=2)", "step(gamma=1.5)", "plateau(patience=0)", "ema(1.5)", "lookahead(0)"]
)
def test_settings_out_of_range_are_refused(text):
    registry = schedules if text.split("(")[0] in schedules else averages
    with pytest.raises(UserError, match="argument"):
        registry.check(text)


def test_an_ema_of_a_still_network_is_the_network_and_lags_behind_a_moving_one():
    net = network()
    average = averages.build("ema(0.9)", network=net)
    average.update(0.5)
    assert torch.equal(average.model[0].weight, net[0].weight)
    old = net[0].weight.detach().clone()
    with torch.no_grad():
        net[0].weight.add_(1.0)
    average.update(1.0)
    moved = (average.model[0].weight - old).mean()
    assert 0 < float(moved) < 1
    assert not any(p.requires_grad for p in average.model.parameters())


def test_lookahead_ends_on_its_slow_weights(digits):
    net = network()
    average = averages.build("lookahead(5, 0.95)", network=net)
    fit(net, build("sgd", net), digits, 20, average=average)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, average.slow[name])


@pytest.mark.parametrize("text", ["ema(0.9)", "lookahead(3)", "none"])
def test_averages_resume_exactly(text, digits):
    def run(split):
        net = network()
        average, optimizer = averages.build(text, network=net), build("sgd", net)
        fit(net, optimizer, digits, split, average=average)
        if split < 20:
            tensors = {key: value.clone() for key, value in average.tensors().items()}
            fresh = averages.build(text, network=net)
            fresh.load_tensors(tensors, average.steps)
            fit(net, optimizer, digits, 20 - split, start=split, average=fresh)
            average = fresh
        return average.model.state_dict()

    for one, other in zip(run(20).values(), run(7).values(), strict=True):
        assert torch.equal(one, other)
