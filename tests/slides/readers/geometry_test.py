import pytest

from beamscope.transforms.slides.readers.geometry import Level, ReadPlan, true_levels


def levels_of(*sizes):
    (full_width, full_height), *_ = sizes
    return [
        Level(number, width, height, (full_width / width + full_height / height) / 2)
        for number, (width, height) in enumerate(sizes)
    ]


def kept(*sizes, **options):
    return [level.number for level in true_levels(levels_of(*sizes), **options)]


@pytest.mark.parametrize(
    "sizes",
    [
        ((8192, 7168), (4096, 3584), (2048, 1792)),
        # Floors, ceilings and roundings of odd sizes, also of repeated halving.
        ((45374, 65762), (11343, 16440), (2835, 4110)),
        ((2221, 2967), (1111, 1484), (555, 741), (277, 370)),
        ((701, 601), (350, 300), (176, 151), (87, 75), (43, 37), (22, 19), (10, 9), (5, 4)),
        ((46000, 32914), (23000, 16457), (46, 33), (2, 2), (1, 1)),
        # Sides made even.
        ((2049, 1537), (1024, 768), (512, 382)),
    ],
)
def test_pyramids_keep_all_their_levels(sizes):
    assert kept(*sizes) == list(range(len(sizes)))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        # A label, at the end and between levels.
        (((8192, 7168), (4096, 3584), (1000, 600)), [0, 1]),
        (((8192, 7168), (4096, 3584), (2000, 800), (1024, 896)), [0, 1, 3]),
        # A label turned by a quarter: the slide's shape, lying.
        (((8192, 4096), (4096, 2048), (1024, 2048)), [0, 1]),
        # Focal planes, and a mask page beside each level.
        (((900, 600), (900, 600), (900, 600)), [0]),
        (((900, 600), (450, 300), (450, 300), (225, 150)), [0, 1, 3]),
        # A square macro of a slide that nearly is one.
        (((8192, 7900), (1024, 1024)), [0]),
    ],
)
def test_other_images_are_no_levels(sizes, expected):
    assert kept(*sizes) == expected


def test_a_vendor_that_names_levels_is_believed():
    sizes = ((8192, 7168), (1100, 1000), (1100, 1000))
    assert kept(*sizes, by_shape=False) == [0, 1]


def test_sizes_of_a_read_plan():
    read = ReadPlan(1, 2.0, 245, 224, 0.5, 0.456)
    assert read.mpp_effective == pytest.approx(0.49875)
    assert read.size_level0 == 490
