"""Backend on PyTorch, from the safetensors file; on the GPU where there is one."""

import numpy as np
import torch
from numpy.typing import NDArray

from stif_core.model.stif import load_weights
from stif_core.weights import ModelFiles


class TorchBackend:
    """Runs the network itself; see ``Backend``."""

    name = "torch"

    def __init__(self, files: ModelFiles, threads: int) -> None:
        self.config = files.config()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if threads:
            torch.set_num_threads(threads)
        self._model = load_weights(self.config, files.weights).to(self._device)

    @torch.inference_mode()
    def memorize(self, image: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._model.memorize(self._tensor(image), self._tensor(foreground)).cpu().numpy()

    @torch.inference_mode()
    def track(
        self, image: NDArray[np.uint8], memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        score, box = self._model.track(self._tensor(image), self._tensor(memory))
        return score.cpu().numpy(), box.cpu().numpy()

    def _tensor(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
