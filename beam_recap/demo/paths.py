"""Where the demonstration's shard and models lie in the installed package."""

from pathlib import Path

_HERE = Path(__file__).parent
SHARD = _HERE / "shard" / "demo-00000.tar"
MODELS = _HERE / "models"
CLIP = MODELS / "clip"
CAPTIONER = MODELS / "llava"
AESTHETIC_HEAD = MODELS / "aesthetic.safetensors"
