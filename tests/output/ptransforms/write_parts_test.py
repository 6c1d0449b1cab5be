from pathlib import Path

import apache_beam as beam
from apache_beam.testing.test_pipeline import TestPipeline as BeamTestPipeline
from apache_beam.testing.util import assert_that, equal_to

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.parts import list_parts, read_part_ref
from beamscope.transforms.output.ptransforms.write_parts import WriteParts
from beamscope.transforms.storage import files
from tests.output.samples import block_of, layout_in, paths

# DirectRunner would choose between runners by what the pipeline holds.
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def test_write_parts(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    blocks = [block_of("a", 0, 4), block_of("a", 1, 3, 2), block_of("b", 0, 2, 2)]
    refs = [
        PartRef(block.key, layout.part(block.key, block.planned, embedded), block.planned, embedded)
        for block, embedded in zip(blocks, (4, 1, 0), strict=True)
    ]
    pipeline = BeamTestPipeline(runner=RUNNER)
    # Blocks never cross a stage boundary, so they are made where they are written.
    written = (
        pipeline
        | beam.Create([0, 1, 2])
        | beam.Map(lambda index: blocks[index])
        | WriteParts(layout)
    )
    assert_that(written, equal_to(refs))
    result = pipeline.run()
    assert [read_part_ref(ref.path) for ref in refs] == refs
    assert paths(list_parts(layout)) == {ref.path: ref.planned for ref in refs}
    counters = {c.key.metric.name: c.result for c in result.metrics().query()["counters"]}
    assert (counters["blocks_embedded"], counters["patches_embedded"]) == (3, 5)
    assert "write_part_msec" in counters


def test_a_block_that_comes_twice_is_there_once(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    with BeamTestPipeline(runner=RUNNER) as pipeline:
        _ = (
            pipeline
            | beam.Create([0, 0, 1])
            | beam.Map(lambda index: block_of("a", index, 4))
            | WriteParts(layout)
        )
    assert [Path(file.path).name for file in files.list_files(layout.parts)] == [
        "000000-4-4-0.arrow",
        "000001-4-4-0.arrow",
    ]
