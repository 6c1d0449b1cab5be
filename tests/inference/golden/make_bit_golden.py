"""Make bit_golden.npz: feature maps of timm's BiT ResNet-50x1, to compare `BitResNet` with.

timm is an implementation independent of ours (https://github.com/huggingface/pytorch-image-models).
It reads our weights from a file in the official layout with its own reader. Install torch and timm
(made with 2.15 and 1.0.31) in an environment of their own, with numpy, and run from the root:

    python -m tests.inference.golden.make_bit_golden
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.bit.weights import Weights, random_weights

GOLDEN = Path(__file__).with_name("bit_golden.npz")
SEED = 7
# Enough of the 2048 channels to notice any fault, few enough to commit.
CHANNELS = slice(None, None, 32)


def cases() -> dict[str, tuple[Weights, npt.NDArray[np.float32]]]:
    """Weights and images [n, height, width, 3] in [0, 1] of each case."""
    weights = random_weights("50x1", SEED)
    # Kernels so small that the epsilon of the convolutions decides.
    tiny = {k: v * np.float32(1e-4) if k.endswith("kernel") else v for k, v in weights.items()}
    random = np.random.default_rng(SEED)
    even = random.random((2, 64, 96, 3), np.float32)
    odd = random.random((2, 97, 75, 3), np.float32)
    return {
        "even": (weights, even),
        "odd": (weights, odd),
        # Images so faint that the epsilon of the first norms decides.
        "faint": (weights, even * np.float32(1e-3)),
        "tiny_kernels": (tiny, even),
    }


def timm_feature_map(weights: Weights, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import timm
    import torch
    from timm.layers import StdConv2d

    model = timm.create_model("resnetv2_50x1_bit", pretrained=False, num_classes=0).eval()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        np.savez(path, **weights)
        model.load_pretrained(str(path))
    for module in model.modules():
        if isinstance(module, StdConv2d):
            module.eps = 1e-10  # As in BiT's own code; timm has 1e-8.
    # In double precision, so that what differs is ours.
    with torch.no_grad():
        features = model.double().forward_features(
            torch.from_numpy(images.transpose(0, 3, 1, 2)).double()
        )
    return features.numpy().transpose(0, 2, 3, 1).astype(np.float32)


def main() -> None:
    maps = {name: timm_feature_map(*case)[..., CHANNELS] for name, case in cases().items()}
    np.savez_compressed(GOLDEN, **maps)


if __name__ == "__main__":
    main()
