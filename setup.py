"""Metadata, extras and the `beamscope` command.

Beam ships this package to its workers with ``--setup_file ./setup.py``, so everything that a
worker imports must be listed here. Exact versions are pinned in the ``requirements*.lock`` files.
"""

import re
import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
REPOSITORY = "https://github.com/beamscope/beamscope"


def version() -> str:
    """The version, from the only place where it is written."""
    found: str = runpy.run_path(str(ROOT / "beamscope" / "_version.py"))["__version__"]
    return found


def long_description() -> str:
    """README.md with absolute links: an index shows it far from the files that it points to."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[([^]]*)\]\((?!https?:)([^)]+)\)", rf"![\1]({REPOSITORY}/raw/main/\2)", text)
    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", rf"]({REPOSITORY}/blob/main/\1)", text)


setup(
    name="beamscope",
    version=version(),
    description="Whole-slide images and chest X-ray archives to embeddings, with Apache Beam.",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    url=REPOSITORY,
    project_urls={
        "Documentation": f"{REPOSITORY}/tree/main/docs",
        "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
    },
    keywords="apache-beam chest-x-ray computational-pathology dicom embeddings openslide radiology "
    "remedis tensorflow whole-slide-imaging",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Healthcare Industry",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",
    # beamscope/ links to the folders beside it: nothing installs as a top-level `transforms`.
    packages=[
        *find_packages(str(ROOT), include=["beamscope", "beamscope.*"]),
        "beamscope.runner_configs",  # Of data alone: find_packages looks for an __init__.py.
    ],
    package_data={
        "beamscope": ["__init__.pyi", "py.typed"],
        "beamscope.pipelines.runners": ["flink_job_server/pom.xml"],
        "beamscope.pipelines.estimates": ["*.yaml"],
        "beamscope.runner_configs": ["*.yaml"],
        "beamscope.transforms.inference.cards": ["public/*.yaml"],
        "beamscope.transforms.slides.preview": ["*.html"],
    },
    install_requires=[
        "apache-beam[gcp]>=2.77,<2.78",
        "boto3>=1.36",
        "google-cloud-storage>=3",
        "google-crc32c>=1.5",
        "isal>=1.7",
        "lazy-loader>=0.4",
        "numpy>=2",
        "opencv-python-headless>=5.0",
        "openslide-bin>=4.0.1",
        "openslide-python>=1.4",
        "pillow>=11",
        "pyarrow>=20",
        "pydicom>=3",
        "pyyaml>=6",
        "requests>=2.32",
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
        # For `make docs`.
        "docs": ["furo>=2025.9", "myst-parser>=5", "sphinx>=9"],
        # For `beamscope export` to HDF5 and AnnData.
        "export": ["anndata>=0.12", "h5py>=3.11"],
        # For `beamscope probe`.
        "probe": ["matplotlib>=3.9", "scikit-learn>=1.5", "statsmodels>=0.14.6"],
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22; sys_platform == 'linux'"],
        # For ONNX models; OpenVINO of the extra `cpu` reads them without it.
        "onnx": ["onnxruntime>=1.22"],
        "test": [
            "anndata>=0.12",
            # The programs of docs/reading.md.
            "datasets>=4",
            "duckdb>=1.4",
            "polars>=1.30",
            # Benchmarks only; 0.8.1 is for Python 3.11 alone.
            "fastslide>=0.8; python_version < '3.12'",
            "fastslide>=0.8,<0.8.1; python_version >= '3.12'",
            "gcp-storage-emulator>=2024.8",
            "hypothesis>=6.100",
            "matplotlib>=3.9",
            "moto[server]>=5.1",
            "mypy>=1.11",
            "onnx>=1.17",
            "onnxruntime>=1.22",
            "packaging>=24",
            "pandas>=2.2",
            "pandas-stubs",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "scikit-learn>=1.5",
            "statsmodels>=0.14.6",
            "types-PyYAML",
            "types-tqdm",
        ],
        "lock": ["uv>=0.5"],
    },
    entry_points={"console_scripts": ["beamscope = beamscope.pipelines.main:command"]},
)
