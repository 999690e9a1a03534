"""A small ResNet with the parameter names of torchvision and mmdet (He et al., CVPR 2016).

Blocks keep the stride in the 3x3 convolution of the bottleneck ("pytorch" style), so ImageNet weights of torchvision
load unchanged. Unlike torchvision's class it returns feature maps, has a free base width and can freeze stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from perception.errors import PerceptionError
from perception.registry import MODELS

DEPTHS = {
    10: ("basic", (1, 1, 1, 1)),
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, channels, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut; four times as many channels out."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, 4 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in, H, W) to (B, 4 * channels, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


@MODELS.register_module(name="SlimResNet")
class ResNet(BaseModule):
    """ResNet feature extractor.

    Args:
        depth: 10, 18, 34, 50, 101 or 152.
        in_channels: Channels of the input image.
        base_width: Channels of the stem and of the first stage; 64 is the published width.
        out_indices: Stages (0..3, strides 4, 8, 16, 32) whose output is returned.
        frozen_stages: -1 trains everything, 0 freezes the stem, k > 0 also the first k stages.
        norm_eval: Keep every batch norm on its running statistics while training.
        pretrained: ``None``, a local file with torchvision names, or ``"torchvision://resnet18"``; see `init_weights`.
    """

    def __init__(
        self,
        depth: int = 18,
        in_channels: int = 3,
        base_width: int = 64,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise PerceptionError(f"ResNet depth must be one of {sorted(DEPTHS)}, found {depth}")
        kind, blocks = DEPTHS[depth]
        block = BasicBlock if kind == "basic" else Bottleneck
        self.depth, self.base_width, self.out_indices = depth, base_width, tuple(out_indices)
        self.frozen_stages, self.norm_eval, self.pretrained = frozen_stages, norm_eval, pretrained
        self.has_weights = False
        self.conv1 = nn.Conv2d(in_channels, base_width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(base_width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        width = base_width
        self.out_channels: list[int] = []
        for stage in range(max(self.out_indices) + 1):
            channels = base_width * 2**stage
            layers: list[nn.Module] = []
            for i in range(blocks[stage]):
                layers.append(block(width, channels, 2 if stage > 0 and i == 0 else 1))
                width = channels * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
            self.out_channels.append(width)
        self._random_weights()
        self._freeze()
        self.register_load_state_dict_post_hook(_mark_loaded)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of `out_indices` for images (B, in_channels, H, W) float32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps = []
        for stage in range(len(self.out_channels)):
            x = getattr(self, f"layer{stage + 1}")(x)
            if stage in self.out_indices:
                maps.append(x)
        return tuple(maps)

    def train(self, mode: bool = True) -> ResNet:
        """Switch to training, keeping frozen stages (and, with `norm_eval`, all norms) in evaluation mode."""
        super().train(mode)
        if mode:
            for module in self._frozen_modules():
                module.eval()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, nn.BatchNorm2d):
                        module.eval()
        return self

    def init_weights(self) -> None:
        """Load `pretrained`, if any (classifier weights in the file are ignored).

        Raises:
            PerceptionError: The file is missing or does not fit this network.
        """
        if self.pretrained is None or self.has_weights:
            return
        state = _read_pretrained(self.pretrained)
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
        own = self.state_dict()
        wrong = [k for k, v in state.items() if k in own and own[k].shape != v.shape]
        wrong += [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
        if wrong:
            raise PerceptionError(f"{self.pretrained}: not weights of this ResNet-{self.depth}: {', '.join(wrong[:5])}")
        self.load_state_dict(state, strict=False)

    def check_frozen(self) -> None:
        """Refuse to train when frozen stages hold random weights.

        Raises:
            PerceptionError: Names the file that should have been loaded.
        """
        if self.frozen_stages >= 0 and not self.has_weights:
            wanted = self.pretrained or "no file is configured (backbone.pretrained)"
            raise PerceptionError(
                f"ResNet-{self.depth} freezes {self.frozen_stages} stages but has random weights; looked for: {wanted}"
            )

    def _random_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        stages = [getattr(self, f"layer{i}") for i in range(1, min(self.frozen_stages, len(self.out_channels)) + 1)]
        return [self.conv1, self.bn1, *stages]

    def _freeze(self) -> None:
        for module in self._frozen_modules():
            module.eval()
            module.requires_grad_(False)


def _mark_loaded(module: nn.Module, incompatible: object) -> None:
    missing = getattr(incompatible, "missing_keys", [])
    if not any(key.endswith("conv1.weight") for key in missing):
        module.has_weights = True  # type: ignore[assignment]


def _read_pretrained(source: str) -> dict[str, Tensor]:
    if not source.startswith("torchvision://"):
        path = Path(source)
        if not path.is_file():
            raise PerceptionError(f"backbone weights not found: looked for {path}")
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("state_dict", state)
    import torchvision

    name = source.removeprefix("torchvision://")
    weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise PerceptionError(f"backbone weights not found: looked for {file} and {weights.url} ({error})") from error
