"""The speedruns' network: as much accuracy per operation as is known at this size.

After airbench (Jordan 2024, arXiv 2404.00498) and hlb-CIFAR10: a frozen whitening convolution, convolutions that start
as the identity, batch norm without scale, and nothing else that costs time.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from thirtytwo.models import models
from thirtytwo.models.network import Network

_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}
_Activation = Literal["gelu", "relu", "silu"]
_Width = Annotated[int, Field(ge=1, le=100_000)]


@models.register
def speednet(
    channels: int,
    classes: int,
    widths: tuple[_Width, _Width, _Width] = (64, 256, 256),
    activation: _Activation = "gelu",
    convs: Literal[2, 3] = 2,
    whiten_bias_epochs: Annotated[float, Field(gt=0)] = 3.0,
) -> Network:
    """The speedruns' network (arXiv 2404.00498): whitening, three groups of convolutions, a linear head.

    1.97 M parameters at the default widths, which are airbench94's. airbench95 is ``widths=(128, 384, 384)``,
    airbench96 ``widths=(128, 384, 512), convs=3`` with 9.92 M. Takes images of at least 2 x 2 pixels.

    Args:
        channels: of the images.
        classes: number of classes.
        widths: filters of the three groups.
        activation: applied after the whitening and after each norm.
        convs: convolutions in a group; with 3, the last two have a residual connection around them.
        whiten_bias_epochs: the whitening's biases are trained until this epoch.
    """
    module = SpeedNet(channels, classes, widths, activation, convs)
    return Network(module, initialise=module.initialise, trained_epochs={"whiten.bias": whiten_bias_epochs})


class SpeedNet(nn.Module):
    """The layers of `speednet`, whose arguments it takes."""

    def __init__(
        self, channels: int, classes: int, widths: tuple[int, int, int], activation: _Activation, convs: Literal[2, 3]
    ) -> None:
        super().__init__()
        patch = channels * 2 * 2
        self.whiten = nn.Conv2d(channels, 2 * patch, 2)
        self.whiten.weight.requires_grad = False
        nn.init.zeros_(self.whiten.bias)  # type: ignore[arg-type]
        self.act = _ACTIVATIONS[activation]()
        self.groups = nn.Sequential(*(_Group(a, b, activation, convs) for a, b in pairwise((2 * patch, *widths))))
        self.head = nn.Linear(widths[-1], classes, bias=False)
        # The speedruns scale the logits down (by 1/9, or by 1/256 over a unit head), which is the same function and the
        # same steps as a head that starts this small with a learning rate smaller by the square of the factor.
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std() * widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, channels, H, W)."""
        x = self.groups(self.act(self.whiten(x)))
        x = F.max_pool2d(x, x.shape[-2:]).flatten(1)
        logits: Tensor = self.head(x)
        return logits

    @torch.no_grad()
    def initialise(self, images: Tensor) -> None:
        """Set the whitening filters from normalised images, float (N, channels, H, W)."""
        # On the processor: every device gets the same filters, and Apple's GPUs have no float64.
        filters = whitening(images.cpu(), self.whiten.kernel_size).to(images.device)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))


def whitening(images: Tensor, kernel: tuple[int, ...] = (2, 2), eps: float = 5e-4) -> Tensor:
    """Filters (C*kh*kw, C, kh, kw) that make the patches of ``images``, float (N, C, H, W), white.

    The eigenvectors of the patches' covariance, strongest first, each divided by sqrt(eigenvalue + eps); eps keeps
    directions in which the patches hardly vary (a grey picture saved as RGB, a constant border) from being blown up.
    Computed in float64, a block of images at a time.
    """
    channels = images.shape[1]
    inputs = channels * kernel[0] * kernel[1]
    count = 0
    total = torch.zeros(inputs, dtype=torch.float64, device=images.device)
    products = torch.zeros(inputs, inputs, dtype=torch.float64, device=images.device)
    for block in torch.split(images, 500):
        patches = F.unfold(block.double(), kernel).transpose(1, 2).reshape(-1, inputs)
        count += len(patches)
        total += patches.sum(0)
        products += patches.T @ patches
    mean = total / count
    eigenvalues, eigenvectors = torch.linalg.eigh(products / count - mean.outer(mean))
    filters: Tensor = eigenvectors.T / (eigenvalues.clamp(min=0) + eps).sqrt()[:, None]
    return filters.flip(0).reshape(inputs, channels, *kernel).to(images.dtype)


class _Group(nn.Module):
    """Convolution, pool, norm, activation; then convolutions with norm and activation."""

    def __init__(self, inputs: int, outputs: int, activation: str, convs: int) -> None:
        super().__init__()
        self.conv1 = _PooledConv(inputs, outputs)
        self.pool = _MaxPool()
        self.norm1 = _BiasNorm(outputs)
        self.conv2 = _Conv(outputs, outputs)
        self.norm2 = _BiasNorm(outputs)
        self.residual = convs == 3
        if self.residual:
            self.conv3 = _Conv(outputs, outputs)
            self.norm3 = _BiasNorm(outputs)
        self.act = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x = self.act(self.norm1(self.pool(self.conv1(x))))
        x = self.act(self.norm2(self.conv2(x)))
        if self.residual:
            x = self.act(self.norm3(self.conv3(x)) + shortcut)
        return x


class _Conv(nn.Conv2d):
    """A 3x3 convolution that starts as the identity on its first ``inputs`` filters (Dirac initialisation)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)
        nn.init.dirac_(self.weight[:inputs].detach())


class _PooledConv(_Conv):
    """A convolution before a 2x2 max-pool: an odd map's last row and column, which the pool drops, are not computed.

    Saves 10 % of the network's operations on 32 x 32 images. Two cores, batch 500, bf16: 4.5 % faster on maps of 15 and
    7 pixels; at 31 pixels the padded copy costs more than the row and column.
    """

    def forward(self, x: Tensor) -> Tensor:
        cut_h, cut_w = (n % 2 if 1 < n < 24 else 0 for n in x.shape[-2:])
        if not cut_h and not cut_w:
            return super().forward(x)
        return F.conv2d(F.pad(x, (1, 1 - cut_w, 1, 1 - cut_h)), self.weight)


class _MaxPool(nn.Module):
    """2x2 max-pool; a side of a single pixel stays as it is."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = [min(2, n) for n in x.shape[-2:]]
        if x.device.type == "cpu" and x.requires_grad:
            pooled: Tensor = _LeanMaxPool.apply(x, kernel)
            return pooled
        return F.max_pool2d(x, kernel)


_BLOCK = 64
"""Images whose indices are widened at a time."""


class _LeanMaxPool(torch.autograd.Function):
    """F.max_pool2d, bit for bit, but keeping less for its backward pass.

    Of its input, the backward pass needs only the shape. Two cores, bf16: a process's peak memory 1,359 -> 1,281 MB
    at batch 500, 1,941 -> 1,837 MB at 1,000, and no slower.
    The indices, which PyTorch keeps as int64, are positions in a map and fit 16 bits: another 80 MB. The backward pass
    widens them again, a block of images at a time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: list[int]) -> Tensor:
        pooled: Tensor
        pooled, indices = torch.ops.aten.max_pool2d_with_indices(x, kernel, kernel)
        small = torch.int16 if x.shape[-2] * x.shape[-1] < 2**15 else torch.int64
        ctx.save_for_backward(indices.to(small))
        ctx.shape, ctx.kernel = x.shape, kernel
        ctx.channels_last = x.is_contiguous(memory_format=torch.channels_last)
        return pooled

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        layout = torch.channels_last if ctx.channels_last else torch.contiguous_format
        found = torch.empty(ctx.shape, dtype=grad.dtype, memory_format=layout)
        backward = torch.ops.aten.max_pool2d_with_indices_backward.grad_input
        for start in range(0, len(grad), _BLOCK):
            some = slice(start, start + _BLOCK)
            shape = torch.empty_like(found[some])
            wide = indices[some].long()
            backward(grad[some], shape, ctx.kernel, ctx.kernel, [0, 0], [1, 1], False, wide, grad_input=found[some])
        return found, None


class _BiasNorm(nn.BatchNorm2d):
    """Batch norm with a trained bias and no scale; its running statistics follow the last few batches.

    eps is 1e-5 where airbench has 1e-12. With 1e-12, a channel that never varies (grey pictures saved as RGB)
    multiplies gradients by 10^6 at each norm: such digits ended with a loss of nan; with 1e-5 they reach 92 % in 60
    steps.
    CIFAR-10's channels start with a variance of 0.04 or more.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, eps=1e-5, momentum=0.4)
        self.register_parameter("weight", None)
