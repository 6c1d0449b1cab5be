"""The public names of beamscope, each beside the module that defines it.

A name is added here alone. `lazy_loader` reads this file when beamscope is imported: it takes only
relative imports, and no name other than the module's own.
"""

from ._version import __version__ as __version__

# A block and what becomes of it, in both jobs.
from .transforms.blocks import BlockKey as BlockKey
from .transforms.blocks import EmbeddingBlock as EmbeddingBlock
from .transforms.blocks import ImageBlock as ImageBlock
from .transforms.blocks import PartRef as PartRef

# A finished dataset.
from .transforms.dataset.bags import SlideBags as SlideBags
from .transforms.dataset.dataset import Dataset as Dataset
from .transforms.dataset.features import Features as Features
from .transforms.dataset.opening import open_dataset as open_dataset
from .transforms.dataset.stream import RowStream as RowStream

# The model.
from .transforms.inference.embedder import Embedder as Embedder
from .transforms.inference.handler import ModelBackendHandler as ModelBackendHandler
from .transforms.inference.model_settings import ModelSettings as ModelSettings
from .transforms.inference.model_settings import ModelSpec as ModelSpec
from .transforms.inference.ptransforms.embed_blocks import EmbedBlocks as EmbedBlocks
from .transforms.inference.ptransforms.require_gpu import RequireGpu as RequireGpu

# The output.
from .transforms.output.dataset import DatasetSpec as DatasetSpec
from .transforms.output.dataset import read_description as read_description
from .transforms.output.layout import Layout as Layout
from .transforms.output.outcome import ItemOutcome as ItemOutcome
from .transforms.output.planner import ItemPlanner as ItemPlanner
from .transforms.output.planner import ItemSummary as ItemSummary
from .transforms.output.ptransforms.assemble import AssembleDataset as AssembleDataset
from .transforms.output.ptransforms.plan_items import PlanItems as PlanItems
from .transforms.output.ptransforms.sum_up_items import SumUpItems as SumUpItems
from .transforms.output.ptransforms.write_parts import WriteParts as WriteParts
from .transforms.output.shards import ShardFormat as ShardFormat

# What goes wrong.
from .transforms.problem_kinds import Kind as Kind
from .transforms.problems import InputError as InputError
from .transforms.problems import Problem as Problem

# Slides.
from .transforms.slides.dataset import slide_dataset as slide_dataset
from .transforms.slides.planning.plan import EmptyPlan as EmptyPlan
from .transforms.slides.planning.plan import FailedPlan as FailedPlan
from .transforms.slides.planning.plan import ReadyPlan as ReadyPlan
from .transforms.slides.planning.plan import SlideBlock as SlideBlock
from .transforms.slides.planning.plan import SlidePlan as SlidePlan
from .transforms.slides.planning.planner import plan_slide as plan_slide
from .transforms.slides.ptransforms.plan_slides import PlanSlides as PlanSlides
from .transforms.slides.ptransforms.read_slides import ReadSlideBlocks as ReadSlideBlocks
from .transforms.slides.ptransforms.spread_blocks import SpreadBlocks as SpreadBlocks
from .transforms.slides.ptransforms.sum_up_slides import SumUpSlides as SumUpSlides
from .transforms.slides.read_block import read_block as read_block
from .transforms.slides.readers.base import NotServed as NotServed
from .transforms.slides.readers.base import SlideReader as SlideReader
from .transforms.slides.readers.geometry import Level as Level
from .transforms.slides.readers.geometry import ReadPlan as ReadPlan
from .transforms.slides.readers.native.slide import NativeReader as NativeReader
from .transforms.slides.readers.openslide_reader import OpenSlideReader as OpenSlideReader
from .transforms.slides.readers.pool import open_planned as open_planned
from .transforms.slides.requests import SlideRequest as SlideRequest
from .transforms.slides.requests import assign_masks as assign_masks
from .transforms.slides.requests import find_slides as find_slides
from .transforms.slides.requests import read_manifest as read_manifest
from .transforms.slides.sample.slide import SampleSlide as SampleSlide
from .transforms.slides.sample.slide import write_sample_slide as write_sample_slide
from .transforms.slides.settings import SlideSettings as SlideSettings
from .transforms.sources.sources import Source as Source
from .transforms.sources.sources import find_sources as find_sources

# Copies of remote files.
from .transforms.storage.cache import FileCache as FileCache

# X-rays.
from .transforms.xrays.dataset import film_dataset as film_dataset
from .transforms.xrays.decoding.decode import decode_film as decode_film
from .transforms.xrays.decoding.film import DecodeSettings as DecodeSettings
from .transforms.xrays.decoding.film import Film as Film
from .transforms.xrays.decoding.preprocess import Preprocess as Preprocess
from .transforms.xrays.ptransforms.plan_films import PlanFilms as PlanFilms
from .transforms.xrays.ptransforms.read_films import ReadFilmBlocks as ReadFilmBlocks
from .transforms.xrays.ptransforms.sum_up_films import SumUpFilms as SumUpFilms
from .transforms.xrays.reading.film_block import FilmSettings as FilmSettings
from .transforms.xrays.sample import write_sample_archive as write_sample_archive
from .transforms.xrays.settings import CatalogFile as CatalogFile
from .transforms.xrays.settings import XraySettings as XraySettings
