"""Backend on PyTorch."""

import numpy as np
import torch
from numpy.typing import NDArray

from stif_core.model.stif import Stif, load_weights
from stif_core.weights import ModelFiles


class TorchBackend:
    """Runs the network itself; see ``Backend``."""

    name = "torch"
    precision = "fp32"
    batch: int | None = None

    def __init__(self, model: Stif) -> None:
        """``model`` is in evaluation mode and lies on the device that it is to run on."""
        self.config = model.config
        self._model = model
        self._device = next(model.parameters()).device

    @torch.inference_mode()
    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._model.memorize(self._tensor(image), self._tensor(foreground)).cpu().numpy()

    @torch.inference_mode()
    def enhance(self, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._model.enhance(self._tensor(memory)).cpu().numpy()

    @torch.inference_mode()
    def track(
        self, image: NDArray[np.uint8], enhanced: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        score, box = self._model.track(self._tensor(image), self._tensor(enhanced))
        return score.cpu().numpy(), box.cpu().numpy()

    def _tensor(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def load_torch_backend(files: ModelFiles, threads: int) -> TorchBackend:
    """From the safetensors file; on the GPU where there is one. Errors as for ``load_weights``."""
    if threads:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchBackend(load_weights(files.config(), files.weights).to(device))
