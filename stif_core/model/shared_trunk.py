"""One pretrained trunk shared by memory and query, as ``nano`` has it."""

from pathlib import Path

from torch import Tensor, nn

from stif_core.model.fbnet import FBNet
from stif_core.model.mobilenet import MobileNetV3Small
from stif_core.model.weights import load_state


class SharedTrunkBranches(nn.Module):
    """Both branches run the same trunk; the foreground map of a memory frame is embedded beside it."""

    def __init__(self, trunk: MobileNetV3Small | FBNet) -> None:
        super().__init__()
        self.trunk = trunk
        self.channels = trunk.channels
        self.stride = trunk.stride
        self.grid_origin = trunk.grid_origin
        self.foreground_stem = nn.Conv2d(1, trunk.stem_channels, 3, 2, 1, bias=False)
        self.foreground_cells = nn.Conv2d(1, self.channels, 1)
        # A pretrained trunk must see at first what it was trained on.
        nn.init.zeros_(self.foreground_stem.weight)

    def cells(self, crop_size: int) -> int:
        """Cells along a side."""
        return crop_size // self.stride

    def trunks(self) -> list[nn.Module]:
        """What comes pretrained."""
        return [self.trunk]

    def load_trunk(self, path: Path) -> None:
        """Starts from a pretrained trunk, or that of a whole network (safetensors); errors as for ``load_state``."""
        load_state(self.trunk, path, prefix="branches.trunk.")

    def frozen_with_trunk(self) -> list[nn.Module]:
        """The foreground map's way into the first layer is of use only where that is trained along."""
        return [self.foreground_stem]

    def memory(self, image: Tensor, foreground: Tensor) -> Tensor:
        feature = self.trunk(image, self.foreground_stem(foreground))
        cells = nn.functional.avg_pool2d(foreground, self.stride)
        return feature + self.foreground_cells(cells)

    def query(self, image: Tensor) -> Tensor:
        return self.trunk(image)
