"""Time TRIDENT on one slide. `benchmarks.peers` runs it in TRIDENT's own environment.

    python benchmarks/trident_job.py SLIDE.svs bit-50x1|mean BATCH

Its best settings on a processor: tissue by Otsu's threshold, as many workers as it chooses, and the
network in channels_last. Print one line of JSON: the patches, and the patches a second from the end
of the first batch to the end of the last.
"""

import json
import os
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
# TRIDENT asks the hub of models whether there is a network; a model of one's own needs none.
os.environ["HF_ENDPOINT"] = "127.0.0.1"

import timm  # noqa: E402  (its imports warn)
import torch  # noqa: E402
from torchvision.transforms import v2  # noqa: E402
from trident import load_wsi  # noqa: E402
from trident.patch_encoder_models.load import CustomInferenceEncoder  # noqa: E402
from trident.segmentation_models import segmentation_model_factory  # noqa: E402

ENDED = []  # When each batch was, and its patches.


class MeanColour(torch.nn.Module):
    """A model that returns the mean colour of a patch."""

    def forward(self, images):
        return images.mean((2, 3))


class Timed(torch.nn.Module):
    """A network in channels_last that notes when its batches end."""

    def __init__(self, network):
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, images):
        answers = self.network(images.contiguous(memory_format=torch.channels_last))
        ENDED.append((time.perf_counter(), len(images)))
        return answers


def network(name):
    """Return a network by name, with random weights: they cost as much time as trained ones."""
    if name == "mean":
        return MeanColour()
    return timm.create_model("resnetv2_50x1_bit", pretrained=False, num_classes=0).eval()


def main(slide, name, batch):
    scaled = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    encoder = CustomInferenceEncoder("timed", Timed(network(name)), scaled, torch.float32)
    segmenter = segmentation_model_factory("otsu")
    with tempfile.TemporaryDirectory() as folder, load_wsi(slide, lazy_init=False) as image:
        image.segment_tissue(
            segmenter, target_mag=segmenter.target_mag, job_dir=folder, device="cpu"
        )
        coordinates = image.extract_tissue_coords(20, 224, folder)
        image.extract_patch_features(
            encoder, coordinates, folder, device="cpu", batch_limit=int(batch)
        )
    (start, first), *_, (end, _) = ENDED
    patches = sum(number for _, number in ENDED)
    print(json.dumps({"patches": patches, "running": (patches - first) / (end - start)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
