"""Time LazySlide on one slide. `benchmarks.peers` runs it in LazySlide's own environment.

    python benchmarks/lazyslide_job.py SLIDE.svs bit-50x1|mean BATCH WORKERS

Print one line of JSON: the patches, and the seconds of tiling and of embedding.
"""

import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import lazyslide  # noqa: E402  (its imports warn)
import timm  # noqa: E402
import torch  # noqa: E402
from torchvision.transforms import v2  # noqa: E402
from wsidata import open_wsi  # noqa: E402


class MeanColour(torch.nn.Module):
    """A model that returns the mean colour of a patch."""

    def forward(self, images):
        return images.mean((2, 3))


def network(name):
    """Return a network by name, with random weights: they cost as much time as trained ones."""
    if name == "mean":
        return MeanColour()
    return timm.create_model("resnetv2_50x1_bit", pretrained=False, num_classes=0).eval()


def main(slide, name, batch, workers):
    model = network(name)
    start = time.perf_counter()
    image = open_wsi(slide)
    lazyslide.pp.find_tissues(image)
    lazyslide.pp.tile_tissues(image, 224, mpp=0.5)
    tiled = time.perf_counter()
    lazyslide.tl.feature_extraction(
        image,
        model,
        model_name="features",
        transform=v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]),
        batch_size=int(batch),
        num_workers=int(workers),
        device="cpu",
        pbar=False,
    )
    embedded = time.perf_counter()
    print(
        json.dumps(
            {
                "patches": len(image["tiles"]),
                "tiling": tiled - start,
                "embedding": embedded - tiled,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
