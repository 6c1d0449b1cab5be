"""Time slide2vec on one slide. `benchmarks.peers` runs it in slide2vec's own environment.

    python benchmarks/slide2vec_job.py SLIDE.svs bit-50x1|mean BATCH WORKERS

Its best settings on a processor: cuCIM reads, without supertiles and previews, and the network is
in channels_last. Print one line of JSON: the patches, and the patches a second from the end of the
first batch to the end of the last.
"""

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import timm  # noqa: E402  (its imports warn)
import torch  # noqa: E402
from hs2p import PreviewConfig, TilingConfig  # noqa: E402
from slide2vec import (  # noqa: E402
    ExecutionOptions,
    Model,
    PreprocessingConfig,
    TorchTileEncoder,
    register_encoder,
)

ENDED = []  # When each batch was, and its patches.


class MeanColour(torch.nn.Module):
    """A model that returns the mean colour of a patch."""

    def forward(self, images):
        return images.mean((2, 3))


class Timed(TorchTileEncoder):
    """An encoder that notes when its batches end."""

    def encode_tiles(self, batch):
        answers = super().encode_tiles(batch.contiguous(memory_format=torch.channels_last))
        ENDED.append((time.perf_counter(), len(batch)))
        return answers


def registered(name):
    features = 3 if name == "mean" else 2048

    @register_encoder(
        "timed", encode_dim=features, input_size=224, supported_spacing_um=0.5, precision="fp32",
        source="none", supports_variable_input_size=True,
    )  # fmt: skip
    class Encoder(Timed):
        def __init__(self, *, output_variant=None):
            network = (
                MeanColour()
                if name == "mean"
                else timm.create_model("resnetv2_50x1_bit", pretrained=False, num_classes=0)
            )
            super().__init__(
                network.to(memory_format=torch.channels_last), encode_dim=features, input_size=224,
                mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), output_variant=output_variant,
            )  # fmt: skip

    return Encoder


def main(slide, name, batch, workers):
    registered(name)
    tiling = TilingConfig(
        requested_spacing_um=0.5, requested_tile_size_px=224, tolerance=0.05, overlap=0.0,
        backend="cucim",
    )  # fmt: skip
    preview = PreviewConfig(save_mask_preview=False, save_tiling_preview=False)
    with tempfile.TemporaryDirectory() as folder:
        Model(name="timed", device="cpu").embed_slide(
            slide,
            preprocessing=PreprocessingConfig(
                tiling=tiling, preview=preview, use_supertiles=False,
                num_cucim_workers=int(workers),
            ),
            execution=ExecutionOptions(
                output_dir=Path(folder), batch_size=int(batch), num_workers_per_gpu=int(workers),
                num_gpus=1, precision="fp32",
            ),
        )  # fmt: skip
    (start, first), *_, (end, _) = ENDED
    patches = sum(number for _, number in ENDED)
    print(json.dumps({"patches": patches, "running": (patches - first) / (end - start)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
