"""Run by a Python that has img2dataset: opens tars with the webdataset that it writes and reads its own with.

``python img2dataset_side.py TAR ...`` prints, per sample, a JSON line of its key, suffixes, caption, JSON, and the
picture's size and digest of pixels as img2dataset decodes them (OpenCV).
"""

from __future__ import annotations

import hashlib
import json
import sys


def main() -> None:
    import cv2
    import numpy as np
    import webdataset

    for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False).decode():
        pixels = cv2.imdecode(np.frombuffer(sample["jpg"], np.uint8), cv2.IMREAD_COLOR)
        told = {
            "key": sample["__key__"],
            "suffixes": [name for name in sample if not name.startswith("__")],
            "txt": sample["txt"],
            "json": sample["json"],
            "size": [pixels.shape[1], pixels.shape[0]],
            "jpg": hashlib.sha256(sample["jpg"]).hexdigest(),
        }
        print(json.dumps(told))


if __name__ == "__main__":
    main()
