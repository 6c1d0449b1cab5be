"""A format of exports is one module and one registration; nothing else is edited."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.export.base import Exporter, Unit
from beamscope.transforms.export.registry import EXPORTERS
from tests.dataset.samples import write_slides

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reading.md").read_text()


class MeansExporter(Exporter):
    def files(self, name: str) -> tuple[str, ...]:
        return (f"means/{name}.txt",)

    def write(self, unit: Unit, paths: Sequence[Path]) -> None:
        item, found, _ = unit.slide()
        paths[0].write_text(f"{item['slide_id']} {found.embeddings.mean():.3f}")


@pytest.fixture
def means() -> Iterator[None]:
    EXPORTERS.register("means", MeansExporter, "the mean of each slide")
    yield
    EXPORTERS.unregister("means")


@pytest.mark.usefixtures("means")
def test_a_new_format_needs_no_other_edit(tmp_path, capsys):
    root = write_slides(tmp_path / "in", {"a": 3, "b": 2})
    assert main(["export", root, "--to", "means", "--output", str(tmp_path / "out")]) == 0
    assert f"2 slides, 5 patches: {tmp_path}/out/means/*.txt" in capsys.readouterr().out
    texts = [path.read_text() for path in sorted((tmp_path / "out" / "means").iterdir())]
    assert [text.split()[0] for text in texts] == ["a", "b"]
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert "means: the mean of each slide" in " ".join(capsys.readouterr().out.split())


def test_every_format_is_documented():
    for name in EXPORTERS.names():
        assert f"| `{name}` | `" in PAGE
        assert EXPORTERS.summary(name)
