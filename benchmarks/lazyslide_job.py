"""Time LazySlide on one slide. `benchmarks.peers` runs it in LazySlide's own environment.

    python benchmarks/lazyslide_job.py SLIDE.svs bit-50x1|mean BATCH WORKERS

Its best settings on a processor: fastslide reads, and the network is in channels_last. Print one
line of JSON: the patches, and the patches a second of embedding alone.
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


class ChannelsLast(torch.nn.Module):
    """A network in channels_last."""

    def __init__(self, network):
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, images):
        return self.network(images.contiguous(memory_format=torch.channels_last))


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
    model = ChannelsLast(network(name))
    image = open_wsi(slide, reader="fastslide", store=None)
    lazyslide.pp.find_tissues(image)
    lazyslide.pp.tile_tissues(image, 224, mpp=0.5)
    start = time.perf_counter()
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
    seconds = time.perf_counter() - start
    patches = len(image["tiles"])
    print(json.dumps({"patches": patches, "running": patches / seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
