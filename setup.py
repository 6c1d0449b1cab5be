"""Metadata, extras and the `beamscope` command.

Beam ships this package to its workers with ``--setup_file ./setup.py``, so everything that a
worker imports must be listed here. Exact versions are pinned in ``requirements.lock``.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

setup(
    name="beamscope",
    version="0.1.0",
    description="Whole-slide images and chest X-ray archives to embeddings, with Apache Beam.",
    long_description=(ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.12",
    # beamscope/ links to the folders beside it: nothing installs as a top-level `transforms`.
    packages=[
        *find_packages(include=["beamscope", "beamscope.*"]),
        "beamscope.runner_configs",  # Of data alone: find_packages looks for an __init__.py.
    ],
    package_data={"beamscope": ["py.typed"], "beamscope.runner_configs": ["*.yaml"]},
    install_requires=[
        "apache-beam[gcp]>=2.77,<2.78",
        "google-cloud-storage>=3",
        "google-crc32c>=1.5",
        "isal>=1.7",
        "numpy>=2",
        "opencv-python-headless>=4.10",
        "openslide-bin>=4.0.1",
        "openslide-python>=1.4",
        "pillow>=11",
        "pyarrow>=20",
        "pydicom>=3",
        "pyyaml>=6",
        "tensorflow>=2.21,<2.22",
        "tfx-bsl>=1.21,<1.22",
        "tqdm>=4.66",
        # Decoders: tiles, films and sample slides.
        "imagecodecs>=2025.1",
        "simplejpeg>=1.9",
        "tifffile>=2025.1",
    ],
    extras_require={
        # Twice as fast on processors; 180 MB that workers with a GPU never use.
        "cpu": ["openvino>=2026.1,<2027"],
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "test": [
            "fastslide>=0.8",  # benchmarks only
            "gcp-storage-emulator>=2024.8",
            "hypothesis>=6.100",
            "mypy>=1.11",
            "pandas>=2.2",
            "pandas-stubs",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "scikit-learn>=1.5",
            "types-PyYAML",
            "types-tqdm",
        ],
        "lock": ["uv>=0.5"],
    },
    entry_points={"console_scripts": ["beamscope = beamscope.pipelines.main:command"]},
)
